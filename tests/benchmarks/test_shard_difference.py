"""What two shards differ in is named, and nothing else."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.pipeline.shards.made import commit_shard

BENCHMARKS_DIR = Path(__file__).parents[2] / "benchmarks"


def drop(file: h5py.File) -> None:
    del file["valid"]


def set_row(name: str, row: int) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        values = file[name][row]
        file[name][row] = values ^ 1 if values.dtype.kind == "u" else values[::-1]

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda file: None, "the same content in other bytes"),
        (lambda file: file.attrs.modify("dataset", "other"), "attribute dataset"),
        (lambda file: file.attrs.create("levels", np.arange(3)), "attribute levels"),
        (drop, "valid: only in one"),
        (set_row("frame_hash", 12), "frame_hash: 1 rows, the first 12, frame 2 of v1"),
        (set_row("seek_exact", 1), "seek_exact: 1 rows, the first 1, v1"),
        (set_row("scene_prob", 29), "scene_prob: 1 rows, the first 29, frame 19 of v1"),
    ],
)
def test_a_change_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[h5py.File], None], words: str
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS_DIR))
    from shard_difference import describe_difference

    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    paths = [commit_shard(tmp_path / name / "train-00000-of-00001.h5", [10, 20]).path for name in ("a", "b")]
    with h5py.File(paths[0], "a") as file:
        change(file)
    assert describe_difference(*paths) == words


def test_what_is_no_shard_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS_DIR))
    from shard_difference import describe_difference

    (tmp_path / "a.h5").write_bytes(b"nothing")
    assert "cannot be compared" in describe_difference(tmp_path / "a.h5", tmp_path / "a.h5")
