"""A run from its start to its test scores, taken up wherever it was left: what tables and folds consist of."""

import dataclasses
import json
import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from manifests.record import VideoRecord
from pipeline.datasets import load_dataset
from pipeline.errors import CheckpointError, InterruptedRun, option_errors
from pipeline.files import write_atomically
from pipeline.workspace import Workspace
from student.absent import list_absent
from student.clips import select_records
from student.evaluation import Views
from student.planning import DEFAULT_SPLIT, TrainRequest, resolve_recipe, train_run
from student.recipes import read_run_config
from student.runs import CONFIG_FILE, check_resumed, describe_videos, list_class_names
from student.scoring import EvaluateRequest, check_missing, choose_evaluation_split, evaluate_run
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
        ScoreError: more videos lack a score than is allowed.
        InterruptedRun: SIGINT or SIGTERM; the same call goes on.
        KinetError: as of `train_run` and `evaluate_run`.
    """
    run_dir = workspace.run_dir(run.test.run)
    begun = check_begun(workspace, run.training)
    if begun:
        found = _read_result(workspace, run, run_dir)
        if found is not None:
            logger.info("%s: done already", run.test.run)
            return found
    try:
        train_run(workspace, dataclasses.replace(run.training, resume=begun), on_start=on_start)
        result = evaluate_run(workspace, run.test)
    except InterruptedRun as error:  # its way out is the single run's, whose --resume does not go with several
        raise InterruptedRun(
            f"{run.test.run} was interrupted; what is done is kept: give the same command again", error.exit_code
        ) from error
    write_atomically(run_dir / run.result_file, json.dumps(result, indent=2) + "\n")
    return result


def check_before_training(workspace: Workspace, run: TestedRun) -> None:
    """Raise what can be known to be wrong with a run before it is trained, which may take days.

    Raises:
        OptionError: a change to the recipe, or views that the student cannot take.
        CheckpointError: the run was begun with another configuration.
        ScoreError: so many test videos are known to be missing that its test would not be accepted.
        KinetError: the data set or a split is not there.
    """
    request, test = run.training, run.test
    with option_errors():
        recipe = resolve_recipe(request)
        Views(num_segments=test.segments, num_crops=test.crops, window_size=recipe.num_segments)
    manifest = load_dataset(workspace, request.dataset)
    fold = request.fold or 1
    select_usable(workspace, manifest, request.dataset, request.split or DEFAULT_SPLIT, fold)
    if recipe.validation_split:
        select_records(manifest, dataset=request.dataset, split=recipe.validation_split, fold=fold)
    check_test_split(workspace, manifest, request.dataset, fold, test.max_missing)
    check_begun(workspace, request)


def check_test_split(
    workspace: Workspace, manifest: list[VideoRecord], dataset: str, fold: int, max_missing: float
) -> None:
    """Check that a fold has a split to test on, and not too many of its videos are known to be missing.

    Raises:
        ManifestError: no such fold, or no such split in it.
        ScoreError: a larger share than `max_missing` is missing.
    """
    split = choose_evaluation_split(manifest, dataset, fold)
    tested, set_aside = select_usable(workspace, manifest, dataset, split, fold)
    missing = (*set_aside, *(list_absent(workspace, manifest, dataset, split, fold) or ()))
    check_missing([video.reason for video in missing], len(tested), max_missing)


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
        init=str(locate_init(workspace, request.init, saved.init)) if request.init else "",
        recipe=recipe,
    )
    check_resumed(run_dir, saved, asked)
    return True


def _read_result(workspace: Workspace, run: TestedRun, run_dir: Path) -> dict[str, Any] | None:
    """Return what a finished run said; None where it is not finished, or scored by other views or on other videos.

    Raises:
        CheckpointError: the file is damaged.
        ScoreError: more videos lacked a score than is allowed now.
    """
    path = run_dir / run.result_file
    if not path.is_file():
        return None
    test = run.test
    try:
        result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        views = (result["num_segments"], result["num_crops"], result["windows"], result["checkpoint"])
        split, fold, scored = result["split"], result["fold"], result["scored_videos"]
        kept = Path(result["scores"]).is_file()
        reasons, num_scored = Counter(result["missing_reasons"]), result["videos"]
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"{path}: cannot be read ({error}); remove it, and the run is scored again") from error
    if (
        not kept
        or views != (test.segments, test.crops, test.windows, test.checkpoint)
        or test.split not in (None, split)
    ):
        return None
    records, _ = select_usable(workspace, load_dataset(workspace, test.dataset), test.dataset, split, fold)
    if scored != describe_videos(records):
        return None
    check_missing(list(reasons.elements()), num_scored, test.max_missing, f"the scores are in {result['scores']}")
    return result
