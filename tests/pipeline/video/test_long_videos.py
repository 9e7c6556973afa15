"""A long video takes no more memory than a short one."""

import subprocess
import sys
from pathlib import Path

from tests.pipeline.video.numbered import numbered_frames
from tests.videos import write_video

PROGRAM = """
import sys
from pathlib import Path
from pipeline.video import probe_video
from tests.processes import own_peak_bytes
print(probe_video(Path(sys.argv[1])).num_frames, own_peak_bytes())
"""


def peak_memory(path: Path, num_frames: int) -> int:
    """Decode a video in a process of its own; return its peak resident memory in MB."""
    ended = subprocess.run([sys.executable, "-c", PROGRAM, str(path)], capture_output=True, text=True, check=True)
    frames, peak_bytes = ended.stdout.split()
    assert int(frames) == num_frames
    return int(peak_bytes) // 2**20


def test_memory_does_not_grow_with_length(tmp_path: Path) -> None:
    peaks = []
    for num_frames in (200, 8_000):
        frames = numbered_frames(range(100), 32, 32)
        path = write_video(tmp_path / f"{num_frames}.mp4", frames[[i % 100 for i in range(num_frames)]], codec="mpeg4")
        peaks.append(peak_memory(path, num_frames))
    assert peaks[1] - peaks[0] < 8, peaks
