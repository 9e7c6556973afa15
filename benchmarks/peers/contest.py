"""What each contender is told and says: its arguments, and one JSON line with frames, seconds and processor seconds."""

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path

BENCHMARKS_DIR = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(BENCHMARKS_DIR))

import workload  # noqa: E402 - found by the line above

from manifests import VideoRecord  # noqa: E402
from pipeline.label.settings import TeacherSettings  # noqa: E402


@dataclass(frozen=True)
class Task:
    """What to label: videos, with which teachers, at which batch size, and where the labels go."""

    records: list[VideoRecord]
    teachers: TeacherSettings
    batch_size: int
    num_threads: int
    output_dir: Path


def read_task() -> Task:
    """Read the arguments that `bench_peers.py` gives to each contender."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--videos", type=Path, required=True)
    parser.add_argument("--limit", type=int, required=True)
    parser.add_argument("--teachers", choices=["light", "heavy"], required=True)
    parser.add_argument("--batch-size", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True)
    return Task(
        workload.find_videos(arguments.videos, arguments.limit),
        workload.make_teachers(arguments.teachers, arguments.output),
        arguments.batch_size,
        arguments.threads,
        arguments.output,
    )


def report(num_frames: int, seconds: float, cpu_sec: float) -> None:
    """Say what was measured: from the first video's start, with teachers loaded and workers up, to the last label."""
    print(json.dumps({"frames": num_frames, "seconds": seconds, "cpu_sec": cpu_sec}))
