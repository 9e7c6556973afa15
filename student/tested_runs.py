"""A run from its start to its test scores, taken up wherever it was left: what tables and folds consist of."""

import dataclasses
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.datasets import load_dataset
from pipeline.errors import CheckpointError, option_errors
from pipeline.files import write_atomically
from pipeline.workspace import Workspace
from student.planning import DEFAULT_SPLIT, TrainRequest, resolve_recipe, train_run
from student.recipes import read_run_config
from student.runs import CONFIG_FILE, check_resumed, describe_videos, list_class_names
from student.scoring import EvaluateRequest, evaluate_run
from student.training_job import select_usable
from student.transfer import StartReport, locate_init

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class TestedRun:
    """One run to be trained and scored.

    Attributes:
        training: with the run's name and its fold; `resume` is set as needed.
        test: of the same run, on the same fold.
        result_file: in the run's folder; what the test said is kept there.
    """

    training: TrainRequest
    test: EvaluateRequest
    result_file: str


def train_and_test(
    workspace: Workspace, run: TestedRun, *, on_start: Callable[[StartReport], None] | None = None
) -> dict[str, Any]:
    """Train and score a run unless that is done; return what `evaluate_run` said of it.

    Raises:
        OptionError: a value that is wrong.
        CheckpointError: the run was begun with another configuration.
        KinetError: as of `train_run` and `evaluate_run`.
    """
    run_dir = workspace.run_dir(run.test.run)
    begun = check_begun(workspace, run.training)
    if begun:
        found = _read_result(workspace, run, run_dir)
        if found is not None:
            logger.info("%s: done already", run.test.run)
            return found
    train_run(workspace, dataclasses.replace(run.training, resume=begun), on_start=on_start)
    result = evaluate_run(workspace, run.test)
    write_atomically(run_dir / run.result_file, json.dumps(result, indent=2) + "\n")
    return result


def check_begun(workspace: Workspace, request: TrainRequest) -> bool:
    """Tell whether a run was begun; CheckpointError where it has another recipe, start or data than asked for.

    Args:
        workspace: of the run.
        request: with the run's name and fold.
    """
    if request.run is None or request.fold is None:
        raise ValueError(f"request: expected a run and its fold, found {request.run} and {request.fold}")
    run_dir = workspace.run_dir(request.run)
    if not (run_dir / CONFIG_FILE).is_file():
        return False
    with option_errors():
        recipe = resolve_recipe(request)
    saved = read_run_config(run_dir / CONFIG_FILE)
    manifest = load_dataset(workspace, request.dataset)
    split = request.split or DEFAULT_SPLIT
    records, _ = select_usable(workspace, manifest, request.dataset, split, request.fold)
    asked = dataclasses.replace(
        saved,
        dataset=request.dataset,
        split=split,
        fold=request.fold,
        num_classes=len(list_class_names(manifest)),
        videos=describe_videos(records),
        init=str(locate_init(workspace, request.init)) if request.init else "",
        recipe=recipe,
    )
    check_resumed(run_dir, saved, asked)
    return True


def _read_result(workspace: Workspace, run: TestedRun, run_dir: Path) -> dict[str, Any] | None:
    """Return what a finished run said; None where it is not finished, or scored by other views or on other videos."""
    path = run_dir / run.result_file
    if not path.is_file():
        return None
    test = run.test
    try:
        result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        views = (result["num_segments"], result["num_crops"], result["windows"], result["checkpoint"])
        split, fold, scored = result["split"], result["fold"], result["scored_videos"]
        kept = Path(result["scores"]).is_file()
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"{path}: cannot be read ({error}); remove it, and the run is scored again") from error
    if (
        not kept
        or views != (test.segments, test.crops, test.windows, test.checkpoint)
        or test.split not in (None, split)
    ):
        return None
    records, _ = select_usable(workspace, load_dataset(workspace, test.dataset), test.dataset, split, fold)
    return result if scored == describe_videos(records) else None
