"""Videos without a file count in the split that they have in the fold asked for, or their number is unknown."""

from pathlib import Path

import pytest

from manifests.draft import MissingReason, MissingVideo, write_missing
from pipeline.workspace import Workspace
from student.absent import list_absent

FOLDS = {"a": ("train", "test"), "b": ("test", "train"), "c": ("test", "test"), "d": ("test", "unused")}


def write_list(workspace: Workspace, *, with_folds: bool) -> None:
    missing = [
        MissingVideo(name, Path(f"/v/{name}.avi"), MissingReason.MISSING, first, "run", (second,) if with_folds else ())
        for name, (first, second) in FOLDS.items()
    ]
    missing.append(MissingVideo("e", Path("/v/e.avi"), MissingReason.DUPLICATE))
    write_missing(workspace.manifest_path("boxes").with_name("boxes.missing.csv"), missing)


@pytest.mark.parametrize("fold", [1, 2])
def test_a_fold_lists_its_own_split(tmp_path: Path, fold: int) -> None:
    workspace = Workspace(tmp_path)
    assert list_absent(workspace, [], "boxes", "test", fold) == ()
    write_list(workspace, with_folds=True)
    for split in ("train", "test"):
        absent = list_absent(workspace, [], "boxes", split, fold)
        assert absent is not None
        assert [video.video_id for video in absent] == [name for name, of in FOLDS.items() if of[fold - 1] == split]


def test_a_list_without_the_fold_leaves_the_number_unknown(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    workspace = Workspace(tmp_path)
    write_list(workspace, with_folds=False)
    first = list_absent(workspace, [], "boxes", "test", 1)
    assert first is not None and len(first) == 3 and not caplog.text
    assert list_absent(workspace, [], "boxes", "test", 2) is None
    assert "boxes.missing.csv does not say in which split of fold 2 its 4 videos without a file are" in caplog.text
