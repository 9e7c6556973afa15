"""Compare labelling with what a user would write: a plain PyTorch script, and a Ray Data job.

The same videos, teachers, batch size and machine; one contender at a time, in turns, each in a process of its own. The
clock runs from the first video's start to the last label on disk, with teachers loaded and workers up; a Ray Data job
starts its actors as a part of running, so give it a list that is long beside some seconds. Light teachers show what the
pipeline itself costs; heavy ones (PSPNet-DenseNet121 and ResNet-152, random weights) what is left of that in real work.

    python benchmarks/bench_peers.py --videos DIR [--teachers light] [--limit 200] [--rounds 3]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

PEERS_DIR = Path(__file__).resolve().parent / "peers"
CONTENDERS = {"kinet-pipeline": "ours.py", "plain PyTorch": "plain_pytorch.py", "Ray Data": "ray_data.py"}


def run(program: str, arguments: list[str]) -> tuple[int, float]:
    """Run one contender; returns frames and seconds, exits with what it said where it fails."""
    command = [sys.executable, str(PEERS_DIR / program), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{program} failed:\n{done.stderr[-3000:]}")
    answer = json.loads(done.stdout.strip().splitlines()[-1])
    return answer["frames"], answer["seconds"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=Path, required=True)
    parser.add_argument("--teachers", choices=["light", "heavy"], default="light")
    parser.add_argument("--limit", type=int, default=200)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    speeds: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    for round_number in range(options.rounds):
        for name, program in CONTENDERS.items():
            with tempfile.TemporaryDirectory() as folder:
                arguments = ["--videos", str(options.videos), "--limit", str(options.limit)]
                arguments += ["--teachers", options.teachers, "--batch-size", str(options.batch_size)]
                arguments += ["--threads", str(options.threads), "--output", f"{folder}/{name.replace(' ', '-')}"]
                frames, seconds = run(program, arguments)
            speeds[name].append(frames / seconds)
            print(f"round {round_number + 1}: {name:<15} {frames} frames, {frames / seconds:8.1f} frames/s", flush=True)
    medians = {name: statistics.median(values) for name, values in speeds.items()}
    ours = medians.pop("kinet-pipeline")
    print(f"\n{options.teachers} teachers, median of {options.rounds}: kinet-pipeline {ours:.1f} frames/s")
    for name, speed in medians.items():
        print(f"  {ours / speed:5.2f} times {name} ({speed:.1f} frames/s)")


if __name__ == "__main__":
    main()
