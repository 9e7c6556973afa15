"""Readers of annotations: every listed video ends in the manifest or in the list of missing ones."""

import csv
import os
from collections import Counter
from pathlib import Path

import pytest

from manifests.build import draft_manifest, select
from manifests.catalogue import VIDEO_DATASETS, require_video_dataset
from manifests.draft import ManifestDraft, MissingReason, MissingVideo, write_missing
from manifests.errors import ManifestError, UnknownDatasetError
from manifests.kinetics import read_kinetics
from manifests.ucf101 import list_ucf101
from tests.manifests.realdata import real_data_dir

KINETICS_HEADER = "label,youtube_id,time_start,time_end,split,is_cc"
CLASSES = ["zumba", "playing guitar", "massaging person's head"]


def make_file(path: Path, content: bytes = b"video") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def kinetics_rows() -> list[tuple[str, str, str]]:
    """Return (class, clip id, split) of 30 clips."""
    return [
        (CLASSES[number % 3], f"-Ab_{number:07d}_000010_000020", "val" if number % 5 == 0 else "train")
        for number in range(30)
    ]


def write_kinetics_csv(path: Path, split: str, extra: str = "") -> Path:
    lines = [KINETICS_HEADER]
    for class_name, clip_id, row_split in kinetics_rows():
        if row_split == split:
            lines.append(f'"{class_name}",{clip_id[:11]},10,20,{"validate" if split == "val" else split},0')
    path.write_text("\n".join(lines) + "\n" + extra)
    return path


@pytest.mark.parametrize(
    "layout",
    ["{clip}", "{split}/{clip}", "{name}/{clip}", "{under}/{clip}", "{split}/{under}/{clip}", "{split}/{name}/{clip}"],
)
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm", ".avi"])
def test_kinetics_layouts(tmp_path: Path, layout: str, suffix: str) -> None:
    videos_dir = tmp_path / "videos"
    for class_name, clip_id, split in kinetics_rows():
        relative = layout.format(clip=clip_id, split=split, name=class_name, under=class_name.replace(" ", "_"))
        make_file(videos_dir / f"{relative}{suffix}")
    csv_paths = [write_kinetics_csv(tmp_path / f"{split}.csv", split) for split in ("train", "val")]
    draft = read_kinetics(csv_paths, videos_dir)
    assert not draft.missing
    found = {record.video_id: (record.class_name, record.split, record.label) for record in draft.records}
    expected = {clip: (name, split, sorted(CLASSES).index(name)) for name, clip, split in kinetics_rows()}
    assert found == expected
    assert all(record.path.is_absolute() and record.path.stem == record.video_id for record in draft.records)


def test_kinetics_counts_every_row_it_cannot_use(tmp_path: Path) -> None:
    rows = [clip for _, clip, split in kinetics_rows() if split == "train"]
    for clip in rows[2:]:
        make_file(tmp_path / "videos" / f"{clip}.mp4")
    make_file(tmp_path / "videos" / f"{rows[1]}.mp4", b"")
    train_path = write_kinetics_csv(tmp_path / "train.csv", "train", extra=f"zumba,{rows[5][:11]},10,20,train,0\n")
    test_path = tmp_path / "test.csv"
    test_path.write_text("youtube_id,time_start,time_end,split\nabcdefghijk,1,11,test\n")
    draft = read_kinetics([train_path, test_path], tmp_path / "videos")
    assert draft.count_missing() == {"missing": 1, "empty_file": 1, "duplicate": 1, "no_label": 1}
    assert {record.video_id for record in draft.records} == set(rows[2:])
    write_missing(tmp_path / "missing.csv", draft.missing)
    assert len((tmp_path / "missing.csv").read_text().splitlines()) == 1 + len(draft.missing)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("name,id\na,b\n", "found name,id"),
        ("lable,youtube_id,time_start,time_end,split\nx,a,0,10,train\n", "found lable,"),
        (f"{KINETICS_HEADER}\nzumba,abc,ten,20,train,0\n", "line 2: time_start,time_end = ten,20"),
        ("", "found nothing"),
        ("youtube_id,time_start,time_end,split\na,0,10,test\n", "no row"),
    ],
)
def test_wrong_kinetics_csv_gives_one_clear_line(tmp_path: Path, content: str, expected: str) -> None:
    (tmp_path / "train.csv").write_text(content)
    make_file(tmp_path / "videos/a.mp4")
    with pytest.raises(ManifestError) as caught:
        read_kinetics([tmp_path / "train.csv"], tmp_path / "videos")
    assert expected in str(caught.value)


