"""Run a table: every row with every seed on every fold, one run each, and take up what is done already."""

import dataclasses
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.datasets import load_dataset
from pipeline.errors import CheckpointError, OptionError, option_errors
from pipeline.files import write_atomically
from pipeline.workspace import Workspace
from student.ablation.figures import Hits, estimate_gain, estimate_top1, gather_hits
from student.ablation.report import AblationReport, RowResult, write_report
from student.ablation.size import fit_input_size, measure_size
from student.ablation.tables import BACKBONE_NAMES, PAPER_BACKBONE, Row, table_rows
from student.jobs import (
    DEFAULT_RECIPE,
    DEFAULT_SPLIT,
    MAX_MISSING,
    EvaluateRequest,
    TrainRequest,
    evaluate_run,
    train_run,
)
from student.options import check_choice
from student.recipes import TrainConfig, apply_overrides, read_recipe, read_run_config
from student.runs import CONFIG_FILE, check_resumed, describe_videos, list_class_names
from student.scores import load_scores
from student.training_job import select_usable

logger = logging.getLogger(__name__)

RESULT_FILE = "ablate.json"
SCORES_FOLDER = "ablate-scores"
"""In a run's folder, apart from the scores that a later `evaluate` writes."""
KINETICS_CLASSES = 400
"""Of a table that is only counted, without a data set."""


@dataclass(frozen=True, kw_only=True)
class AblationRequest:
    """What a user asks of a table.

    Attributes:
        table: its number in the paper.
        dataset: its name in the workspace; None only where nothing is trained.
        backbone: see `table_rows`.
        recipe: name or file.
        overrides: `key=value` for every row; a row's own changes come after them.
        seeds, folds: each row is trained once for each pair.
        init: ImageNet weights by backbone; the key "" is for every backbone.
        segments, crops: of the evaluation.
        max_missing: share of the test videos that may have no score, see `EvaluateRequest`.
        name: of the folder in runs/, and the start of its runs' names; None makes one of table, data set and backbone.
        loader_workers, cache_mib: as of `TrainRequest`.

    Raises:
        ValueError: no seed, no fold, or one of them twice; `init` for a backbone that there is not, or twice for one.
    """

    table: int
    dataset: str | None = None
    backbone: str | None = None
    recipe: str = DEFAULT_RECIPE
    overrides: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (0,)
    folds: tuple[int, ...] = (1,)
    init: tuple[tuple[str, Path], ...] = ()
    segments: int = 25
    crops: int = 10
    max_missing: float = MAX_MISSING
    name: str | None = None
    loader_workers: int = 0
    cache_mib: int = 0

    def __post_init__(self) -> None:
        for what, values in (("seeds", self.seeds), ("folds", self.folds)):
            if not values or len(set(values)) < len(values):
                raise ValueError(f"{what}: expected one or more, each once, found {', '.join(map(str, values)) or '-'}")
        if min(self.folds) < 1 or min(self.seeds) < 0:
            raise ValueError("folds: expected numbers from 1 on; seeds: from 0 on")
        named = [backbone for backbone, _ in self.init]
        for backbone in named:
            check_choice("--init", backbone or PAPER_BACKBONE, BACKBONE_NAMES)
        if len(set(named)) < len(named):
            raise ValueError(
                f"--init: expected one file a backbone, found {', '.join(name or 'all' for name in named)}"
            )

    @property
    def run_prefix(self) -> str:
        """Return the start of the runs' names."""
        parts = ("ablate", str(self.table), self.dataset or "", self.backbone or "")
        return self.name or "-".join(part for part in parts if part)

    def run_name(self, row: Row, seed: int, fold: int) -> str:
        """Name one run."""
        return f"{self.run_prefix}-{row.key}-fold{fold}-seed{seed}"

    def init_of(self, row: Row) -> Path | None:
        """Return the file that a row's backbone starts from."""
        files = dict(self.init)
        return files.get(row.backbone, files.get(""))


