"""How many frames videos have by their headers, without decoding them: quick, and not to be trusted with a label.

Run as ``python -m pipeline.video.headers``, in a process of its own: reading a damaged header can hang or crash. It
takes paths on stdin, each ended by a NUL, and prints a number for each.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline.errors import VideoError
from pipeline.video.decoding import VideoFile


def count_by_headers(paths: Sequence[Path], *, timeout_sec: float) -> list[int | None]:
    """Read the frame counts of some videos' headers.

    Returns:
        A number for each path; None where the header has none, and for all that were not reached in time.
    """
    root = str(Path(__file__).resolve().parents[2])
    try:
        printed = subprocess.run(
            [sys.executable, "-P", "-m", "pipeline.video.headers"],
            input=b"".join(os.fsencode(path) + b"\0" for path in paths),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=timeout_sec,
            check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))},
        ).stdout
    except subprocess.TimeoutExpired as error:
        printed = error.stdout or b""
    # The last line may be half a line.
    counts = [int(line) or None for line in printed.split(b"\n")[:-1]]
    return counts + [None] * (len(paths) - len(counts))


def _count(path: Path) -> int | None:
    try:
        with VideoFile(path) as video:
            return video.header_frames
    except VideoError:
        return None


if __name__ == "__main__":
    for name in sys.stdin.buffer.read().split(b"\0")[:-1]:
        sys.stdout.write(f"{_count(Path(os.fsdecode(name))) or 0}\n")
        sys.stdout.flush()
