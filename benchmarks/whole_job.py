"""One labelling job from its first video to its last committed shard, timed: what several benchmarks compare with."""

import contextlib
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from cpu_clock import CpuClock, Run

from manifests import VideoRecord
from pipeline.label.job import LabelJob, run_label_job
from pipeline.label.pools import open_pool
from pipeline.label.progress import LabelProgress
from pipeline.label.settings import LabelSettings, TeacherSettings
from pipeline.label.worker_pool import WorkerPool


def run_timed(job: LabelJob, pool: WorkerPool) -> Run:
    """Run a job; the clocks start when its workers are up and its first video begins."""
    started: list[float] = []
    clock = CpuClock()

    def note_start(_: LabelProgress) -> None:
        if not started:
            started.append(time.monotonic())
            running.enter_context(clock)

    with contextlib.ExitStack() as running:
        report = run_label_job(job, pool, note_start)
        seconds = time.monotonic() - started[0]
    return Run(report.frames, seconds, clock.seconds)


def whole_job(records: Sequence[VideoRecord], teachers: TeacherSettings, settings: LabelSettings) -> Run:
    """Label in this process without Ray."""
    with tempfile.TemporaryDirectory() as folder, open_pool(teachers, settings, Path(folder), None) as pool:
        return run_timed(LabelJob("bench", records, Path(folder)), pool)
