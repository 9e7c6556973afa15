"""The manifest file: round trips, and one clear line for each fault."""

from dataclasses import replace
from pathlib import Path

import pytest

from manifests import VideoRecord, read_manifest, write_manifest
from manifests.errors import ManifestError, UnknownDatasetError

HEADER = "video_id,path,split,label,class_name"
ODD_TEXTS = [
    'comma, "quoted"',
    "naïve 日本 🎬",
    " spaces ",
    "a/b\\c",
    "semi;colon\ttab",
    "'",
    "=1+1",
    "x" * 5000,
    "\u2028line",
]


def odd_records() -> list[VideoRecord]:
    return [
        VideoRecord(text, Path(f"/videos/{number}/{text}.mp4"), "train", number, f"class {text}")
        for number, text in enumerate(ODD_TEXTS)
    ]


@pytest.mark.parametrize("num_folds", [1, 2, 3])
@pytest.mark.parametrize("probed", ["none", "some", "all"])
def test_round_trip_is_exact(tmp_path: Path, num_folds: int, probed: str) -> None:
    records = [
        replace(
            record,
            fold_splits=("test", "val")[: num_folds - 1],
            **(
                {"num_frames": 7, "fps": 29.97002997, "height": 240, "width": 320}
                if number % 2 or probed == "all"
                else {}
            ),
        )
        if probed != "none"
        else replace(record, fold_splits=("test", "val")[: num_folds - 1])
        for number, record in enumerate(odd_records())
    ]
    write_manifest(tmp_path / "odd.csv", records)
    assert read_manifest(tmp_path / "odd.csv") == records
    header = (tmp_path / "odd.csv").read_text(encoding="utf-8").partition("\n")[0].split(",")
    assert header[:5] == HEADER.split(",")
    assert ("num_frames" in header) == (probed != "none")
    assert [name for name in header if name.startswith("split_")] == ["split_2", "split_3"][: num_folds - 1]


def test_class_names_and_paths_may_hold_line_breaks(tmp_path: Path) -> None:
    records = [VideoRecord("a", Path("/v/a\nb.mp4"), "train", 0, "two\r\nlines")]
    write_manifest(tmp_path / "odd.csv", records)
    assert read_manifest(tmp_path / "odd.csv") == records


def test_relative_paths_are_taken_from_the_manifests_folder(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text(f"{HEADER}\na,videos/a.mp4,train,0,x\nb,/abs/b.mp4,train,0,x\n")
    paths = [record.path for record in read_manifest(tmp_path / "m.csv")]
    assert paths == [tmp_path / "videos/a.mp4", Path("/abs/b.mp4")]


def test_columns_may_stand_in_any_order_and_lines_may_end_in_crlf(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_bytes(b"\xef\xbb\xbflabel,video_id,class_name,split,path\r\n3,a,x,val,/a.mp4\r\n\r\n")
    assert read_manifest(tmp_path / "m.csv") == [VideoRecord("a", Path("/a.mp4"), "val", 3, "x")]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "empty file"),
        ("video_id,path,split,class_name\na,/a,train,x\n", "found video_id,path,split,class_name"),
        (f"{HEADER},mood\n", "found video_id,path,split,label,class_name,mood"),
        (
            f"{HEADER}\na,/a,train,0,x\nb,/b,train,0,x\na,/c,train,0,x\n",
            "line 4: video_id 'a' stands already on line 2",
        ),
        (f"{HEADER}\na,/a,train,0,x\nb,/b,train,one,x\n", "line 3: label 'one'"),
        (f"{HEADER}\na,/a,train,-1,x\n", "line 2: label '-1'"),
        (f"{HEADER}\na,/a,train,1.0,x\n", "line 2: label '1.0'"),
        (f'{HEADER}\na,/a,train,0,"two\nlines"\nb,/b,train,?,x\n', "line 4: label '?'"),
        (f"{HEADER}\na,/a,train,0\n", "line 2: 5 values expected, 4 found"),
        (f"{HEADER}\n,/a,train,0,x\n", "line 2: empty video_id"),
        (f"{HEADER}\na,,train,0,x\n", "line 2: empty path"),
        (f"{HEADER},num_frames,fps,height,width\na,/a,train,0,x,many,25,1,1\n", "line 2: num_frames 'many'"),
        (f"{HEADER},num_frames,fps,height,width\na,/a,train,0,x,3,nan,1,1\n", "line 2: fps 'nan'"),
        (f'{HEADER}\na,/a,train,0,"x"y\n', "not a CSV file"),
    ],
)
def test_a_wrong_file_gives_one_clear_line(tmp_path: Path, content: str, expected: str) -> None:
    path = tmp_path / "ucf101.csv"
    path.write_text(content)
    with pytest.raises(ManifestError) as caught:
        read_manifest(path)
    assert expected in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_file_in_another_encoding_is_named(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_bytes(f"{HEADER}\ncaf\u00e9,/a,train,0,x\n".encode("latin-1"))
    with pytest.raises(ManifestError, match="not UTF-8"):
        read_manifest(tmp_path / "m.csv")


def test_a_missing_manifest_names_the_way_out_and_the_nearest_name(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="kinet-pipeline manifest build ucf101 --videos DIR"):
        read_manifest(tmp_path / "ucf101.csv")
    write_manifest(tmp_path / "holidays.csv", [])
    with pytest.raises(UnknownDatasetError, match="holidays"):
        read_manifest(tmp_path / "holiday.csv")


def test_what_cannot_be_read_back_is_not_written(tmp_path: Path) -> None:
    record = odd_records()[0]
    for records in (
        [record, record],
        [replace(record, video_id="")],
        [replace(record, video_id="a\nb")],
        [record, replace(record, video_id="b", fold_splits=("test",))],
    ):
        with pytest.raises(ValueError, match="video"):
            write_manifest(tmp_path / "m.csv", records)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_keeps_the_old_manifest_and_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    write_manifest(path, odd_records())
    before = path.read_bytes()
    # A lone surrogate, as of a file name that is not UTF-8, cannot be encoded.
    broken = [*odd_records(), VideoRecord("z", Path("/videos/\udcff.mp4"), "train", 0, "x")]
    with pytest.raises((ManifestError, ValueError)):
        write_manifest(path, broken)
    assert path.read_bytes() == before
    assert [found.name for found in tmp_path.iterdir()] == ["m.csv"]


@pytest.mark.parametrize("split", ["../up", "a/b", "..", "-train", ".hidden"])
def test_a_split_that_would_lead_out_of_its_folder_is_refused(tmp_path: Path, split: str) -> None:
    path = tmp_path / "m.csv"
    path.write_text(f"video_id,path,split,label,class_name\na,a.mp4,train,0,x\nb,b.mp4,{split},0,x\n")
    with pytest.raises(ManifestError, match=r"line 3: split .* expected letters, digits"):
        read_manifest(path)
    with pytest.raises(ValueError, match="expected letters, digits"):
        write_manifest(path, [VideoRecord("a", tmp_path / "a.mp4", split, 0, "x")])
