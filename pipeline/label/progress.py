"""Showing a labelling run: a live bar on a terminal, a line now and then elsewhere. Everything goes to stderr."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import rich.console
import rich.progress

LINE_EVERY_SEC = 30.0


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
    """Show progress each time it is updated; made by `show_progress`."""

    def __init__(self, dataset: str, bar: rich.progress.Progress | None) -> None:
        self._dataset = dataset
        self._bar = bar
        self._task = bar.add_task(f"label {dataset}", total=None, note="") if bar else None
        self._started = time.monotonic()
        self._last_line = self._started
        self._first_done: int | None = None

    def update(self, progress: LabelProgress) -> None:
        """Show where the run stands now."""
        if self._first_done is None:
            self._first_done = progress.videos_done
        elapsed = time.monotonic() - self._started
        frames_per_sec = progress.frames / elapsed if elapsed else 0.0
        note = f"{frames_per_sec:.1f} frames/s, {progress.quarantined} quarantined"
        if self._bar is not None and self._task is not None:
            self._bar.update(
                self._task, total=progress.videos_planned, completed=progress.videos_done, note=note, refresh=True
            )
        elif time.monotonic() - self._last_line >= LINE_EVERY_SEC:
            self._last_line = time.monotonic()
            sys.stderr.write(
                f"label {self._dataset}: {progress.videos_done}/{progress.videos_planned} videos, {note}"
                f"{self._eta(progress, elapsed)}\n"
            )
            sys.stderr.flush()

    def _eta(self, progress: LabelProgress, elapsed: float) -> str:
        settled = progress.videos_done - (self._first_done or 0)
        if settled < 1:
            return ""
        minutes = elapsed / settled * (progress.videos_planned - progress.videos_done) / 60
        return f", about {minutes:.0f} min left" if minutes >= 1 else ", under a minute left"


@contextmanager
def show_progress(dataset: str) -> Iterator[ProgressDisplay]:
    """Open the display that suits stderr."""
    console = rich.console.Console(stderr=True)
    if not console.is_terminal:
        yield ProgressDisplay(dataset, None)
        return
    columns = (
        rich.progress.TextColumn("{task.description}"),
        rich.progress.BarColumn(),
        rich.progress.MofNCompleteColumn(),
        rich.progress.TextColumn("{task.fields[note]}"),
        rich.progress.TimeRemainingColumn(),
    )
    with rich.progress.Progress(*columns, console=console) as bar:
        yield ProgressDisplay(dataset, bar)
