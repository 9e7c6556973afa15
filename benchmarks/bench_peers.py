"""Compare labelling with what a user would write: a plain PyTorch script, and a Ray Data job.

The same videos, teachers, precision, batch size and machine; one contender at a time, in turns, each in a process of
its own. The clock runs from the first video's start to the last label on disk, with teachers loaded and workers up; a
Ray Data job starts its actors as a part of running, so what a run over one video takes is taken off its time. Each
may use all processors; Ray Data gives one of them to its teachers' actor and decodes on the others. Light teachers
show what the pipeline itself costs; heavy ones (PSPNet-DenseNet121 and ResNet-152, random weights) what is left of
that in real work.

Processor seconds of all of a contender's processes are counted beside: other work on the machine hardly moves them.

    python benchmarks/bench_peers.py --videos DIR [--teachers light] [--limit 500] [--rounds 3]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from cpu_clock import Run

PEERS_DIR = Path(__file__).resolve().parent / "peers"
OURS = "kinet-pipeline"
CONTENDERS = {OURS: "ours.py", "plain PyTorch": "plain_pytorch.py", "Ray Data": "ray_data.py"}


def run(program: str, arguments: list[str]) -> Run:
    """Run one contender; exits with what it said where it fails."""
    command = [sys.executable, str(PEERS_DIR / program), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{program} failed:\n{done.stderr[-3000:]}")
    return Run(**json.loads(done.stdout.strip().splitlines()[-1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=Path, required=True)
    parser.add_argument("--teachers", choices=["light", "heavy"], default="light")
    parser.add_argument("--limit", type=int, default=500)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    runs: dict[str, list[Run]] = {name: [] for name in CONTENDERS}
    for round_number in range(options.rounds):
        for name, program in CONTENDERS.items():
            with tempfile.TemporaryDirectory() as folder:
                arguments = ["--videos", str(options.videos), "--limit", str(options.limit)]
                arguments += ["--teachers", options.teachers, "--batch-size", str(options.batch_size)]
                arguments += ["--threads", str(options.threads), "--output", f"{folder}/{name.replace(' ', '-')}"]
                done = run(program, arguments)
            runs[name].append(done)
            print(
                f"round {round_number + 1}: {name:<15} {done.frames} frames, {done.frames_per_sec:8.1f} frames/s, "
                f"{done.cpu_ms_per_frame:7.2f} processor ms a frame",
                flush=True,
            )
    speeds = {name: statistics.median(one.frames_per_sec for one in of) for name, of in runs.items()}
    costs = {name: statistics.median(one.cpu_ms_per_frame for one in of) for name, of in runs.items()}
    speed, cost = speeds.pop(OURS), costs.pop(OURS)
    print(f"\n{options.teachers} teachers, medians of {options.rounds}: {OURS} {speed:.1f} frames/s, {cost:.2f} ms")
    for name in speeds:
        print(
            f"  {speed / speeds[name]:5.2f} times the speed of {name} ({speeds[name]:.1f} frames/s), "
            f"{cost / costs[name]:5.2f} times its processor time ({costs[name]:.2f} ms)"
        )


if __name__ == "__main__":
    main()
