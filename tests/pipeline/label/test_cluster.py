"""Labelling on Ray: the labels of an in-process run, whatever dies on the way."""

import csv
import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.errors import KinetError
from pipeline.label.job import LabelJob, run_label_job
from pipeline.label.journal import read_history
from pipeline.label.progress import LabelProgress
from pipeline.label.settings import ClusterSettings, LabelSettings
from tests.pipeline.label import toy_teachers
from tests.pipeline.label.conftest import TOY_HUMAN, TOY_SCENE, Bench
from tests.pipeline.label.toy_teachers import HARM_VARIABLE, LEAK_VARIABLE, NUM_TRIAL_FRAMES
from tests.processes import descendants, has_open, title

# In the run's own process, and on a Ray cluster of its own.
WORKERS = ["0", pytest.param("1", marks=pytest.mark.ray)]
REPOSITORY = Path(__file__).parents[3]


def label_command(bench: Bench, *extra: str) -> list[str]:
    command = [sys.executable, "-m", "pipeline.cli", "label", "--dataset", "mix", "--workspace"]
    command += [str(bench.workspace.root), "--videos-per-shard", "3", "--batch-size", "8", "--json"]
    # Lines of progress come with time, however slow the machine.
    command += ["--progress", "none"]
    return [*command, "--human-teacher", TOY_HUMAN, "--scene-teacher", TOY_SCENE, *extra]


