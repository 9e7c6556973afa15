"""Ending cleanly when the user or the scheduler says so."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from pipeline.errors import InterruptedRun

EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}
RAISE_AGAIN_SEC = 0.5


@contextmanager
def interruptible(way_out: str) -> Iterator[None]:
    """Raise InterruptedRun in the main thread on SIGINT or SIGTERM; a second signal is not waited for.

    The signal can fall into code that swallows exceptions (an import, a destructor), so the error is raised again, by
    SIGALRM, until the block is left or handles it.

    Args:
        way_out: what to tell the user, e.g. "run the same command again to go on".
    """

    raised: list[InterruptedRun] = []
    timer_before: list[tuple[float, float]] = []

    def interrupt(number: int, _: FrameType | None) -> None:
        for handled in EXIT_CODES:
            signal.signal(handled, signal.SIG_DFL)
        name = signal.Signals(number).name
        raised.append(InterruptedRun(f"interrupted by {name}; {way_out}", EXIT_CODES[signal.Signals(number)]))
        signal.signal(signal.SIGALRM, raise_again)
        timer_before.append(signal.setitimer(signal.ITIMER_REAL, RAISE_AGAIN_SEC, RAISE_AGAIN_SEC))
        raise raised[0]

    def raise_again(_number: int, _frame: FrameType | None) -> None:
        # Where an exception is being handled, the block is on its way out: its clean-up is left in peace.
        if sys.exception() is None:
            raise raised[0]

    before = {number: signal.getsignal(number) for number in (*EXIT_CODES, signal.SIGALRM)}
    for number in EXIT_CODES:
        signal.signal(number, interrupt)
    try:
        yield
    except Exception as error:
        # A library in compiled code may wrap what the handler raised in an error of its own.
        if raised and error is not raised[0]:
            raise raised[0] from error
        raise
    finally:
        if timer_before:
            signal.setitimer(signal.ITIMER_REAL, *timer_before[0])
        for number, handler in before.items():
            signal.signal(number, handler)
