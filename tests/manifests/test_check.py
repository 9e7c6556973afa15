"""Checking videos in processes: each outcome goes to its own video, and nothing found is lost."""

import subprocess
import sys
from pathlib import Path

import pytest

from manifests import VideoRecord, read_manifest, write_manifest
from manifests.check import probe_videos
from manifests.errors import KinetError, ManifestError
from manifests.survey import survey
from tests.manifests.probes import probe_by_name


def make_records(folder: Path, names: list[str]) -> list[VideoRecord]:
    records = []
    for number, name in enumerate(names):
        path = folder / f"{name}.mp4"
        path.write_bytes(b"x" * (number + 1))
        records.append(VideoRecord(name, path, "train", 0, "c"))
    return records


def test_crashes_and_hangs_are_blamed_on_the_right_video(tmp_path: Path) -> None:
    names = ["a", "die1", "b", "hang", "die2", "c", "bad", "d"]
    records = make_records(tmp_path, names)
    found = dict(
        probe_videos([record.path for record in records], probe_by_name, num_workers=2, stall_sec=5, timeout_sec=60)
    )
    assert sorted(found) == list(range(len(names)))
    reasons = {names[position]: probed.reason for position, probed in found.items()}
    sound = dict.fromkeys(("a", "b", "c", "d"))
    assert reasons == {**sound, "die1": "crashed", "die2": "crashed", "hang": "timeout", "bad": "unreadable"}
    assert {names[position]: probed.num_frames for position, probed in found.items() if not probed.reason} == {
        name: names.index(name) + 1 for name in sound
    }


def test_a_long_video_takes_its_time_and_one_without_end_does_not(tmp_path: Path) -> None:
    paths = [record.path for record in make_records(tmp_path, ["long", "endless"])]
    patient = dict(probe_videos(paths, probe_by_name, num_workers=1, stall_sec=10, timeout_sec=60))
    assert patient[0].reason is None and patient[1].reason is None
    bounded = dict(probe_videos(paths, probe_by_name, num_workers=1, stall_sec=10, timeout_sec=1.0))
    assert bounded[0].reason is None
    assert bounded[1].reason == "timeout" and "no end 1 s after the last frame" in bounded[1].message


def test_no_videos_and_no_workers() -> None:
    assert list(probe_videos([], probe_by_name, num_workers=2, stall_sec=5, timeout_sec=60)) == []
    with pytest.raises(ValueError, match="num_workers 0"):
        next(probe_videos([Path("a")], probe_by_name, num_workers=0, stall_sec=5, timeout_sec=5))


