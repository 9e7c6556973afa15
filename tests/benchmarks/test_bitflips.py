"""The program that flips bits in committed shards, over a few small ones."""

import os
import subprocess
import sys
from pathlib import Path

from tests.videos import moving_frames, write_video

REPOSITORY = Path(__file__).parents[2]


def test_fifty_flipped_bits_are_found_and_repaired(tmp_path: Path) -> None:
    for number in range(10):
        write_video(tmp_path / f"class{number % 2}" / f"v{number}.mp4", moving_frames(2 + number, seed=number))
    command = [sys.executable, str(REPOSITORY / "benchmarks" / "bitflips.py"), "--videos", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [*command, "--flips", "50", "--limit-per-class", "5"],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith(
        "50 flipped bits in shards and receipts, all found by verify, all repaired to the same bytes"
    )
