"""Measure what a job costs beside decoding and real teachers: processor seconds per 1,000 videos, and how that grows.

Videos of two tiny frames, one process without Ray. The light teachers compare one colour of every pixel with a number:
their 0.3 ms a video are counted. Counted is the labelling process alone, from the reading of the manifest to the last
receipt; the decoding processes are not. Every planned video is labelled.
The ratio is a video's cost at the largest size over that at the smallest: 1 or less is linear or better. What a frame
costs is not seen here: bench_efficiency.py and bench_peers.py have it.

    python benchmarks/bench_orchestration.py [--sizes 1000 10000 100000]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from workload import make_teachers

from manifests import VideoRecord, read_manifest, write_manifest
from pipeline.label.job import LabelJob, run_label_job
from pipeline.label.pools import open_pool
from pipeline.label.settings import LabelSettings

FILES = 100


def write_tiny_videos(folder: Path) -> list[Path]:
    """Write H.264 files of two 64 x 64 frames."""
    paths = []
    for number in range(FILES):
        path = folder / f"{number:03d}.mp4"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=Fraction(25))
            stream.width = stream.height = 64
            for brightness in (number, number + 100):
                frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), brightness, np.uint8), format="rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        paths.append(path)
    return paths


def own_peak_mb() -> float:
    """Return this process's peak resident memory: not getrusage's, which begins with that of the parent."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) * 1024 / 1e6


def measure(num_videos: int) -> None:
    """Label so many videos in this process, and print its processor seconds."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = write_tiny_videos(folder)
        records = [VideoRecord(f"v{i:06d}", paths[i % FILES], "train", 0, "any") for i in range(num_videos)]
        write_manifest(folder / "tiny.csv", records)
        teachers = make_teachers("light", folder)
        started_sec, started_cpu_sec = time.monotonic(), time.process_time()
        job = LabelJob("tiny", read_manifest(folder / "tiny.csv"), folder / "shards", videos_per_shard=128)
        with open_pool(teachers, LabelSettings(), folder / "shards", None) as pool:
            report = run_label_job(job, pool, lambda _: None)
        cpu_sec, seconds = time.process_time() - started_cpu_sec, time.monotonic() - started_sec
        peak_mb = own_peak_mb()
        if report.status.ok != num_videos:
            sys.exit(f"{report.status.ok} of {num_videos} videos labelled")
        print(json.dumps({"videos": num_videos, "cpu_sec": cpu_sec, "seconds": seconds, "peak_mb": peak_mb}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        measure(options.one)
        return
    print(f"{'videos':>9} {'CPU s':>9} {'CPU s/1,000':>12} {'seconds':>9} {'peak MB':>9}", flush=True)
    costs = []
    for size in options.sizes:
        # A process each: memory and imports of one do not count for the next.
        command = [sys.executable, __file__, "--one", str(size)]
        done = subprocess.run(command, check=True, env=os.environ, stdout=subprocess.PIPE, text=True)
        found = json.loads(done.stdout.splitlines()[-1])
        costs.append(1000 * found["cpu_sec"] / size)
        print(
            f"{size:>9,} {found['cpu_sec']:>9.1f} {costs[-1]:>12.2f} {found['seconds']:>9.1f} {found['peak_mb']:>9.0f}",
            flush=True,
        )
    print(
        f"a video at {options.sizes[-1]:,} over one at {options.sizes[0]:,}: {costs[-1] / costs[0]:.2f} times the cost"
    )


if __name__ == "__main__":
    main()
