"""Measure what labelling costs beyond its two bounds: decoding alone, and the teachers alone.

Three figures in one run, in turns: frames/s of the decoding processes with nobody behind them, of the teachers on
frames that are already in memory, and of the whole job. The ratio is the whole over the smaller of the two bounds.
Where the teachers run on the processors that decode too, no job can reach that; the second ratio is over what the
shared processors could do at best, 1 / (1 / decoding + 1 / teachers).

    python benchmarks/bench_efficiency.py --videos DIR [--teachers heavy] [--limit 20] [--rounds 3] [--frames 128]
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from workload import find_videos, make_teachers

from manifests import VideoRecord
from pipeline.label.decode_ahead import DecodeAhead, VideoEnd
from pipeline.label.job import LabelJob, run_label_job
from pipeline.label.pools import open_pool
from pipeline.label.progress import LabelProgress
from pipeline.label.settings import LabelSettings, TeacherSettings
from pipeline.label.worker import ShardWorker
from pipeline.processors import count_processors
from pipeline.video import FRAME_HEIGHT, FRAME_WIDTH


def decode_alone(records: Sequence[VideoRecord], settings: LabelSettings) -> float:
    """Return frames/s of the decoding processes, in which every frame arrives and is dropped."""
    decoders = DecodeAhead(settings.decoders_for(count_processors()))
    for _ in decoders.events(records[:1]):
        pass
    started = time.monotonic()
    num_frames = sum(e.done.num_frames for _, e in decoders.events(records) if isinstance(e, VideoEnd))
    seconds = time.monotonic() - started
    decoders.close()
    return num_frames / seconds


def teachers_alone(teachers: TeacherSettings, settings: LabelSettings, num_frames: int) -> float:
    """Return frames/s of both teachers on random frames in memory."""
    generator = np.random.default_rng(0)
    shape = (settings.batch_size, FRAME_HEIGHT, FRAME_WIDTH, 3)
    pixels = generator.integers(0, 256, shape, dtype=np.uint8)
    worker = ShardWorker(teachers, settings, Path(), num_cpus=count_processors())
    worker.predict(pixels)
    num_batches = max(1, num_frames // settings.batch_size)
    started = time.monotonic()
    for _ in range(num_batches):
        worker.predict(pixels)
    return num_batches * settings.batch_size / (time.monotonic() - started)


def whole_job(records: Sequence[VideoRecord], teachers: TeacherSettings, settings: LabelSettings) -> float:
    """Return frames/s from the first video's start to the last committed shard, in this process without Ray."""
    started: list[float] = []

    def note_start(_: LabelProgress) -> None:
        if not started:
            started.append(time.monotonic())

    with tempfile.TemporaryDirectory() as folder:
        job = LabelJob("bench", records, Path(folder), videos_per_shard=32)
        with open_pool(teachers, settings, Path(folder), None) as pool:
            report = run_label_job(job, pool, note_start)
    return report.frames / (time.monotonic() - started[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=Path, required=True)
    parser.add_argument("--teachers", choices=["light", "heavy"], default="heavy")
    parser.add_argument("--limit", type=int, default=20)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--decoders", type=int)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--frames", type=int, default=128, help="through the teachers alone")
    options = parser.parse_args()
    records = find_videos(options.videos, options.limit)
    settings = LabelSettings(batch_size=options.batch_size, num_decoders=options.decoders)
    with tempfile.TemporaryDirectory() as folder:
        teachers = make_teachers(options.teachers, Path(folder))
        measures: dict[str, Callable[[], float]] = {
            "decoding alone": lambda: decode_alone(records, settings),
            "teachers alone": lambda: teachers_alone(teachers, settings, options.frames),
            "whole job": lambda: whole_job(records, teachers, settings),
        }
        speeds: dict[str, list[float]] = {name: [] for name in measures}
        for _ in range(options.rounds):
            for name, measure in measures.items():
                speeds[name].append(measure())
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{os.cpu_count()} processors, no GPU"
    decoding, teaching, whole = (statistics.median(values) for values in speeds.values())
    print(f"{len(records)} videos, {options.teachers} teachers, {device}; medians of {options.rounds}, frames/s")
    for name, values in speeds.items():
        print(f"  {name:<15} {statistics.median(values):9.2f}   ({min(values):.2f} to {max(values):.2f})")
    print(f"whole / min(decoding, teachers)  {whole / min(decoding, teaching):.3f}")
    if not torch.cuda.is_available():
        print(f"whole / shared processors        {whole * (1 / decoding + 1 / teaching):.3f}")


if __name__ == "__main__":
    main()
