"""Ending cleanly when the user or the scheduler says so."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from pipeline.errors import InterruptedRun

EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}


@contextmanager
def interruptible(way_out: str) -> Iterator[None]:
    """Raise InterruptedRun in the main thread on SIGINT or SIGTERM; a second signal is not waited for.

    Args:
        way_out: what to tell the user, e.g. "run the same command again to go on".
    """

    raised: list[InterruptedRun] = []

    def interrupt(number: int, _: FrameType | None) -> None:
        for handled in EXIT_CODES:
            signal.signal(handled, signal.SIG_DFL)
        name = signal.Signals(number).name
        raised.append(InterruptedRun(f"interrupted by {name}; {way_out}", EXIT_CODES[signal.Signals(number)]))
        raise raised[0]

    before = {number: signal.signal(number, interrupt) for number in EXIT_CODES}
    try:
        yield
    except Exception as error:
        # A library in compiled code may wrap what the handler raised in an error of its own.
        if raised and error is not raised[0]:
            raise raised[0] from error
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
