"""Showing how far a run is: a live bar on a terminal, a line at intervals elsewhere. Everything goes to stderr."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TextIO

import rich.console
import rich.progress

ProgressMode = Literal["auto", "bar", "lines", "none"]
LINE_EVERY_SEC = 30.0


@dataclass(frozen=True)
class ProgressSettings:
    """How progress is shown.

    Attributes:
        mode: "auto" is a bar where stderr is a terminal, and lines elsewhere.
        every_sec: between two lines.
    """

    mode: ProgressMode = "auto"
    every_sec: float = LINE_EVERY_SEC

    def __post_init__(self) -> None:
        if self.every_sec <= 0:
            raise ValueError(f"every_sec is {self.every_sec}; give more than 0")


@dataclass(frozen=True)
class LabelProgress:
    """How far a run is.

    Attributes:
        videos_done, videos_planned: settled in committed shards (labelled or quarantined, and not to be tried again by
            this run), and in all.
        quarantined: as the receipts say, those included that are still to be tried again.
        frames: labelled by this run, those in open shards included.
    """

    videos_done: int
    videos_planned: int
    quarantined: int
    frames: int


class ProgressDisplay:
    """Hold how far a run is, and show it; made by `show_progress`.

    Args:
        title: what runs, e.g. "label kinetics400".
        unit: of what is counted, e.g. "videos".
        bar: on which it is drawn at each update, or None.
        clock: gives seconds that never go back.
        time_of_day: gives the time that a line begins with.
    """

    def __init__(
        self,
        title: str,
        unit: str,
        *,
        bar: rich.progress.Progress | None = None,
        clock: Callable[[], float] = time.monotonic,
        time_of_day: Callable[[], datetime] = lambda: datetime.now().astimezone(),
    ) -> None:
        self._title = title
        self._unit = unit
        self._bar = bar
        self._task = bar.add_task(title, total=None, note="") if bar else None
        self._clock = clock
        self._time_of_day = time_of_day
        self._started = clock()
        self._first_done: int | None = None
        # Replaced as a whole: the thread that writes lines reads it.
        self._latest: tuple[int, int, Callable[[], str]] | None = None

    def update(self, progress: LabelProgress) -> None:
        """Show where a labelling run stands now."""
        self._show(progress.videos_done, progress.videos_planned, lambda: self._describe_speed(progress))

    def show(self, done: int, planned: int, note: str = "") -> None:
        """Show how many are done of how many; `note` stands behind the figures."""
        self._show(done, planned, lambda: note)

    def line(self) -> str:
        """Return a line that says how far the run is now."""
        head = f"{self._time_of_day().isoformat(timespec='seconds')} {self._title}: "
        if self._latest is None:
            return f"{head}starting"
        done, planned, note = self._latest
        return head + ", ".join(
            filter(None, [f"{done}/{planned} {self._unit}", note(), self._time_left(done, planned)])
        )

    def _show(self, done: int, planned: int, note: Callable[[], str]) -> None:
        if self._first_done is None:
            self._first_done = done
        self._latest = (done, planned, note)
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, total=planned, completed=done, note=note(), refresh=True)

    def _describe_speed(self, progress: LabelProgress) -> str:
        elapsed = self._clock() - self._started
        frames_per_sec = progress.frames / elapsed if elapsed else 0.0
        return f"{frames_per_sec:.1f} frames/s, {progress.quarantined} quarantined"

    def _time_left(self, done: int, planned: int) -> str:
        settled = done - (self._first_done or 0)
        if settled < 1:
            return "ETA unknown"
        minutes = (self._clock() - self._started) / settled * (planned - done) / 60
        return f"ETA {minutes / 60:.1f} h" if minutes >= 120 else f"ETA {minutes:.1f} min"


@contextmanager
def show_progress(title: str, unit: str, settings: ProgressSettings) -> Iterator[ProgressDisplay]:
    """Open the display that was asked for, on stderr."""
    console = rich.console.Console(stderr=True)
    wants_bar = settings.mode == "bar" or (settings.mode == "auto" and console.is_terminal)
    if not wants_bar:
        display = ProgressDisplay(title, unit)
        with nullcontext() if settings.mode == "none" else _lines_written(display, sys.stderr, settings.every_sec):
            yield display
        return
    columns = (
        rich.progress.TextColumn("{task.description}"),
        rich.progress.BarColumn(),
        rich.progress.MofNCompleteColumn(),
        rich.progress.TextColumn("{task.fields[note]}"),
        rich.progress.TimeRemainingColumn(),
    )
    with rich.progress.Progress(*columns, console=console) as bar:
        yield ProgressDisplay(title, unit, bar=bar)


@contextmanager
def _lines_written(display: ProgressDisplay, stream: TextIO, every_sec: float) -> Iterator[None]:
    """Write a line at each interval, and one at the end of a block that takes longer than one.

    Whatever the block does: a thread of its own waits for no batch and no worker.
    """
    over = threading.Event()

    def write_lines() -> None:
        started = time.monotonic()
        due = started + every_sec
        while not over.wait(max(0.0, due - time.monotonic())):
            if not write_line():
                return
            due = max(due, time.monotonic() - every_sec) + every_sec
        if time.monotonic() - started > every_sec:
            write_line()

    def write_line() -> bool:
        try:
            stream.write(f"{display.line()}\n")
            stream.flush()
        except (OSError, ValueError):
            # Nobody reads any more, which is no reason to end the run.
            return False
        return True

    thread = threading.Thread(target=write_lines, name="progress-lines", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        # Not for ever: a reader that stands still must not hold up the end.
        thread.join(timeout=1.0)
