"""How many frames videos have by their headers, without decoding them: quick, and not to be trusted with a label.

Run as ``python -m pipeline.video.headers``, in a process of its own: reading a damaged header can hang or crash. It
takes paths on stdin, each ended by a NUL, prints a blank line when it is ready, then a number for each.
"""

import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import wait
from pathlib import Path

from pipeline.errors import SourceError, VideoError
from pipeline.video.decoding import VideoFile

logger = logging.getLogger(__name__)

HEADERS_PROGRAM = "pipeline.video.headers"
# Imports from a busy network disk may take minutes.
START_SEC = 300.0


def count_by_headers(paths: Sequence[Path], *, timeout_sec: float, program: str = HEADERS_PROGRAM) -> list[int | None]:
    """Read the frame counts of some videos' headers.

    Args:
        paths: of the videos.
        timeout_sec: how long that may take, from when the first process is ready.
        program: the module that reads; another one than ours in tests.

    Returns:
        A number for each path; None where the header has none or ends the process that reads it, and, with a warning,
        for all that were not reached in time.
    """
    counts: list[int | None] = []
    deadline: float | None = None
    while len(counts) < len(paths):
        with _started(program, paths[len(counts) :]) as printed:
            start_sec = START_SEC if deadline is None else max(0.0, deadline - time.monotonic())
            if not (wait([printed], start_sec) and os.read(printed, 1)):
                break
            deadline = time.monotonic() + timeout_sec if deadline is None else deadline
            counts += [int(line) or None for line in _lines(printed, deadline)]
        if time.monotonic() >= deadline:
            break
        if len(counts) < len(paths):
            # The one that ended the process.
            counts.append(None)
    num_left = len(paths) - len(counts)
    if num_left:
        logger.warning(
            "%d of %d headers of videos were not read in time; these videos' frames are guessed", num_left, len(paths)
        )
    return counts + [None] * num_left


@contextmanager
def _started(program: str, paths: Sequence[Path]) -> Iterator[int]:
    """Start a process that reads headers; give the descriptor it prints to, and end it with the block."""
    root = str(Path(__file__).resolve().parents[2])
    # A file and not a pipe, which a process that ends early would leave full.
    with tempfile.TemporaryFile() as names:
        names.write(b"".join(os.fsencode(path) + b"\0" for path in paths))
        names.seek(0)
        with subprocess.Popen(
            [sys.executable, "-P", "-m", program],
            stdin=names,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))},
        ) as process:
            assert process.stdout is not None  # for the type checker: it is a pipe
            try:
                yield process.stdout.fileno()
            finally:
                process.kill()


def _lines(descriptor: int, deadline: float) -> Iterator[bytes]:
    """Yield whole lines until they or the time end."""
    rest = b""
    while (left_sec := deadline - time.monotonic()) > 0 and wait([descriptor], left_sec):
        got = os.read(descriptor, 1 << 16)
        if not got:
            return
        *whole, rest = (rest + got).split(b"\n")
        yield from whole


def read_header_frames(path: Path) -> int | None:
    """Return the frames that a video's header names, None where it names none or cannot be read."""
    try:
        with VideoFile(path) as video:
            return video.header_frames
    except (VideoError, SourceError):
        return None


def main(count: Callable[[Path], int | None]) -> None:
    """Print a count for each of the paths on stdin."""
    names = sys.stdin.buffer.read().split(b"\0")[:-1]
    sys.stdout.write("\n")
    sys.stdout.flush()
    for name in names:
        sys.stdout.write(f"{count(Path(os.fsdecode(name))) or 0}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(read_header_frames)
