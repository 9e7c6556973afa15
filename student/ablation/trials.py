"""One run of a table: a row with one seed on one fold, trained and scored unless that is done already."""

import dataclasses
import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from pipeline.datasets import load_dataset
from pipeline.errors import CheckpointError, InterruptedRun, KinetError, option_errors
from pipeline.files import write_atomically
from pipeline.workspace import Workspace
from student.ablation.request import AblationRequest, row_overrides, row_recipe
from student.ablation.tables import Row
from student.jobs import DEFAULT_SPLIT, EvaluateRequest, TrainRequest, evaluate_run, train_run
from student.recipes import read_run_config
from student.runs import CONFIG_FILE, check_resumed, describe_videos, list_class_names
from student.training_job import select_usable

logger = logging.getLogger(__name__)

RESULT_FILE = "ablate.json"
SCORES_FOLDER = "ablate-scores"
"""In a run's folder, apart from the scores that a later `evaluate` writes."""


@dataclass(frozen=True)
class Trial:
    """One run of a table."""

    row: Row
    seed: int
    fold: int

    def run_name(self, request: AblationRequest) -> str:
        """Name the run."""
        return f"{request.run_prefix}-{self.row.key}-fold{self.fold}-seed{self.seed}"


@dataclass(frozen=True)
class TrialFault:
    """Why a trial has no result."""

    message: str


Outcome: TypeAlias = dict[str, Any] | TrialFault


def run_trial(workspace: Workspace, request: AblationRequest, trial: Trial) -> dict[str, Any]:
    """Train and score a run unless that is done; return what `evaluate_run` said of it.

    A run that was broken off goes on from its checkpoint.

    Raises:
        CheckpointError: a run of that name has another configuration.
        KinetError: data set, labels, weights, training or reading are at fault, each in its own class.
    """
    run = trial.run_name(request)
    run_dir = workspace.run_dir(run)
    begun = check_begun(workspace, request, trial)
    if begun:
        found = _read_result(workspace, request, run_dir, trial.fold)
        if found is not None:
            logger.info("%s: done already", run)
            return found
    with option_errors():
        overrides = row_overrides(workspace, request, trial.row, trial.seed)
    train_run(
        workspace,
        TrainRequest(
            dataset=request.dataset_name,
            run=run,
            recipe=request.recipe,
            overrides=overrides,
            fold=trial.fold,
            init=request.init_of(trial.row),
            resume=begun,
            loader_workers=request.loader_workers,
            cache_mib=request.cache_mib,
        ),
    )
    result = evaluate_run(
        workspace,
        EvaluateRequest(
            run=run,
            dataset=request.dataset_name,
            segments=request.segments,
            crops=request.crops,
            max_missing=request.max_missing,
            loader_workers=request.loader_workers,
            folder=SCORES_FOLDER,
        ),
    )
    write_atomically(run_dir / RESULT_FILE, json.dumps(result, indent=2) + "\n")
    return result


def attempt_trial(workspace: Workspace, request: AblationRequest, trial: Trial) -> Outcome:
    """Run a trial; a fault of it is returned, so that the other trials go on.

    Raises:
        InterruptedRun: SIGINT or SIGTERM; the same call goes on.
    """
    try:
        return run_trial(workspace, request, trial)
    except InterruptedRun:
        raise
    except KinetError as error:
        logger.warning("%s failed, the other runs go on: %s", trial.run_name(request), error)
        return TrialFault(str(error))


def check_begun(workspace: Workspace, request: AblationRequest, trial: Trial) -> bool:
    """Tell whether a run was begun; CheckpointError where it has another recipe, start or data than asked for."""
    run_dir = workspace.run_dir(trial.run_name(request))
    if not (run_dir / CONFIG_FILE).is_file():
        return False
    saved = read_run_config(run_dir / CONFIG_FILE)
    manifest = load_dataset(workspace, request.dataset_name)
    records, _ = select_usable(workspace, manifest, request.dataset_name, DEFAULT_SPLIT, trial.fold)
    with option_errors():
        recipe = row_recipe(workspace, request, trial.row, trial.seed)
    asked = dataclasses.replace(
        saved,
        dataset=request.dataset_name,
        split=DEFAULT_SPLIT,
        fold=trial.fold,
        num_classes=len(list_class_names(manifest)),
        videos=describe_videos(records),
        init=str(request.init_of(trial.row) or ""),
        recipe=recipe,
    )
    check_resumed(run_dir, saved, asked)
    return True


def _read_result(workspace: Workspace, request: AblationRequest, run_dir: Path, fold: int) -> dict[str, Any] | None:
    """Return what a finished run said; None where it is not finished, or scored by other views or on other videos."""
    path = run_dir / RESULT_FILE
    if not path.is_file():
        return None
    try:
        result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        same_views = (result["num_segments"], result["num_crops"]) == (request.segments, request.crops)
        split, scored = result["split"], result["scored_videos"]
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"{path}: cannot be read ({error}); remove it, and the run is scored again") from error
    manifest = load_dataset(workspace, request.dataset_name)
    records, _ = select_usable(workspace, manifest, request.dataset_name, split, fold)
    return result if same_views and scored == describe_videos(records) else None