def write_ucf_lists(folder: Path) -> dict[str, tuple[str, ...]]:
    """Write three folds over 12 clips with CRLF; return each clip's splits."""
    folder.mkdir(parents=True)
    names = ["Archery", "HandstandPushups"]
    folder.joinpath("classInd.txt").write_bytes(b"1 Archery\r\n2 HandstandPushups\r\n")
    clips = [(name, f"v_{name.replace('stand', 'Stand')}_g{number:02d}_c01") for name in names for number in range(6)]
    splits = {
        clip: tuple("test" if number % 3 == fold else "train" for fold in range(3))
        for number, (_, clip) in enumerate(clips)
    }
    for fold in range(3):
        for split in ("train", "test"):
            lines = [
                f"{name}/{clip}.avi" + (f" {names.index(name) + 1}" if split == "train" else "")
                for name, clip in clips
                if splits[clip][fold] == split
            ]
            folder.joinpath(f"{split}list0{fold + 1}.txt").write_bytes("\r\n".join([*lines, ""]).encode())
    for name, clip in clips:
        make_file(folder.parent / "videos" / name / f"{clip}.avi")
    return splits


def test_ucf101_folds(tmp_path: Path) -> None:
    splits = write_ucf_lists(tmp_path / "ucfTrainTestlist")
    draft = draft_manifest("ucf101", tmp_path / "videos")
    assert {record.video_id: (record.split, *record.fold_splits) for record in draft.records} == splits
    assert {record.class_name: record.label for record in draft.records} == {"Archery": 0, "HandstandPushups": 1}
    assert not draft.missing


