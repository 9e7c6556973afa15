"""``kinet-pipeline manifest`` as a user types it, on real files."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from manifests import read_manifest
from tests.manifests.realdata import real_data_dir
from tests.videos import moving_frames, write_audio, write_video


def run(workspace: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipeline.cli", "manifest", *arguments, "--workspace", str(workspace)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_build_and_check_of_a_folder_with_every_kind_of_fault(tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    for number in range(3):
        write_video(videos / f"run/good{number}.mp4", moving_frames(5 + number, 48, 64, seed=number))
    write_video(videos / "walk/whole.mp4", moving_frames(60, 96, 128), container_options={"movflags": "faststart"})
    whole = (videos / "walk/whole.mp4").read_bytes()
    (videos / "walk/cut.mp4").write_bytes(whole[: len(whole) * 2 // 3])
    (videos / "walk/text.mp4").write_text("this is no video")
    (videos / "walk/empty.mp4").write_bytes(b"")
    write_audio(videos / "walk/sound.mp4")
    built = run(tmp_path / "ws", "build", "folder", "--videos", str(videos), "--name", "mine", "--json")
    assert built.returncode == 0, built.stderr
    result = json.loads(built.stdout)
    assert (result["videos"], result["classes"], result["missing"]) == (7, 2, 1)
    assert result["reasons"] == {"empty_file": 1}
    assert "walk/empty" in Path(result["missing_list"]).read_text()

    checked = run(tmp_path / "ws", "check", "mine", "--json")
    assert checked.returncode == 0, checked.stderr
    result = json.loads(checked.stdout)
    assert (result["videos"], result["sound"], sum(result["reasons"].values())) == (7, 4, 3)
    assert result["reasons"]["no_video_stream"] == 1
    assert result["reasons"]["unreadable"] == 1
    records = {record.video_id: record for record in read_manifest(tmp_path / "ws/manifests/mine.csv")}
    assert [records[f"run/good{number}"].num_frames for number in range(3)] == [5, 6, 7]
    assert (records["run/good0"].height, records["run/good0"].width, records["run/good0"].fps) == (48, 64, 25.0)
    assert records["walk/text"].num_frames is None

    # Their disk is lost: no video is called missing, and what was known of them stays.
    content = (tmp_path / "ws/manifests/mine.csv").read_bytes()
    videos.rename(tmp_path / "away")
    (videos / "walk").mkdir(parents=True)
    checked = run(tmp_path / "ws", "check", "mine")
    assert checked.returncode == 1 and "is its disk mounted" in checked.stderr
    assert (tmp_path / "ws/manifests/mine.csv").read_bytes() == content


def test_build_synthetic_twice(tmp_path: Path) -> None:
    arguments = (
        "build",
        "synthetic",
        "--videos-per-class",
        "1",
        "--test-videos-per-class",
        "1",
        "--seed",
        "5",
        "--json",
    )
    first, second = run(tmp_path, *arguments), run(tmp_path, *arguments)
    assert first.returncode == second.returncode == 0, first.stderr
    assert first.stdout == second.stdout
    assert json.loads(first.stdout)["splits"] == {"train": 6, "test": 6}
    assert all(record.path.exists() for record in read_manifest(tmp_path / "manifests/synthetic.csv"))


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (["build", "kinetic400", "--videos", "."], 1, "did you mean kinetics400"),
        (["build", "ucf101", "--videos", ".", "--one-class", "any"], 2, "--one-class goes with manifest build folder"),
        (["build", "folder", "--videos", "nowhere"], 1, "nowhere does not exist"),
        (["build", "ucf101"], 2, "needs --videos DIR"),
        (["build", "folder", "--videos", ".", "--name", "../up"], 2, "../up"),
        (["check", "jhmdb"], 1, "manifest build jhmdb --videos DIR"),
    ],
)
def test_a_fault_is_one_line(tmp_path: Path, arguments: list[str], code: int, expected: str) -> None:
    done = run(tmp_path, *arguments)
    assert done.returncode == code
    assert expected in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    if code == 1:
        assert len(done.stderr.splitlines()) == 1


def test_no_usable_video_is_an_error_and_keeps_the_manifest(tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    write_video(videos / "run/a.mp4", moving_frames(4, 48, 64))
    assert run(tmp_path / "ws", "build", "folder", "--videos", str(videos)).returncode == 0
    before = (tmp_path / "ws/manifests/folder.csv").read_bytes()
    (videos / "run/a.mp4").write_bytes(b"")
    failed = run(tmp_path / "ws", "build", "folder", "--videos", str(videos))
    assert failed.returncode == 1
    assert "1 empty_file" in failed.stderr
    assert (tmp_path / "ws/manifests/folder.csv").read_bytes() == before


@pytest.mark.realdata
def test_part_of_jhmdb(tmp_path: Path) -> None:
    videos = str(real_data_dir() / "jhmdb/videos")
    done = run(
        tmp_path, "build", "jhmdb", "--videos", videos, "--classes", "wave,golf", "--limit-per-class", "2", "--json"
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["splits"] == {"train": 4, "test": 4}
    checked = run(tmp_path, "check", "jhmdb", "--json")
    assert json.loads(checked.stdout)["sound"] == 8, checked.stderr
    records = read_manifest(tmp_path / "manifests/jhmdb.csv")
    assert [record.label for record in records] == [["golf", "wave"].index(record.class_name) for record in records]
    assert all(len(record.fold_splits) == 2 and 15 <= (record.num_frames or 0) <= 40 for record in records)
