"""The checks of the program that kills jobs find what is wrong: a program that never fails would show nothing."""

import dataclasses
import os
import random
import shutil
from pathlib import Path

import h5py
import pytest

from pipeline.shards import read_receipt, write_receipt
from tests.videos import moving_frames, write_video

REPOSITORY = Path(__file__).parents[2]
BENCHMARKS_DIR = REPOSITORY / "benchmarks"


def test_what_is_touched_wrong_or_not_listed_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS_DIR))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(REPOSITORY), str(BENCHMARKS_DIR)]))
    monkeypatch.setenv("KINET_CHAOS_DIR", str(tmp_path))
    from chaos_checks import CommittedFiles, find_differences, find_end_faults, find_repeated_work, find_report_faults
    from chaos_job import Job
    from chaos_videos import make_videos

    for number in range(3):
        write_video(tmp_path / "videos" / f"v{number}.mp4", moving_frames(20 + number, seed=number))
    records = make_videos(tmp_path / "videos", 3, tmp_path / "poison", random.Random(0), ["half", "text"])
    job = Job(tmp_path / "job", records, tmp_path, None, 0)
    job.slow_down(0.0)
    command = job.start()
    command.process.wait()
    assert find_end_faults(command) == []
    shutil.copytree(tmp_path / "job", tmp_path / "unbroken")
    unbroken = Job(tmp_path / "unbroken", records, tmp_path, None, 0)
    files = CommittedFiles()
    assert files.find_changes(job) + find_differences(job, unbroken) + find_report_faults(job) == []
    counts = {"unbroken": job.num_batches, "num_commands": 1, "num_kills": 0}
    assert find_repeated_work(job, num_batches=job.num_batches, **counts) == []

    # A committed file made again, with the same bytes; the same work done ten times; an end that nothing explains.
    receipt_path = next(job.shards_dir.glob("*-of-*.json"))
    write_receipt(receipt_path, read_receipt(receipt_path))
    assert receipt_path.name in str(files.find_changes(job)) and find_differences(job, unbroken) == []
    assert "batches labelled" in str(find_repeated_work(job, num_batches=10 * job.num_batches, **counts))
    command.process.returncode = 143
    assert "after no kill" in str(find_end_faults(command))

    # Receipts with another checksum, of both jobs alike.
    for path in (receipt_path, unbroken.shards_dir / receipt_path.name):
        write_receipt(path, dataclasses.replace(read_receipt(path), sha256="0" * 64))
    assert find_differences(job, unbroken) == [] and "verify ends with exit code 1" in str(find_report_faults(job))

    # A wrong row.
    shard_path = job.shards_dir / f"{receipt_path.stem}.h5"
    content = shard_path.read_bytes()
    with h5py.File(shard_path, "a") as file:
        file["frame_hash"][0] += 1
    assert f"{shard_path.name}: frame_hash: 1 rows, the first 0, frame 0 of" in str(find_differences(job, unbroken))
    shard_path.write_bytes(content)

    # No list of videos without labels, in either; a lost shard.
    for each in (job, unbroken):
        (each.shards_dir / "quarantine.csv").unlink()
    assert "quarantine.csv lists [], receipts ['text']" in str(find_differences(job, unbroken))
    receipt_path.unlink()
    assert "videos lost" in str(find_differences(job, unbroken))
