"""What the end of a decoding process says: of the video it was at, or of the machine."""

import logging
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import Reason, WorkspaceError
from pipeline.label.messages import EXIT_OUT_OF_MEMORY, DecodeLimits

logger = logging.getLogger(__name__)

# Signals by which a process ends of its own doing. Any other one was sent: by the kernel where memory is short, by a
# scheduler, by a person. It says nothing of the video.
CRASH_SIGNALS = frozenset({signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGSYS})
# Before a video whose decoder was ended from outside is tried again: who took the memory may be done with it by then.
# Once more than that, and it is this machine's trouble.
OUTSIDE_PAUSES_SEC = (1.0, 10.0)


@dataclass(frozen=True)
class Death:
    """The process died or hung of its own doing, which counts against the video."""

    reason: Reason
    message: str


@dataclass(frozen=True)
class EndedFromOutside:
    """The process was sent a signal."""

    signal_name: str


def judge_exit(code: int, last_line: str | None, limits: DecodeLimits) -> Death | EndedFromOutside:
    """Say what a process ended with.

    Args:
        code: its exit code, or minus the signal's number.
        last_line: that it wrote, if any.
        limits: that it had.
    """
    if code == EXIT_OUT_OF_MEMORY:
        return Death(Reason.OUT_OF_MEMORY, f"the decoder took more than {limits.memory_bytes / 1e9:.1f} GB of memory")
    if code < 0 and -code not in CRASH_SIGNALS:
        return EndedFromOutside(signal.Signals(-code).name)
    ended = f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    return Death(Reason.CRASHED, f"the decoder {ended}" + (f" ({last_line})" if last_line else ""))


def pause_after(ended: EndedFromOutside, path: Path, num_before: int) -> None:
    """Let time go by before a video is tried again whose decoder was ended from outside, so often before already.

    Raises:
        WorkspaceError: it happened too often.
    """
    if num_before == len(OUTSIDE_PAUSES_SEC):
        raise WorkspaceError(
            f"{path}: its decoder was ended from outside by {ended.signal_name}, {num_before + 1} times, as the kernel "
            "does where memory is short; give fewer --decoders or a smaller --decoder-memory-gib, and run the same "
            "command again"
        )
    logger.warning("%s: its decoder was ended from outside by %s", path, ended.signal_name)
    time.sleep(OUTSIDE_PAUSES_SEC[num_before])