def start(bench: Bench, *extra: str, harm: str = "") -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), HARM_VARIABLE: harm}
    return subprocess.Popen(
        label_command(bench, *extra), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


def has_unfinished_shard(pid: int) -> bool:
    """Tell whether a process is a worker that writes a shard."""
    return "ray::LabellingActor" in title(pid) and has_open(pid, ".part")


def wait_for(condition, seconds: float = 150.0):
    """Poll until a condition gives something, and return it."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError("waited in vain")


def label_unbroken(bench: Bench, pause: str, **how: int) -> dict[str, bytes]:
    """Label in this process without pauses, keep the bytes, and clear the table; later batches pause so many seconds.

    The pause is part of the teacher's file, whose hash is in the shards.
    """
    bench.teachers.human_path.write_text(pause)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(toy_teachers.BrightPixels, "pause", lambda self: None)
        bench.label(**how)
    content = bench.shard_bytes()
    shutil.rmtree(bench.shards_dir)
    return content


@pytest.fixture
def expected(bench: Bench) -> dict[str, bytes]:
    """Label without a break; later batches take long enough to be interrupted."""
    return label_unbroken(bench, "0.2")


@pytest.mark.ray
def test_a_worker_that_is_killed_or_used_up_is_replaced(bench: Bench, expected: dict[str, bytes]) -> None:
    teachers_dir = bench.teachers.human_path.parent
    (teachers_dir / "go").touch()
    run = start(bench, "--workers", "1", "--recycle-after", "2", "--human-teacher", f"{TOY_HUMAN}_when_told")
    wait_for(lambda: list(bench.shards_dir.glob("*.part")))
    worker = wait_for(lambda: next((pid for pid in descendants(run.pid) if "ray::LabellingActor" in title(pid)), None))
    os.kill(worker, signal.SIGKILL)
    out, err = run.communicate(timeout=120)
    assert run.returncode == 0, err
    assert json.loads(out)["missing"] == 0 and out.count("\n") == 1
    # Each process that loads the teacher leaves its number: the killed one, and two for the four or three shards left.
    assert len(expected) == 4 and len(list(teachers_dir.glob("loading-*"))) == 3
    assert bench.shard_bytes() == expected


@pytest.mark.ray
def test_a_killed_driver_loses_only_open_shards(bench: Bench, expected: dict[str, bytes]) -> None:
    run = start(bench, "--workers", "1")
    wait_for(lambda: list(bench.shards_dir.glob("*.json")) and list(bench.shards_dir.glob("train-*.json")))
    run.kill()
    run.communicate()
    kept = {path.name: path.stat().st_mtime_ns for path in bench.shards_dir.glob("*-of-*.json")}
    assert kept
    report = bench.label()
    assert bench.shard_bytes() == expected and report.status.missing == 0
    assert {name: (bench.shards_dir / name).stat().st_mtime_ns for name in kept} == kept


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize("workers", WORKERS)
def test_a_signal_ends_the_run_with_one_line(bench: Bench, number: int, code: int, workers: str) -> None:
    bench.teachers.human_path.write_text("1")
    run = start(bench, "--workers", workers)
    wait_for(lambda: list(bench.shards_dir.glob("*.part")))
    run.send_signal(number)
    out, err = run.communicate(timeout=120)
    assert run.returncode == code and out == ""
    assert len(err.strip().splitlines()) == 1 and "run the same command again" in err
    # No video is suspected of it.
    (history,) = (read_history(path, "the next run") for path in bench.shards_dir.glob("*.journal"))
    assert not history.suspects


@pytest.mark.ray
@pytest.mark.parametrize("factory", [f"{TOY_HUMAN}_mortal", TOY_HUMAN])
def test_a_worker_that_dies_while_it_is_measured_is_replaced_a_few_times(
    bench: Bench, factory: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from pipeline.label import crew
    from pipeline.label.cluster import RayPool

    monkeypatch.setattr(crew, "MAX_FAULTS", 2)
    for_ever = factory == TOY_HUMAN
    monkeypatch.setenv(LEAK_VARIABLE, str(NUM_TRIAL_FRAMES) if for_ever else "inf")
    teachers = dataclasses.replace(bench.teachers, human_factory=factory)
    settings = ClusterSettings(None, 1)
    with RayPool(teachers, LabelSettings(batch_size=8), bench.shards_dir, settings) as pool:
        if for_ever:
            with pytest.raises(KinetError, match="a worker cannot start: ActorDiedError"):
                pool.describe(measure=True)
        else:
            assert pool.describe(measure=True).frames_per_sec
            assert bench.teachers.human_path.with_name("died").exists()
    assert caplog.text.count("a worker died while its speed was measured") == 1


@pytest.mark.ray
def test_a_teacher_that_cannot_be_loaded_is_one_line(bench: Bench) -> None:
    run = start(bench, "--workers", "1", "--human-teacher", "teachers.human:load")
    out, err = run.communicate(timeout=120)
    assert run.returncode == 1 and out == ""
    assert len(err.strip().splitlines()) == 1 and "human" in err


@pytest.mark.slow
@pytest.mark.parametrize("workers", WORKERS)
def test_a_video_that_kills_workers_is_given_up_alone_and_can_be_retried(bench: Bench, workers: str) -> None:
    bench.whiten("good2")
    bench.label()
    expected, planned = bench.shard_bytes(), len(bench.records)
    shutil.rmtree(bench.shards_dir)
    deaths = 0
    while True:
        run = start(bench, "--workers", workers, "--recycle-after", "2", harm="crash")
        out, err = run.communicate(timeout=200)
        if run.returncode != -signal.SIGSEGV:
            break
        deaths += 1
    # A worker that is its own driver takes the run with it; on Ray the run goes on.
    assert run.returncode == 0 and deaths == (4 if workers == "0" else 0), err
    status = json.loads(out)
    assert status["reasons"]["crashed"] == 1 and status["missing"] == 0 and status["planned"] == planned
    with (bench.shards_dir / "quarantine.csv").open(newline="") as stream:
        (crashed,) = (row for row in csv.DictReader(stream) if row["reason"] == "crashed")
    assert crashed["video_id"] == "good2" and crashed["attempts"] == "3"
    assert bench.retry("crashed").status.reasons.get("crashed", 0) == 0
    assert bench.shard_bytes() == expected


@pytest.mark.slow
def test_without_ray_each_hang_ends_the_run_until_the_video_is_left_out(bench: Bench) -> None:
    bench.whiten("good2")
    for attempt in range(6):
        run = start(bench, "--workers", "0", "--teacher-stall-sec", "4", harm="hang")
        out, err = run.communicate(timeout=100)
        if run.returncode == 0:
            break
        assert run.returncode == 1 and out == "" and len(err.strip().splitlines()) == 1
        # Alone from the second attempt on; before, its neighbours may share a batch with it.
        assert re.search(r"a teacher, or flow, gave nothing for \d+ s, at .*good2", err), err
        assert attempt == 0 or "at good2;" in err
    # The first among others, three alone.
    assert attempt == 4
    status = json.loads(out)
    assert status["reasons"]["timeout"] == 1 and status["missing"] == 0 and status["planned"] == len(bench.records)
    with (bench.shards_dir / "quarantine.csv").open(newline="") as stream:
        (hung,) = (row for row in csv.DictReader(stream) if row["reason"] == "timeout")
    assert hung["video_id"] == "good2"
    assert re.search(r"a teacher, or flow, gave nothing for \d+ s, in each of 3 attempts", hung["message"])


@pytest.mark.parametrize("workers", WORKERS)
def test_a_video_that_a_teacher_raises_on_is_quarantined_alone(bench: Bench, workers: str) -> None:
    bench.whiten("good2")
    run = start(bench, "--workers", workers, harm="raise")
    out, err = run.communicate(timeout=200)
    assert run.returncode == 0 and "Traceback" not in err, err
    status = json.loads(out)
    assert status["reasons"]["teacher_failed"] == 1 and status["missing"] == 0
    with (bench.shards_dir / "quarantine.csv").open(newline="") as stream:
        (failed,) = (row for row in csv.DictReader(stream) if row["reason"] == "teacher_failed")
    assert failed["video_id"] == "good2" and "RuntimeError: no white frames, please" in failed["message"]


@pytest.mark.ray
@pytest.mark.slow
def test_a_worker_that_hangs_holds_up_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.label import shard_queue
    from pipeline.label.cluster import RayPool

    monkeypatch.setattr(shard_queue, "LATE_AFTER_SEC", 2.0)
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    stopped: list[int] = []

    def stop_one(_: LabelProgress) -> None:
        """Once the first shard is committed, stop a worker that is at work on another."""
        if not stopped and list(bench.shards_dir.glob("*-of-*.json")):
            stopped.extend(pid for pid in descendants(os.getpid()) if has_unfinished_shard(pid))
            del stopped[1:]
            for pid in stopped:
                os.kill(pid, signal.SIGSTOP)

    job = LabelJob("mix", bench.records, bench.shards_dir, None, 2)
    # So slow that work is left when the first shard is done, however quick the machine.
    unbroken = label_unbroken(bench, "0.6", videos_per_shard=2)
    with RayPool(bench.teachers, LabelSettings(batch_size=8), bench.shards_dir, ClusterSettings(None, 2)) as pool:
        report = run_label_job(job, pool, stop_one)
    assert stopped and report.status.missing == 0
    assert report.frames == report.status.frames
    assert bench.shard_bytes() == unbroken
    wait_for(lambda: not Path(f"/proc/{stopped[0]}").exists())


@pytest.mark.ray
@pytest.mark.slow
def test_a_video_that_a_teacher_hangs_on_is_quarantined_alone(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.label.cluster import RayPool

    for name, value in ((HARM_VARIABLE, "hang"), ("PYTHONPATH", str(REPOSITORY))):
        monkeypatch.setenv(name, value)
    bench.whiten("good2")
    job = LabelJob("mix", bench.records, bench.shards_dir, None, 3)
    settings = LabelSettings(batch_size=8, teacher_stall_sec=5)
    with RayPool(bench.teachers, settings, bench.shards_dir, ClusterSettings(None, 1)) as pool:
        status = run_label_job(job, pool, lambda _: None).status
    assert status.missing == 0 and status.reasons["timeout"] == 1
