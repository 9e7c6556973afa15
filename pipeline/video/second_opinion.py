"""Ask decord how many frames a video has, where the first decoder and the container's header disagree.

Whether a video is whole must not depend on how fast the machine is: what is waited for is a sign of progress, not an
end, and an answer that does not come is told apart from one that says no.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from multiprocessing.connection import wait
from pathlib import Path
from typing import NamedTuple

from pipeline.errors import WorkspaceError
from pipeline.video.decord_count import OPENED, READY

DECORD_PROGRAM = Path(__file__).with_name("decord_count.py")
MAX_ATTEMPTS = 3
# How often who waits is told that it is still waited.
BEAT_SEC = 1.0
# A signal from outside, the kernel's for want of memory among them, says nothing about the video.
_SIGNALS_FROM_OUTSIDE = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class SecondCount(NamedTuple):
    """What decord gives in order: `total` frames, of which the first `distinct` end where the last picture begins."""

    distinct: int
    total: int


class NoCount(NamedTuple):
    """Decord gave no count.

    Attributes:
        known: that it cannot read the video; else nothing is known of the video by it.
        message: what happened, in words.
    """

    known: bool
    message: str


class Patience(NamedTuple):
    """How long decord may give no sign of progress.

    Attributes:
        start_sec: until it is loaded; imports from a busy network disk may take minutes.
        open_sec: until it has opened the video, for which it reads all of the file: of an empty one.
        open_bytes_per_sec: the slowest disk that the file may come from.
        stall_sec: from frame to frame.
    """

    start_sec: float = 300.0
    open_sec: float = 300.0
    open_bytes_per_sec: float = 4e6
    stall_sec: float = 120.0


def count_with_decord(
    path: Path, patience: Patience | None = None, *, program: Path = DECORD_PROGRAM
) -> Generator[None, None, SecondCount | NoCount]:
    """Count a video's frames with decord; yield about every second, and return what came of it.

    Args:
        path: the video.
        patience: with each step; one that takes longer, or is ended from outside, is tried three times.
        program: that counts; another one than ours in tests.

    Raises:
        WorkspaceError: decord cannot be loaded; no video is to blame.
    """
    messages = []
    for _ in range(MAX_ATTEMPTS):
        found = yield from _attempt(path, patience or Patience(), program)
        if isinstance(found, SecondCount) or found.known:
            return found
        messages.append(found.message)
    return NoCount(False, f"{messages[-1]}, at the last of {MAX_ATTEMPTS} attempts")


def _attempt(path: Path, patience: Patience, program: Path) -> Generator[None, None, SecondCount | NoCount]:
    with subprocess.Popen(
        [sys.executable, "-P", str(program), str(path), str(os.getpid())],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdout is not None  # for the type checker: it is a pipe
        try:
            lines, is_in_time = yield from _read(process.stdout.fileno(), path, patience)
        finally:
            process.kill()
    if not is_in_time:
        return NoCount(False, f"the second decoder gave nothing for {_patience_with(lines, path, patience):g} s")
    last_words = lines[-1].split() if lines else []
    if len(last_words) == 2:
        return SecondCount(int(last_words[0]), int(last_words[1]))
    if -process.returncode in _SIGNALS_FROM_OUTSIDE:
        return NoCount(False, f"the second decoder was ended by {signal.Signals(-process.returncode).name}")
    if READY not in lines:
        raise WorkspaceError(
            f"the second decoder, decord, does not start (exit code {process.returncode}); run "
            f"`{sys.executable} -c 'import decord'` to see why"
        )
    return NoCount(True, "the second decoder cannot read the video")


def _read(descriptor: int, path: Path, patience: Patience) -> Generator[None, None, tuple[list[str], bool]]:
    """Read lines until they end or do not come in time; return them, and whether they came in time."""
    said = b""
    # Of waiting here: what the caller does between two beats is not the decoder's.
    silent_sec = 0.0
    while True:
        lines = said.decode().splitlines()
        waiting_sec = time.monotonic()
        if wait([descriptor], BEAT_SEC):
            got = os.read(descriptor, 1 << 12)
            if not got:
                return lines, True
            said += got
            silent_sec = 0.0
        else:
            silent_sec += time.monotonic() - waiting_sec
            if silent_sec > _patience_with(lines, path, patience):
                return lines, False
        yield


def _patience_with(lines: list[str], path: Path, patience: Patience) -> float:
    """Say how long to wait for the line after these, in seconds."""
    if OPENED in lines:
        return patience.stall_sec
    if READY in lines:
        return patience.open_sec + path.stat().st_size / patience.open_bytes_per_sec
    return patience.start_sec
