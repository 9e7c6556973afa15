"""Showing how far a run is: a live bar on a terminal, a line at intervals elsewhere. Everything goes to stderr."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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
        videos_done, videos_planned: settled in committed shards (labelled or quarantined), and in all.
        quarantined: of those settled.
        frames: labelled by this run, those in open shards included.
    """

    videos_done: int
    videos_planned: int
    quarantined: int
    frames: int


class ProgressDisplay:
    """Show progress each time it is updated; made by `show_progress`.

    Args:
        title: what runs, e.g. "label kinetics400".
        unit: of what is counted, e.g. "videos".
        bar: on which it is drawn, or None.
        line_stream: on which lines are written, or None.
        every_sec: between two lines.
        clock: gives seconds that never go back.
    """

    def __init__(
        self,
        title: str,
        unit: str,
        *,
        bar: rich.progress.Progress | None = None,
        line_stream: TextIO | None = None,
        every_sec: float = LINE_EVERY_SEC,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._title = title
        self._unit = unit
        self._bar = bar
        self._task = bar.add_task(title, total=None, note="") if bar else None
        self._line_stream = line_stream
        self._every_sec = every_sec
        self._clock = clock
        self._started = self._last_line = clock()
        self._first_done: int | None = None

    def update(self, progress: LabelProgress) -> None:
        """Show where a labelling run stands now."""
        elapsed = self._clock() - self._started
        frames_per_sec = progress.frames / elapsed if elapsed else 0.0
        note = f"{frames_per_sec:.1f} frames/s, {progress.quarantined} quarantined"
        self.show(progress.videos_done, progress.videos_planned, note)

    def show(self, done: int, planned: int, note: str = "") -> None:
        """Show how many are done of how many; `note` stands behind the figures."""
        if self._first_done is None:
            self._first_done = done
        now = self._clock()
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, total=planned, completed=done, note=note, refresh=True)
        elif self._line_stream is not None and now - self._last_line >= self._every_sec:
            self._last_line = now
            parts = [f"{done}/{planned} {self._unit}", *filter(None, [note]), self._time_left(done, planned, now)]
            self._line_stream.write(f"{self._title}: {', '.join(parts)}\n")
            self._line_stream.flush()

    def _time_left(self, done: int, planned: int, now: float) -> str:
        settled = done - (self._first_done or 0)
        if settled < 1:
            return "ETA unknown"
        minutes = (now - self._started) / settled * (planned - done) / 60
        return f"ETA {minutes / 60:.1f} h" if minutes >= 120 else f"ETA {minutes:.1f} min"


@contextmanager
def show_progress(title: str, unit: str, settings: ProgressSettings) -> Iterator[ProgressDisplay]:
    """Open the display that was asked for, on stderr."""
    console = rich.console.Console(stderr=True)
    wants_bar = settings.mode == "bar" or (settings.mode == "auto" and console.is_terminal)
    if not wants_bar:
        line_stream = None if settings.mode == "none" else sys.stderr
        yield ProgressDisplay(title, unit, line_stream=line_stream, every_sec=settings.every_sec)
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
