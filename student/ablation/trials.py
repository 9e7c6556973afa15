"""Run a table: every row with every seed on every fold, one run each, and take up what is done already."""

import dataclasses
import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pipeline.datasets import load_dataset
from pipeline.errors import CheckpointError, OptionError, option_errors
from pipeline.files import write_atomically
from pipeline.workspace import Workspace
from student.ablation.figures import Hits, estimate_gain, estimate_top1, gather_hits
from student.ablation.report import AblationReport, RowResult, write_report
from student.ablation.request import AblationRequest, check_overrides, row_overrides, row_recipe
from student.ablation.size import measure_size
from student.ablation.tables import Row, table_rows
from student.jobs import DEFAULT_SPLIT, EvaluateRequest, TrainRequest, evaluate_run, train_run
from student.recipes import TrainConfig, read_run_config
from student.runs import CONFIG_FILE, check_resumed, describe_videos, list_class_names
from student.scores import load_scores
from student.training_job import select_usable

logger = logging.getLogger(__name__)

RESULT_FILE = "ablate.json"
SCORES_FOLDER = "ablate-scores"
"""In a run's folder, apart from the scores that a later `evaluate` writes."""
KINETICS_CLASSES = 400
"""Of a table that is only counted, without a data set."""


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
        check_overrides(request, rows)
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


def _run_once(workspace: Workspace, request: AblationRequest, row: Row, seed: int, fold: int) -> dict[str, Any]:
    """Train and score one run unless it is done; return what `evaluate_run` said of it."""
    assert request.dataset is not None  # `run_table` has checked it
    run = request.run_name(row, seed, fold)
    run_dir = workspace.run_dir(run)
    with option_errors():
        overrides = row_overrides(workspace, request, row, seed)
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
