"""A data set's official folds: a run on each, and the mean of their tests."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from pipeline.errors import OptionError, option_errors
from pipeline.files import write_atomically
from pipeline.workspace import Workspace
from student.ablation.figures import Estimate, estimate_top1, gather_hits
from student.planning import TrainRequest, default_run_name, resolve_recipe
from student.scores import load_scores
from student.scoring import EvaluateRequest, evaluate_run
from student.tested_runs import TestedRun, check_before_training, train_and_test
from student.transfer import StartReport

RESULT_FILE = "test.json"


@dataclass(frozen=True)
class FoldResult:
    """The test of one fold's run; figures as in `student.scores.Accuracy`, None where a number is not known."""

    fold: int
    run: str
    split: str
    top1: float
    top5: float
    mean_class: float
    videos: int
    missing: int | None
    scores: str


@dataclass(frozen=True)
class FoldsReport:
    """The tests of several folds.

    Attributes:
        name: what the runs' names begin with.
        dataset: of the runs.
        folds: one after the other.
        top1: mean over folds, with the interval of a bootstrap over videos; a video of several folds is drawn for all.
        top5, mean_class: means over folds.
    """

    name: str
    dataset: str
    folds: tuple[FoldResult, ...]
    top1: Estimate
    top5: float
    mean_class: float

    def to_json(self) -> dict[str, Any]:
        """Return all figures as plain data; accuracies are parts of 1."""
        return asdict(self)

    def to_text(self) -> str:
        """Lay the folds and their mean out in columns."""
        lines: list[tuple[str, ...]] = [("fold", "split", "top-1 %", "top-5 %", "mean class %", "videos", "missing")]
        lines += [
            (
                str(one.fold),
                one.split,
                *_percent(one.top1, one.top5, one.mean_class),
                str(one.videos),
                "unknown" if one.missing is None else str(one.missing),
            )
            for one in self.folds
        ]
        lines.append(("mean", "", *_percent(self.top1.value, self.top5, self.mean_class), "", ""))
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        table = ["  ".join(map(str.rjust, line, widths)).rstrip() for line in lines]
        interval = f"95 % interval of the mean top-1: {100 * self.top1.low:.1f} to {100 * self.top1.high:.1f}"
        return "\n".join([f"{self.name} on {self.dataset}", *table, interval])


def fold_run_name(name: str, fold: int) -> str:
    """Name the run of a fold."""
    return f"{name}-fold{fold}"


def train_folds(
    workspace: Workspace,
    request: TrainRequest,
    folds: Sequence[int],
    *,
    segments: int,
    crops: int,
    max_missing: float,
    on_start: Callable[[StartReport], None] | None = None,
) -> FoldsReport:
    """Train and test a run on each fold; the same call again goes on where the last one ended.

    Args:
        workspace: of the data set and the runs.
        request: what is asked of every run; its `run` is the start of the names.
        folds: counted from 1.
        segments, crops, max_missing: of the tests, see `EvaluateRequest`.
        on_start: as of `train_run`.

    Raises:
        OptionError: a fold or `resume` in the request, folds that are none, or views that the student cannot take.
        CheckpointError: a run of that name has another configuration.
        KinetError: as of `check_before_training` of any fold, before the first is trained; as of `train_run` and
            `evaluate_run`, and then what is done stays.
    """
    _check_folds(request.fold, folds)
    if request.resume:
        raise OptionError("--folds goes on by itself: give the first command again, without --resume")
    name = request.run
    if name is None:
        with option_errors():
            name = default_run_name(request.dataset, resolve_recipe(request))
    runs = [
        TestedRun(
            training=replace(request, run=fold_run_name(name, fold), fold=fold),
            test=EvaluateRequest(
                run=fold_run_name(name, fold),
                dataset=request.dataset,
                segments=segments,
                crops=crops,
                max_missing=max_missing,
                loader_workers=request.loader_workers,
            ),
            result_file=RESULT_FILE,
        )
        for fold in folds
    ]
    for run in runs:
        check_before_training(workspace, run)
    return _report(workspace, name, [train_and_test(workspace, run, on_start=on_start) for run in runs])


def evaluate_folds(workspace: Workspace, request: EvaluateRequest, folds: Sequence[int]) -> FoldsReport:
    """Test the run of each fold; `request.run` is the start of their names.

    Raises:
        OptionError: a fold in the request, or folds that are none.
        KinetError: as of `evaluate_run`.
    """
    _check_folds(request.fold, folds)
    results = [
        evaluate_run(workspace, replace(request, run=fold_run_name(request.run, fold), fold=fold)) for fold in folds
    ]
    return _report(workspace, request.run, results)


def _report(workspace: Workspace, name: str, results: Sequence[dict[str, Any]]) -> FoldsReport:
    """Put the folds' results together and leave them as `folds-<views>.json` in the folder of that name."""
    fields = FoldResult.__dataclass_fields__
    folds = tuple(FoldResult(**{key: result[key] for key in fields}) for result in results)
    report = FoldsReport(
        name=name,
        dataset=results[0]["dataset"],
        folds=folds,
        top1=estimate_top1(gather_hits([[load_scores(Path(one.scores)) for one in folds]])),
        top5=fmean(one.top5 for one in folds),
        mean_class=fmean(one.mean_class for one in folds),
    )
    # The first fold's scores say how the videos were seen; so does the table's name.
    seen = Path(folds[0].scores).stem.replace(f"-fold{folds[0].fold}", "")
    folder = workspace.run_dir(name)
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / f"folds-{seen}.json", json.dumps(report.to_json(), indent=2) + "\n")
    return report


def _check_folds(fold: int | None, folds: Sequence[int]) -> None:
    if fold is not None:
        raise OptionError("--fold and --folds: give one of the two")
    if not folds or min(folds) < 1 or len(set(folds)) < len(folds):
        raise OptionError(f"--folds: expected numbers from 1 on, each once, found {','.join(map(str, folds))}")


def _percent(*shares: float) -> tuple[str, ...]:
    return tuple(f"{100 * share:.1f}" for share in shares)