def test_a_survey_records_sound_videos_and_lists_the_others(tmp_path: Path) -> None:
    records = make_records(tmp_path, ["a", "bad", "cut", "d"])
    path = tmp_path / "set.csv"
    write_manifest(path, records)
    done: list[int] = []
    result = survey(path, records, probe_by_name, num_workers=2, stall_sec=30, timeout_sec=60, on_progress=done.append)
    assert done == [1, 2, 3, 4]
    assert (result.videos, result.checked, result.sound, result.frames) == (4, 4, 2, 1 + 3 + 4)
    assert result.reasons == {"unreadable": 1, "truncated": 1}
    assert [record.num_frames for record in read_manifest(path)] == [1, None, 3, 4]
    listed = (tmp_path / "set.faults.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in listed] == ["video_id", "bad", "cut"]
    # Once they are mended, a resumed check opens the faulty ones only, and the list goes.
    mended = [VideoRecord(r.video_id, tmp_path / "a.mp4", *_rest(r)) for r in read_manifest(path)]
    result = survey(path, mended, probe_by_name, num_workers=1, stall_sec=30, timeout_sec=60, resume=True)
    assert (result.checked, result.sound, result.faults_path) == (2, 4, None)
    assert not (tmp_path / "set.faults.csv").exists()


def test_what_was_found_stays_when_a_survey_is_broken_off(tmp_path: Path) -> None:
    records = make_records(tmp_path, ["bad", "a", "b", "c", "d"])
    path = tmp_path / "set.csv"
    write_manifest(path, records)

    def stop_after_three(done: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        survey(path, records, probe_by_name, num_workers=1, stall_sec=30, timeout_sec=60, on_progress=stop_after_three)
    kept = read_manifest(path)
    assert [record.num_frames for record in kept] == [None, 2, 3, None, None]
    result = survey(path, kept, probe_by_name, num_workers=1, stall_sec=30, timeout_sec=60, resume=True)
    assert (result.checked, result.sound, result.reasons) == (3, 4, {"unreadable": 1})


def test_a_lost_disk_ends_the_check_and_blames_no_video(tmp_path: Path) -> None:
    names = ["good0", "good1", "unmounted", "good2"]
    records = [VideoRecord(name, tmp_path / f"{name}.mp4", "train", 0, "walk") for name in names]
    for record in records:
        record.path.write_text("x")
    path = tmp_path / "set.csv"
    write_manifest(path, records)
    with pytest.raises(KinetError, match="its disk is gone"):
        survey(path, records, probe_by_name, num_workers=1, stall_sec=30, timeout_sec=60)
    assert [record.num_frames for record in read_manifest(path)] == [1, 1, None, None]
    assert not path.with_name("set.faults.csv").exists()


KILLED_CHECK = """
import os, signal, sys
from pathlib import Path
from manifests import read_manifest
from manifests.survey import survey
from tests.manifests.probes import probe_by_name

path = Path(sys.argv[1])
kill = lambda done: os.kill(os.getpid(), signal.SIGKILL) if done == 3 else None
survey(path, read_manifest(path), probe_by_name, num_workers=1, stall_sec=30, timeout_sec=60, on_progress=kill)
"""


def test_a_killed_survey_goes_on_where_it_was(tmp_path: Path) -> None:
    records = make_records(tmp_path, ["bad", "a", "b", "c", "d"])
    path = tmp_path / "set.csv"
    write_manifest(path, records)
    killed = subprocess.run([sys.executable, "-c", KILLED_CHECK, str(path)], capture_output=True, check=False)
    assert killed.returncode == -9, killed.stderr
    journal = tmp_path / "set.check.jsonl"
    assert len(journal.read_text().split()) > 0
    with journal.open("a") as journal_file:
        journal_file.write('\n["c", "cut by the ki')
    result = survey(path, records, probe_by_name, num_workers=1, stall_sec=30, timeout_sec=60, resume=True)
    assert (result.checked, result.sound, result.reasons) == (2, 4, {"unreadable": 1})
    assert [record.num_frames for record in read_manifest(path)] == [None, 2, 3, 4, 5]
    assert not journal.exists()


def test_a_check_from_the_start_forgets_a_killed_one(tmp_path: Path) -> None:
    records = make_records(tmp_path, ["a", "b"])
    path = tmp_path / "set.csv"
    write_manifest(path, records)
    (tmp_path / "set.check.jsonl").write_text("[]\n")
    assert survey(path, records, probe_by_name, num_workers=1, stall_sec=30, timeout_sec=60).checked == 2


def test_not_one_sound_video_is_an_error(tmp_path: Path) -> None:
    records = make_records(tmp_path, ["bad", "bad2"])
    with pytest.raises(ManifestError, match="2 unreadable"):
        survey(tmp_path / "set.csv", records, probe_by_name, num_workers=1, stall_sec=30, timeout_sec=60)
    with pytest.raises(ManifestError, match="no video"):
        survey(tmp_path / "set.csv", [], probe_by_name, num_workers=1, stall_sec=30, timeout_sec=60)


def _rest(record: VideoRecord) -> tuple[str, int, str, int | None]:
    return record.split, record.label, record.class_name, record.num_frames
