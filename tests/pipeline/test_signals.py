"""What a signal does to a block that wants to be ended by it."""

import contextlib
import os
import signal
import time

import pytest

from pipeline.errors import InterruptedRun
from pipeline.signals import RAISE_AGAIN_SEC, interruptible

BOUND_SEC = 20 * RAISE_AGAIN_SEC


def send(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)
    time.sleep(BOUND_SEC)


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_block_with_its_exit_code_and_the_way_out(number: signal.Signals, exit_code: int) -> None:
    message = f"interrupted by {number.name}; run it again"
    with pytest.raises(InterruptedRun, match=message) as caught, interruptible("run it again"):
        send(number)
    assert caught.value.exit_code == exit_code


def test_a_swallowed_signal_is_raised_again() -> None:
    reached = False
    with pytest.raises(InterruptedRun), interruptible("run it again"):
        with contextlib.suppress(InterruptedRun):
            send(signal.SIGTERM)
        time.sleep(BOUND_SEC)
        reached = True
    assert not reached


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_signal_in_a_destructor_is_raised_again() -> None:
    class Dying:
        def __del__(self) -> None:
            send(signal.SIGTERM)

    with pytest.raises(InterruptedRun), interruptible("run it again"):
        dying = Dying()
        del dying
        time.sleep(BOUND_SEC)


def test_clean_up_is_not_interrupted_again() -> None:
    cleaned = False
    with pytest.raises(InterruptedRun), interruptible("run it again"):
        try:
            send(signal.SIGTERM)
        finally:
            time.sleep(4 * RAISE_AGAIN_SEC)
            cleaned = True
    assert cleaned


def test_what_a_library_makes_of_the_signal_is_still_an_interrupted_run() -> None:
    with pytest.raises(InterruptedRun), interruptible("run it again"):
        try:
            send(signal.SIGTERM)
        except InterruptedRun:
            raise RuntimeError("compiled code failed") from None


def test_handlers_and_timer_are_put_back() -> None:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)
    before = [signal.getsignal(number) for number in numbers]
    with pytest.raises(InterruptedRun), interruptible("run it again"):
        send(signal.SIGTERM)
    assert [signal.getsignal(number) for number in numbers] == before
    assert signal.getitimer(signal.ITIMER_REAL)[1] != RAISE_AGAIN_SEC
