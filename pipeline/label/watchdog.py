"""Ending a process whose teachers hang, from within: without Ray there is nobody else to do it."""

import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

logger = logging.getLogger(__name__)

_LONGEST_POLL_SEC = 1.0
_SHOW_CURSOR = "\x1b[?25h"


@contextmanager
def ended_when_stuck(
    stuck_sec: Callable[[], float], limit_sec: float, last_words: Callable[[float], str]
) -> Iterator[None]:
    """End this process with exit code 1 where something in the block stands still for too long.

    What hangs in compiled code can be neither interrupted nor left behind by its own process. A hang that never gives
    the interpreter back stops this watch too.

    Args:
        stuck_sec: how long it has stood still; called from another thread.
        limit_sec: how long it may.
        last_words: leaves what is to be left, given how long it stood still, and returns the line to end with. The
            process ends whatever it raises.
    """
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(min(_LONGEST_POLL_SEC, limit_sec / 4)):
            if (seconds := stuck_sec()) > limit_sec:
                _end_process(seconds, last_words)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


def _end_process(seconds: float, last_words: Callable[[float], str]) -> None:
    """Say the last words and end the process, whatever becomes of them."""
    try:
        try:
            logger.critical(last_words(seconds))
        finally:
            if (error := sys.exception()) is not None:
                logger.critical("ended after %.0f s without progress", seconds, exc_info=error)
            if sys.stderr.isatty():
                # A live bar has hidden it.
                sys.stderr.write(_SHOW_CURSOR)
                sys.stderr.flush()
    finally:
        os._exit(1)
