"""What is said of labels before they are learned from."""

from pathlib import Path

import pytest

from manifests import VideoRecord
from pipeline.shards import open_shard
from pipeline.video import FRAME_RESIZE
from pipeline.workspace import Workspace
from student import runs
from tests.pipeline.shards.made import commit_shard


def test_labels_of_frames_resized_otherwise_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    workspace = Workspace(tmp_path)
    shards_dir = workspace.shards_dir("boxes")
    shards_dir.mkdir(parents=True)
    made = commit_shard(shards_dir / "train-00000-of-00001.h5", [10, 20])
    records = [VideoRecord(name, Path(f"/{name}.mp4"), "train", 0, "c") for name in made.videos]
    with open_shard(made.path) as shard:
        resize = shard.header.frame_resize
    runs.open_labels(workspace, "boxes", records).close()
    assert f"resized otherwise ({resize}) than frames are here ({FRAME_RESIZE})" in caplog.text
    caplog.clear()
    monkeypatch.setattr(runs, "FRAME_RESIZE", resize)
    runs.open_labels(workspace, "boxes", records).close()
    assert not caplog.text