def test_the_list_of_missing_videos_says_their_split_in_every_fold(tmp_path: Path) -> None:
    splits = write_ucf_lists(tmp_path / "ucfTrainTestlist")
    gone, hollow, *_ = draft_manifest("ucf101", tmp_path / "videos").records
    gone.path.unlink()
    hollow.path.write_bytes(b"")
    draft = draft_manifest("ucf101", tmp_path / "videos")
    unlisted = MissingVideo("other", tmp_path / "other.avi", MissingReason.DUPLICATE)
    write_missing(tmp_path / "missing.csv", [*draft.missing, unlisted])
    with (tmp_path / "missing.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    found = {row["video_id"]: (row["split"], row["split_2"], row["split_3"]) for row in rows}
    assert found == {video.video_id: splits[video.video_id] for video in (gone, hollow)} | {"other": ("", "", "")}


@pytest.mark.realdata
def test_ucf101_official_lists_have_their_published_sizes() -> None:
    records = list_ucf101(real_data_dir() / "labels/ucf101")
    sizes = [Counter(record.split_in_fold(fold) for record in records) for fold in (1, 2, 3)]
    assert [(size["train"], size["test"]) for size in sizes] == [(9537, 3783), (9586, 3734), (9624, 3696)]
    assert len({record.label for record in records}) == 101
    assert len({record.video_id for record in records}) == 13320


@pytest.mark.realdata
def test_jhmdb_official_lists_have_their_published_sizes() -> None:
    draft = draft_manifest("jhmdb", real_data_dir() / "jhmdb/videos")
    sizes = [Counter(record.split_in_fold(fold) for record in draft.records) for fold in (1, 2, 3)]
    assert [(size["train"], size["test"]) for size in sizes] == [(660, 268), (658, 270), (663, 265)]
    assert not draft.missing


def test_jhmdb_ids_are_stems_unless_two_classes_share_one(tmp_path: Path) -> None:
    (tmp_path / "splits").mkdir()
    (tmp_path / "classes.txt").write_text("run\nwalk\n")
    (tmp_path / "splits/train1.txt").write_text("run/same.mp4 0\nwalk/other (1).mp4 1\n")
    (tmp_path / "splits/test1.txt").write_text("walk/same.mp4 1\n")
    for clip in ("run/same", "walk/same", "walk/other (1)"):
        make_file(tmp_path / "videos" / f"{clip}.mp4")
    draft = draft_manifest("jhmdb", tmp_path / "videos")
    paths = {record.video_id: record.path.relative_to(tmp_path / "videos").as_posix() for record in draft.records}
    assert paths == {"run/same": "run/same.mp4", "other (1)": "walk/other (1).mp4", "walk/same": "walk/same.mp4"}


def test_a_tree_of_classes(tmp_path: Path) -> None:
    for path in ("b class/x.mp4", "b class/x.avi", "a/deep/y.MP4", "a/.hidden.mp4", "loose.mp4", "a/notes.txt"):
        make_file(tmp_path / path)
    draft = draft_manifest("folder", tmp_path)
    assert [(record.video_id, record.label, record.class_name, record.split) for record in draft.records] == [
        ("a/deep/y", 0, "a", "train"),
        ("b class/x.avi", 1, "b class", "train"),
        ("b class/x.mp4", 1, "b class", "train"),
    ]
    assert draft.count_missing() == {"no_label": 1}


def test_loose_videos_are_of_the_one_class_that_is_named(tmp_path: Path) -> None:
    for path in ("x.mp4", "deeper/y.mp4"):
        make_file(tmp_path / "loose" / path)
    draft = draft_manifest("folder", tmp_path / "loose", one_class="any")
    found = [(record.video_id, record.split, record.label, record.class_name) for record in draft.records]
    assert sorted(found) == [("deeper/y", "train", 0, "any"), ("x", "train", 0, "any")]
    assert draft.missing == []
    for path in ("val/x.mp4", "test/walk/y.mp4", "z.mp4"):
        make_file(tmp_path / "splits" / path)
    with pytest.raises(ManifestError, match="--one-class NAME"):
        draft_manifest("folder", tmp_path / "splits" / "val")
    records = draft_manifest("folder", tmp_path / "splits", one_class="any").records
    assert {record.path.stem: record.split for record in records} == {"x": "val", "y": "test", "z": "train"}
    with pytest.raises(ValueError, match="data set folder, without annotations"):
        draft_manifest("folder", tmp_path / "loose", [tmp_path / "list.txt"], one_class="any")


def test_a_tree_of_splits(tmp_path: Path) -> None:
    for path in ("train/run/x.mp4", "Validation/run/y.mp4", "test/walk/z.mp4"):
        make_file(tmp_path / path)
    draft = draft_manifest("folder", tmp_path)
    assert {(record.path.stem, record.split, record.label) for record in draft.records} == {
        ("x", "train", 0),
        ("y", "val", 0),
        ("z", "test", 1),
    }


def test_a_link_to_a_parent_ends(tmp_path: Path) -> None:
    make_file(tmp_path / "run/x.mp4")
    (tmp_path / "run/up").symlink_to(tmp_path)
    assert len(draft_manifest("folder", tmp_path).records) == 1


@pytest.mark.skipif(os.name != "posix", reason="file names are bytes on POSIX systems only")
def test_a_name_that_is_not_utf8_is_counted(tmp_path: Path) -> None:
    make_file(tmp_path / "run/x.mp4")
    try:
        make_file(Path(os.fsdecode(os.fsencode(tmp_path) + b"/run/\xff.mp4")))
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    draft = draft_manifest("folder", tmp_path)
    assert draft.count_missing() == {"name_not_utf8": 1}
    write_missing(tmp_path / "missing.csv", draft.missing)
    assert "\\udcff" in (tmp_path / "missing.csv").read_text(encoding="utf-8")


def test_video_lists(tmp_path: Path) -> None:
    for path in ("run/a b.mp4", "run/c.mp4", "walk/d.mp4"):
        make_file(tmp_path / "videos" / path)
    (tmp_path / "my_train_list.txt").write_text("run/a b.mp4 0\nwalk/d.mp4 4\nwalk/d.mp4 4\n")
    (tmp_path / "my_val_list.txt").write_text("run/c.mp4 0\nrun/gone.mp4 0\n")
    draft = draft_manifest(
        "folder", tmp_path / "videos", [tmp_path / "my_train_list.txt", tmp_path / "my_val_list.txt"]
    )
    assert [(record.video_id, record.split, record.label, record.class_name) for record in draft.records] == [
        ("run/a b", "train", 0, "run"),
        ("walk/d", "train", 4, "walk"),
        ("run/c", "val", 0, "run"),
    ]
    assert draft.count_missing() == {"missing": 1, "duplicate": 1}


def test_classes_and_limits_keep_the_official_order(tmp_path: Path) -> None:
    for class_name in "dbca":
        for number in range(3):
            make_file(tmp_path / class_name / f"{number}.mp4")
    draft = draft_manifest("folder", tmp_path)
    chosen = select(draft, classes=["d", "b"], per_class=2)
    assert [(record.video_id, record.label) for record in chosen.records] == [
        ("b/0", 0),
        ("b/1", 0),
        ("d/0", 1),
        ("d/1", 1),
    ]
    assert select(draft) == ManifestDraft(draft.records, draft.missing)
    with pytest.raises(ManifestError, match="class 'e'"):
        select(draft, classes=["e"])


def test_numbered_lists_are_folds(tmp_path: Path) -> None:
    """`train1`, `test01`, `train_split_2`: every video has its split in each fold, "unused" where none lists it."""
    for clip in "abc":
        make_file(tmp_path / "videos" / "run" / f"{clip}.mp4")
    lists = {"train1": "ab", "test01": "c", "mine_train_split_2_videos": "c", "mine_test_split_2_videos": "b"}
    for name, clips in lists.items():
        (tmp_path / f"{name}.txt").write_text("".join(f"run/{clip}.mp4 0\n" for clip in clips))
    paths = [tmp_path / f"{name}.txt" for name in lists]
    draft = draft_manifest("folder", tmp_path / "videos", paths)
    splits = {record.video_id: (record.split, *record.fold_splits) for record in draft.records}
    assert splits == {"run/a": ("train", "unused"), "run/b": ("train", "test"), "run/c": ("test", "train")}
    assert not draft.missing
    (tmp_path / "train_split_3.txt").write_text("run/a.mp4 1\n")
    with pytest.raises(ManifestError, match=r"run/a.mp4 has label 1, and 0 in another fold's list"):
        draft_manifest("folder", tmp_path / "videos", [*paths, tmp_path / "train_split_3.txt"])
    with pytest.raises(ManifestError, match="folds 1, 3 found, expected 1, 2"):
        draft_manifest("folder", tmp_path / "videos", [paths[0], tmp_path / "train_split_3.txt"])


@pytest.mark.parametrize("name", ["kinetics400_train_list.txt", "train2017.txt", "train_256p.txt", "train_split_2.txt"])
def test_numbers_that_are_no_folds_make_none(tmp_path: Path, name: str) -> None:
    make_file(tmp_path / "videos" / "run" / "a.mp4")
    (tmp_path / name).write_text("run/a.mp4 0\n")
    record = draft_manifest("folder", tmp_path / "videos", [tmp_path / name]).records[0]
    assert (record.split, record.fold_splits) == ("train", ())


@pytest.mark.parametrize("dataset", ["ucf101", "hmdb51", "jhmdb", "kinetics400"])
def test_missing_annotations_name_the_option(tmp_path: Path, dataset: str) -> None:
    make_file(tmp_path / "x.mp4")
    with pytest.raises(ManifestError, match="--annotations"):
        draft_manifest(dataset, tmp_path)


@pytest.mark.parametrize("folder", ["nowhere", "empty", "file"])
def test_a_folder_without_videos_is_named(tmp_path: Path, folder: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(ManifestError, match=folder):
        draft_manifest("folder", tmp_path / folder)


def test_unknown_data_sets_get_the_nearest_name() -> None:
    for name in VIDEO_DATASETS:
        assert require_video_dataset(name) == name
    for wrong, nearest in {"kinetics": "kinetics400", "UCF-101": "ucf101", "jhmbd": "jhmdb"}.items():
        with pytest.raises(UnknownDatasetError, match=f"did you mean {nearest}"):
            require_video_dataset(wrong)
    with pytest.raises(UnknownDatasetError, match="teacher train"):
        require_video_dataset("lip")
