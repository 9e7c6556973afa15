"""HMDB51's lists, one a class and fold, become one manifest of three folds; the clips are real files."""

import shutil
from pathlib import Path

import pytest

from manifests.build import draft_manifest
from manifests.errors import ManifestError
from manifests.hmdb51 import read_hmdb51
from pipeline.video import probe_video
from tests.manifests.realdata import real_data_dir
from tests.videos import moving_frames, write_video

# Marks of each clip in the three folds: 1 train, 2 test, 0 neither.
MARKS = {
    "brush_hair/April_09_brush_hair_u_nm_np1_ba_goo_0": "121",
    "brush_hair/same": "210",
    "wave/same": "000",
    "wave/20060723sfjffbartsinger_wave_f_cm_np1_ba_med_0": "112",
    "wave/gone (2)": "111",
}


@pytest.fixture
def annotations(tmp_path: Path) -> Path:
    """The lists as they are published: a blank behind the mark, CRLF or LF."""
    folder = tmp_path / "testTrainMulti_7030_splits"
    folder.mkdir()
    for fold in range(3):
        for number, class_name in enumerate(("wave", "brush_hair")):
            clips = [(clip.partition("/")[2], marks[fold]) for clip, marks in MARKS.items() if class_name in clip[:10]]
            text = ("\n", "\r\n")[number].join(f"{stem}.avi {mark} " for stem, mark in clips)
            (folder / f"{class_name}_test_split{fold + 1}.txt").write_bytes(text.encode())
    return folder


def test_three_folds_of_real_clips(annotations: Path, tmp_path: Path) -> None:
    for number, clip in enumerate(MARKS):
        if "gone" not in clip:
            write_video(tmp_path / "videos" / f"{clip}.avi", moving_frames(4 + number, 48, 64, seed=number))
    draft = draft_manifest("hmdb51", tmp_path / "videos")
    named = {"0": "unused", "1": "train", "2": "test"}
    found = {record.video_id: (record.split, *record.fold_splits) for record in draft.records}
    assert found == {
        (clip if "same" in clip else clip.partition("/")[2]): tuple(named[mark] for mark in marks)
        for clip, marks in MARKS.items()
        if "gone" not in clip
    }
    assert {record.class_name: record.label for record in draft.records} == {"brush_hair": 0, "wave": 1}
    assert [(video.video_id, video.reason.value) for video in draft.missing] == [("gone (2)", "missing")]
    frames = {record.video_id: probe_video(record.path).num_frames for record in draft.records}
    assert (frames["brush_hair/same"], frames["wave/same"]) == (5, 6)


def test_lists_that_are_not_whole_are_named(annotations: Path, tmp_path: Path) -> None:
    write_video(tmp_path / "videos/wave/same.avi", moving_frames(4, 48, 64))

    def refuse(message: str) -> None:
        with pytest.raises(ManifestError, match=message):
            read_hmdb51(annotations, tmp_path / "videos")

    (annotations / "wave_test_split3.txt").unlink()
    refuse(r"fold 3 has no list of 1 classes \(wave")
    (annotations / "brush_hair_test_split2.txt").write_text("same.avi 3\n")
    (annotations / "wave_test_split3.txt").write_text("same.avi 1\n")
    refuse(r"brush_hair_test_split2.txt, line 1: .*mark 1 \(train\), 2 \(test\) or 0")
    for path in annotations.glob("*_split2.txt"):
        path.unlink()
    refuse("found folds 1, 3")


@pytest.mark.realdata
def test_a_clip_of_hmdb51_itself(tmp_path: Path) -> None:
    """The list stands beside the folder of videos."""
    stem = "Turnk_r_Pippi_Michel_cartwheel_f_cm_np2_le_med_6"
    clip = tmp_path / "videos" / "cartwheel" / f"{stem}.avi"
    clip.parent.mkdir(parents=True)
    shutil.copy(real_data_dir() / "clips" / f"tv_hmdb51_{stem}.avi", clip)
    (tmp_path / "cartwheel_test_split1.txt").write_text(f"{stem}.avi 2 \n")
    record = draft_manifest("hmdb51", tmp_path / "videos").records[0]
    assert (record.video_id, record.split, record.path) == (stem, "test", clip)
