"""Measure what labelling costs beyond its two bounds: decoding alone, and the teachers alone.

Three figures in one run, in turns: frames/s of the decoding processes with nobody behind them, of the teachers on
frames that are already in memory, and of the whole job. The ratio is the whole over the smaller of the two bounds.
Where the teachers run on the processors that decode too, no job can reach that; the second ratio is over what the
shared processors could do at best, 1 / (1 / decoding + 1 / teachers). The third is the processor time of decoding and
teachers over that of the whole job, all processes counted: other work on the machine hardly moves it.

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
from cpu_clock import CpuClock, Run
from whole_job import whole_job
from workload import find_videos, make_teachers

from manifests import VideoRecord
from pipeline.label.decode_ahead import DecodeAhead, VideoEnd
from pipeline.label.settings import LabelSettings, TeacherSettings
from pipeline.label.worker import ShardWorker
from pipeline.malloc import keep_freed_memory
from pipeline.processors import count_processors, let_waiting_threads_sleep
from pipeline.video import FRAME_HEIGHT, FRAME_WIDTH


def decode_alone(records: Sequence[VideoRecord], settings: LabelSettings) -> Run:
    """Run the decoding processes alone: every frame arrives and is dropped."""
    decoders = DecodeAhead(settings.decoders_for(count_processors()))
    for _ in decoders.events(records[:1]):
        pass
    started = time.monotonic()
    with CpuClock() as clock:
        num_frames = sum(e.done.num_frames for _, e in decoders.events(records) if isinstance(e, VideoEnd))
    seconds = time.monotonic() - started
    decoders.close()
    return Run(num_frames, seconds, clock.seconds)


def teachers_alone(teachers: TeacherSettings, settings: LabelSettings, num_frames: int) -> Run:
    """Run both teachers alone, on random frames in memory."""
    generator = np.random.default_rng(0)
    shape = (settings.batch_size, FRAME_HEIGHT, FRAME_WIDTH, 3)
    # As many batches as no cache holds: a job's frames come from memory too.
    pixels = generator.integers(0, 256, (8, *shape), dtype=np.uint8)
    worker = ShardWorker(teachers, settings, Path(), num_cpus=count_processors())
    worker.predict(pixels[:1])
    num_batches = max(1, num_frames // settings.batch_size)
    started = time.monotonic()
    with CpuClock() as clock:
        for number in range(num_batches):
            worker.predict([pixels[number % len(pixels)]])
    seconds = time.monotonic() - started
    worker.close()
    num_frames = num_batches * settings.batch_size
    return Run(num_frames, seconds, clock.seconds)


def main() -> None:
    # As in a worker, and as there before torch is loaded.
    let_waiting_threads_sleep()
    keep_freed_memory()
    import torch

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
        measures: dict[str, Callable[[], Run]] = {
            "decoding alone": lambda: decode_alone(records, settings),
            "teachers alone": lambda: teachers_alone(teachers, settings, options.frames),
            "whole job": lambda: whole_job(records, teachers, settings),
        }
        found: dict[str, list[Run]] = {name: [] for name in measures}
        for _ in range(options.rounds):
            for name, measure in measures.items():
                found[name].append(measure())
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{os.cpu_count()} processors, no GPU"
    print(f"{len(records)} videos, {options.teachers} teachers, {device}; medians of {options.rounds}")
    for name, of in found.items():
        speeds = [one.frames_per_sec for one in of]
        print(
            f"  {name:<15} {statistics.median(speeds):9.2f} frames/s ({min(speeds):.2f} to {max(speeds):.2f}) "
            f"{statistics.median(one.cpu_ms_per_frame for one in of):9.3f} processor ms a frame"
        )
    decoding, teaching, whole = (statistics.median(one.frames_per_sec for one in of) for of in found.values())
    print(f"whole / min(decoding, teachers)  {whole / min(decoding, teaching):.3f}")
    if not torch.cuda.is_available():
        print(f"whole / shared processors        {whole * (1 / decoding + 1 / teaching):.3f}")
        costs = [statistics.median(one.cpu_ms_per_frame for one in of) for of in found.values()]
        print(f"processor time, parts / whole    {(costs[0] + costs[1]) / costs[2]:.3f}")


if __name__ == "__main__":
    main()
