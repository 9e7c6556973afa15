"""The way out of a damaged shard: a command that can be copied."""

from pathlib import Path

import pytest

from pipeline.shards.repair_hint import repair_hint
from pipeline.workspace import Workspace

WORKSPACE = Workspace(Path("/data/kinet"))


@pytest.mark.parametrize(
    ("folder", "options"),
    [
        (WORKSPACE.shards_dir("ucf101"), "ucf101"),
        (WORKSPACE.flow_shards_dir("ucf101"), "ucf101 --flow"),
        (WORKSPACE.teacher_shards_dir("ucf101", "scene"), "ucf101 --teachers scene"),
        (WORKSPACE.shards_dir("flow"), "flow"),
        (WORKSPACE.shards_dir("shards"), "shards"),
        (WORKSPACE.flow_shards_dir("shards"), "shards --flow"),
        (Path("/tmp/copied"), "NAME (with --flow where it is optical flow)"),
    ],
)
def test_it_names_the_set_that_the_file_is_of(folder: Path, options: str) -> None:
    expected = f"run kinet-pipeline verify --repair --dataset {options}"
    assert repair_hint(folder / "train-00000-of-00001.h5") == expected
    assert repair_hint(folder / "train-00000-of-00001.json") == expected
