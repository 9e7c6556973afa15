"""The program that kills a labelling job, with two kills; for a machine that has nothing else to do."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.videos import moving_frames, write_video

pytestmark = [
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.skipif("KINET_CHAOS" not in os.environ, reason="a minute or more; runs where KINET_CHAOS is set"),
]

REPOSITORY = Path(__file__).parents[2]


# Most of it is Ray's start and that of four commands.
@pytest.mark.timeout(600)
def test_a_killed_job_on_a_disk_that_fills_ends_like_an_unbroken_one(tmp_path: Path) -> None:
    for number in range(3):
        write_video(tmp_path / f"v{number}.mp4", moving_frames(20 + number, seed=number))
    command = [sys.executable, str(REPOSITORY / "benchmarks" / "chaos.py"), "--videos", str(tmp_path)]
    few = ["--kills", "2", "--kinds", "driver SIGKILL,disk full", "--num-videos", "6", "--poison", "half,text"]
    done = subprocess.run([*command, *few], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[-1] == "no difference: 0 lost, 0 twice, same bytes"
    assert "unbroken run     6 ok, 1 partial (truncated), 1 quarantined (unreadable)" in lines
