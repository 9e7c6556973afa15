"""One labelling job from its first video to its last committed shard, timed: what several benchmarks compare with."""

import contextlib
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from cpu_clock import CpuClock

from manifests import VideoRecord
from pipeline.label.job import LabelJob, run_label_job
from pipeline.label.pools import open_pool
from pipeline.label.progress import LabelProgress
from pipeline.label.settings import LabelSettings, TeacherSettings


class Measured(NamedTuple):
    """How fast something was, and what it took of the processors."""

    frames_per_sec: float
    cpu_ms_per_frame: float


def whole_job(records: Sequence[VideoRecord], teachers: TeacherSettings, settings: LabelSettings) -> Measured:
    """Label from the first video's start to the last committed shard, in this process without Ray."""
    started: list[float] = []
    clock = CpuClock()

    def note_start(_: LabelProgress) -> None:
        if not started:
            started.append(time.monotonic())
            running.enter_context(clock)

    with tempfile.TemporaryDirectory() as folder:
        job = LabelJob("bench", records, Path(folder), videos_per_shard=32)
        with open_pool(teachers, settings, Path(folder), None) as pool, contextlib.ExitStack() as running:
            report = run_label_job(job, pool, note_start)
            seconds = time.monotonic() - started[0]
    return Measured(report.frames / seconds, 1000 * clock.seconds / report.frames)
