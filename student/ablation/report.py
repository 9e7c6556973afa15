"""An ablation's table, for the terminal and as files: CSV, Markdown, JSON."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pipeline.errors import KinetError
from pipeline.files import write_atomically
from student.ablation.figures import Estimate
from student.ablation.size import ModelSize
from student.ablation.tables import Row

HEADER = (
    "group",
    "setting",
    "top-1 %",
    "95 % interval",
    "gain",
    "95 % interval of gain",
    "runs",
    "parameters M",
    "GFLOPs",
    "paper top-1 %",
    "paper gain",
    "paper parameters M",
)
NOTES = (
    "top-1: mean over seeds and the videos of all folds. Intervals: bootstrap over videos and seeds, percentiles.",
    "Parameters and GFLOPs: the inference form, one clip; a multiplication and an addition are two FLOPs.",
    "Paper: Kinetics-400 from ImageNet weights.",
)
_ABSENT = "-"


class AblationError(KinetError):
    """Runs of a table failed; the others are done."""


@dataclass(frozen=True)
class RowResult:
    """What is known of a row.

    Attributes:
        row: what it is.
        size: of its model.
        num_runs: that are done; top-1 and gain are None while there is none.
        num_planned: runs that the table asks for; 0 in a dry run.
        top1, gain: as parts of 1; the gain also lacks where the row is a baseline or its baseline has no run.
        run_top1: top-1 of each run, by the run's name.
        num_missing: videos without a score, over all runs; None where that is not known of one.
        failures: what ended runs that have no result, by the run's name.
    """

    row: Row
    size: ModelSize
    num_runs: int = 0
    num_planned: int = 0
    top1: Estimate | None = None
    gain: Estimate | None = None
    run_top1: dict[str, float] | None = None
    num_missing: int | None = 0
    failures: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class AblationReport:
    """A whole table.

    Attributes:
        table: its number in the paper.
        dataset: "" in a dry run without one.
        num_classes: of the models.
        results: top to bottom.
    """

    table: int
    dataset: str
    num_classes: int
    results: Sequence[RowResult]

    @property
    def failures(self) -> dict[str, str]:
        """Return what ended the runs that have no result, by the run's name."""
        return {run: message for result in self.results for run, message in result.failures.items()}

    def raise_failures(self) -> None:
        """Raise AblationError, naming the runs, where one failed."""
        if self.failures:
            named = "; ".join(f"{run}: {message}" for run, message in self.failures.items())
            planned = sum(result.num_planned for result in self.results)
            raise AblationError(
                f"{len(self.failures)} of {planned} runs failed: {named}. The others are done; mend the cause, and the "
                "same command runs what is left"
            )

    def cells(self) -> list[tuple[str, ...]]:
        """Lay the table out as text, one tuple a row, in the order of `HEADER`."""
        by_key = {result.row.key: result.row for result in self.results}
        return [_cells(result, by_key) for result in self.results]

    def to_json(self) -> dict[str, Any]:
        """Return all figures as plain data; accuracies are parts of 1, the paper's too."""
        rows = []
        for result in self.results:
            row = asdict(result)
            described = row.pop("row")
            paper_top1 = described.pop("paper_top1")
            described["paper_top1"] = None if paper_top1 is None else paper_top1 / 100
            rows.append({**described, **row})
        return {"table": self.table, "dataset": self.dataset, "num_classes": self.num_classes, "rows": rows}

    def to_text(self) -> str:
        """Lay the table out in columns; those that are empty throughout are left out."""
        lines = [HEADER, *self.cells()]
        kept = [column for column in range(len(HEADER)) if any(line[column] not in ("", _ABSENT) for line in lines[1:])]
        widths = {column: max(len(line[column]) for line in lines) for column in kept}
        texts = [
            "  ".join(
                line[column].ljust(widths[column]) if column < 2 else line[column].rjust(widths[column])
                for column in kept
            ).rstrip()
            for line in lines
        ]
        return "\n".join([self.title, "", texts[0], "-" * len(texts[0]), *texts[1:], "", *NOTES])

    def to_markdown(self) -> str:
        """Lay the table out as Markdown."""
        lines = [f"| {' | '.join(line)} |" for line in (HEADER, ("---",) * len(HEADER), *self.cells())]
        return "\n".join([f"# {self.title}", "", *lines, "", *NOTES, ""])

    def to_csv(self) -> str:
        """Lay the table out as CSV."""
        stream = io.StringIO()
        csv.writer(stream, lineterminator="\n").writerows([HEADER, *self.cells()])
        return stream.getvalue()

    @property
    def title(self) -> str:
        """Say what the table is of."""
        data = f"on {self.dataset}, " if self.dataset else ""
        return f"Table {self.table} {data}{self.num_classes} classes"


def write_report(report: AblationReport, folder: Path) -> None:
    """Write table.json, table.csv and table.md into a folder, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "table.json", json.dumps(report.to_json(), indent=2) + "\n")
    write_atomically(folder / "table.csv", report.to_csv())
    write_atomically(folder / "table.md", report.to_markdown())


def _cells(result: RowResult, by_key: dict[str, Row]) -> tuple[str, ...]:
    row, size = result.row, result.size
    baseline = by_key.get(row.baseline)
    paper_gain = None
    if baseline is not None and baseline.paper_top1 is not None and row.paper_top1 is not None:
        paper_gain = row.paper_top1 - baseline.paper_top1
    runs = f"{result.num_runs}/{result.num_planned}" if result.num_planned else _ABSENT
    return (
        row.group,
        row.setting,
        _ABSENT if result.top1 is None else f"{100 * result.top1.value:.1f}",
        _ABSENT if result.top1 is None else f"{100 * result.top1.low:.1f} to {100 * result.top1.high:.1f}",
        _ABSENT if result.gain is None else f"{100 * result.gain.value:+.1f}",
        _ABSENT if result.gain is None else f"{100 * result.gain.low:+.1f} to {100 * result.gain.high:+.1f}",
        runs,
        f"{size.parameters / 1e6:.1f}",
        f"{size.flops / 1e9:.1f}",
        _ABSENT if row.paper_top1 is None else f"{row.paper_top1:.1f}",
        _ABSENT if paper_gain is None else f"{paper_gain:+.1f}",
        _ABSENT if row.paper_parameters is None else f"{row.paper_parameters:.1f}",
    )
