"""One run of a table: a row with one seed on one fold, trained and scored unless that is done already."""

import logging
from dataclasses import dataclass
from typing import Any, TypeAlias

from pipeline.errors import InterruptedRun, KinetError, option_errors
from pipeline.workspace import Workspace
from student.ablation.request import AblationRequest, row_overrides
from student.ablation.tables import Row
from student.planning import TrainRequest
from student.scoring import EvaluateRequest
from student.tested_runs import TestedRun, check_begun, train_and_test

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
    return train_and_test(workspace, _tested_run(workspace, request, trial))


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


def check_trial(workspace: Workspace, request: AblationRequest, trial: Trial) -> None:
    """Raise CheckpointError where a run was begun with another recipe, start or data than asked for."""
    check_begun(workspace, _tested_run(workspace, request, trial).training)


def _tested_run(workspace: Workspace, request: AblationRequest, trial: Trial) -> TestedRun:
    run = trial.run_name(request)
    with option_errors():
        overrides = row_overrides(workspace, request, trial.row, trial.seed)
    return TestedRun(
        training=TrainRequest(
            dataset=request.dataset_name,
            run=run,
            recipe=request.recipe,
            overrides=overrides,
            fold=trial.fold,
            init=request.init_of(trial.row),
            loader_workers=request.loader_workers,
            cache_mib=request.cache_mib,
        ),
        test=EvaluateRequest(
            run=run,
            dataset=request.dataset_name,
            segments=request.segments,
            crops=request.crops,
            max_missing=request.max_missing,
            loader_workers=request.loader_workers,
            folder=SCORES_FOLDER,
        ),
        result_file=RESULT_FILE,
    )
