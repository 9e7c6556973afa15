"""What a training run writes down as it goes: metrics.jsonl, TensorBoard, and a line or a live bar on stderr."""

import json
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch.utils.tensorboard import SummaryWriter

from pipeline.files import write_atomically

METRICS_FILE = "metrics.jsonl"


class MetricsLog:
    """Append one JSON object per line to metrics.jsonl, and the same numbers to TensorBoard.

    Args:
        run_dir: the run's folder.
        start_step: optimiser steps already done; what an interrupted run logged after its last checkpoint is taken
            back, so that every step stands in the file once.
    """

    def __init__(self, run_dir: Path, *, start_step: int = 0) -> None:
        run_dir.mkdir(parents=True, exist_ok=True)
        path = run_dir / METRICS_FILE
        kept = [json.dumps(row) for row in read_metrics(run_dir) if row["step"] <= start_step]
        write_atomically(path, "".join(f"{line}\n" for line in kept))
        self._file = path.open("a", encoding="utf-8")
        self._board = SummaryWriter(str(run_dir / "tensorboard"), purge_step=start_step + 1)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Log the values of one step; the line is on disk when this returns."""
        self._file.write(json.dumps({"step": step, **values}, allow_nan=False) + "\n")
        self._file.flush()
        for name, value in values.items():
            self._board.add_scalar(name, value, step)

    def __enter__(self) -> "MetricsLog":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._board.close()


def read_metrics(run_dir: Path) -> list[dict[str, float]]:
    """Read metrics.jsonl; a last line that was cut short by a crash is left out."""
    path = run_dir / METRICS_FILE
    if not path.exists():
        return []
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows


def read_last_step(run_dir: Path) -> int:
    """Return the last step that metrics.jsonl tells of, 0 where it tells of none."""
    rows = read_metrics(run_dir)
    return int(rows[-1]["step"]) if rows else 0


class RunProgress:
    """Show how far a run is: a live bar on a terminal, else one line now and then; both on stderr.

    Args:
        title: what is under way.
        total: how many `unit` there are.
        done: how many were done before this process began.
        unit: what is counted ("steps", "videos").
        line_every: without a terminal, print a line each time this many more are done.
    """

    def __init__(self, title: str, *, total: int, done: int = 0, unit: str = "steps", line_every: int = 50) -> None:
        self._console = Console(stderr=True)
        self._title, self._total, self._unit, self._line_every = title, total, unit, max(1, line_every)
        self._done = self._last_line = done
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn(unit),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task(title, total=total, completed=done, note="")

    def update(self, done: int, note: str = "") -> None:
        """Say how many are done by now, with a short note such as the loss."""
        self._done = done
        if self._console.is_terminal:
            self._bar.update(self._task, completed=done, note=note)
        elif done - self._last_line >= self._line_every or done == self._total:
            self._last_line = done
            self._console.print(
                f"{self._title}: {done}/{self._total} {self._unit} {note}", highlight=False, soft_wrap=True
            )

    def __enter__(self) -> "RunProgress":
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()


class RunWriters:
    """Metrics and progress of rank 0; the other ranks write nothing.

    Args:
        run_dir: the run's folder.
        total: steps of the whole run.
        done: steps that earlier parts of the run took.
        every: log every this many steps.
        writes: this is rank 0.
    """

    def __init__(self, run_dir: Path, *, total: int, done: int, every: int, writes: bool) -> None:
        self._every = max(1, every)
        self._log = MetricsLog(run_dir, start_step=done) if writes else None
        self._progress = RunProgress("train", total=total, done=done, line_every=every)
        self._stack = ExitStack()

    def __enter__(self) -> "RunWriters":
        if self._log is not None:
            self._stack.enter_context(self._log)
            self._stack.enter_context(self._progress)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def write(self, step: int, values: Mapping[str, float], *, epoch: str, always: bool = False) -> None:
        """Log a step that is due, or `always`, and show how far the run is.

        Args:
            step: steps done.
            values: its figures; the loss under "loss", where it has one.
            epoch: shown beside the steps, "3/30".
        """
        if self._log is None:
            return
        if always or step % self._every == 0:
            self._log.write(step, values)
        shown = f" loss {values['loss']:.4f}" if "loss" in values else ""
        self._progress.update(step, f"epoch {epoch}{shown}")