def measure_table(workspace: Workspace, request: AblationRequest) -> AblationReport:
    """Build every row's model and count it; nothing is read but the data set's manifest.

    Raises:
        OptionError: an override or a combination that is wrong.
        UnknownDatasetError, ManifestError, RecipeError: as their names say.
    """
    num_classes = KINETICS_CLASSES
    if request.dataset is not None:
        num_classes = len(list_class_names(load_dataset(workspace, request.dataset)))
    with option_errors():
        rows = table_rows(request.table, request.backbone)
        results = [
            RowResult(row=row, size=measure_size(row_recipe(workspace, request, row), num_classes)) for row in rows
        ]
    return AblationReport(request.table, request.dataset or "", num_classes, results)


def run_table(
    workspace: Workspace, request: AblationRequest, *, after_run: Callable[[AblationReport], None] | None = None
) -> AblationReport:
    """Train and score every row, and write the table into the workspace after each run.

    A run that is done is read from its scores; one that was broken off goes on from its checkpoint.

    Args:
        workspace: of the data set and the runs.
        request: what is asked.
        after_run: called with the table so far.

    Raises:
        OptionError: an override or a combination that is wrong.
        CheckpointError: a run of that name has another configuration.
        KinetError: data set, labels, weights or reading are at fault; what is done stays.
    """
    if request.dataset is None:
        raise ValueError("dataset: expected a data set's name; without one a table can only be counted")
    load_dataset(workspace, request.dataset)  # an unknown name is told at once, not after the models are counted
    report = measure_table(workspace, request)
    _check_init(request, [result.row for result in report.results])
    done: dict[tuple[str, int, int], dict[str, Any]] = {}
    # Seeds and folds outside: early on, every row has a figure to compare.
    for seed in request.seeds:
        for fold in request.folds:
            for result in report.results:
                done[result.row.key, seed, fold] = _run_once(workspace, request, result.row, seed, fold)
                report = _summarise(report, request, done)
                write_report(report, workspace.run_dir(request.run_prefix))
                if after_run is not None:
                    after_run(report)
    return report


def _check_init(request: AblationRequest, rows: Sequence[Row]) -> None:
    """Check the files of initial weights before the first run.

    Raises:
        OptionError: a file for a backbone that no row has.
        CheckpointError: a file that is not there.
    """
    used = {row.backbone for row in rows}
    for backbone, path in request.init:
        if backbone and backbone not in used:
            raise OptionError(f"--init {backbone}=...: no row has this backbone; the table's are {', '.join(used)}")
        if not path.exists():
            raise CheckpointError(f"--init {path}: no such file; without --init every row starts from random weights")


def row_recipe(workspace: Workspace, request: AblationRequest, row: Row, seed: int = 0) -> TrainConfig:
    """Resolve a row's recipe: the recipe, the user's changes, the row's, the backbone's input size, the seed.

    Raises:
        RecipeError: no such recipe.
        ValueError: a change that is wrong.
    """
    return apply_overrides(read_recipe(request.recipe), _overrides(workspace, request, row, seed))


def _overrides(workspace: Workspace, request: AblationRequest, row: Row, seed: int) -> tuple[str, ...]:
    changes = [*request.overrides, *row.overrides, f"seed={seed}"]
    if row.model == "kinet-fixed":
        changes += [
            f"{kind}_teacher={workspace.teacher_path(kind)}"
            for kind in ("human", "scene")
            if not _sets(request.overrides, f"{kind}_teacher")
        ]
    sized = fit_input_size(apply_overrides(read_recipe(request.recipe), changes))
    return (*changes, *(change for change in sized if not _sets(request.overrides, "input_size")))


def _sets(overrides: tuple[str, ...], key: str) -> bool:
    return any(override.partition("=")[0].strip() == key for override in overrides)


def _run_once(workspace: Workspace, request: AblationRequest, row: Row, seed: int, fold: int) -> dict[str, Any]:
    """Train and score one run unless it is done; return what `evaluate_run` said of it."""
    assert request.dataset is not None  # `run_table` has checked it
    run = request.run_name(row, seed, fold)
    run_dir = workspace.run_dir(run)
    with option_errors():
        overrides = _overrides(workspace, request, row, seed)
        recipe = row_recipe(workspace, request, row, seed)
    begun = (run_dir / CONFIG_FILE).is_file()
    init = request.init_of(row)
    if begun:
        _check_begun(workspace, request, run_dir, recipe, fold, init)
        found = _read_result(workspace, request, run_dir, fold)
        if found is not None:
            logger.info("%s: done already", run)
            return found
    train_run(
        workspace,
        TrainRequest(
            dataset=request.dataset,
            run=run,
            recipe=request.recipe,
            overrides=overrides,
            fold=fold,
            init=init,
            resume=begun,
            loader_workers=request.loader_workers,
            cache_mib=request.cache_mib,
        ),
    )
    result = evaluate_run(
        workspace,
        EvaluateRequest(
            run=run,
            dataset=request.dataset,
            segments=request.segments,
            crops=request.crops,
            max_missing=request.max_missing,
            loader_workers=request.loader_workers,
            folder=SCORES_FOLDER,
        ),
    )
    write_atomically(run_dir / RESULT_FILE, json.dumps(result, indent=2) + "\n")
    return result


def _check_begun(
    workspace: Workspace, request: AblationRequest, run_dir: Path, recipe: TrainConfig, fold: int, init: Path | None
) -> None:
    """Raise CheckpointError where a run that was begun has another recipe, start or data than asked for."""
    assert request.dataset is not None
    saved = read_run_config(run_dir / CONFIG_FILE)
    manifest = load_dataset(workspace, request.dataset)
    records, _ = select_usable(workspace, manifest, request.dataset, DEFAULT_SPLIT, fold)
    asked = dataclasses.replace(
        saved,
        dataset=request.dataset,
        split=DEFAULT_SPLIT,
        fold=fold,
        num_classes=len(list_class_names(manifest)),
        videos=describe_videos(records),
        init=str(init or ""),
        recipe=recipe,
    )
    check_resumed(run_dir, saved, asked)


def _read_result(workspace: Workspace, request: AblationRequest, run_dir: Path, fold: int) -> dict[str, Any] | None:
    """Return what a finished run said; None where it is not finished, or scored by other views or on other videos."""
    assert request.dataset is not None
    path = run_dir / RESULT_FILE
    if not path.is_file():
        return None
    try:
        result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        same_views = (result["num_segments"], result["num_crops"]) == (request.segments, request.crops)
        split, scored = result["split"], result["scored_videos"]
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"{path}: cannot be read ({error}); remove it, and the run is scored again") from error
    records, _ = select_usable(workspace, load_dataset(workspace, request.dataset), request.dataset, split, fold)
    return result if same_views and scored == describe_videos(records) else None


def _summarise(
    report: AblationReport, request: AblationRequest, done: dict[tuple[str, int, int], dict[str, Any]]
) -> AblationReport:
    """Fill the table with what is known; seeds and folds that only some rows have do not count yet."""
    hits: dict[str, Hits] = {}
    results = []
    for result in report.results:
        key = result.row.key
        runs = {run: done[run] for run in done if run[0] == key}
        whole = [
            [load_scores(Path(done[key, seed, fold]["scores"])) for fold in request.folds]
            for seed in request.seeds
            if all((key, seed, fold) in done for fold in request.folds)
        ]
        if whole:
            hits[key] = gather_hits(whole)
        results.append(
            dataclasses.replace(
                result,
                num_runs=len(runs),
                num_planned=len(request.seeds) * len(request.folds),
                top1=estimate_top1(hits[key]) if key in hits else None,
                gain=estimate_gain(hits[key], hits[result.row.baseline])
                if key in hits and result.row.baseline in hits
                else None,
                run_top1={
                    request.run_name(result.row, seed, fold): run["top1"] for (_, seed, fold), run in runs.items()
                },
                num_missing=sum(figures["missing"] for figures in runs.values()),
            )
        )
    return dataclasses.replace(report, results=results)
