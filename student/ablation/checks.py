"""What can be known to be wrong with a table before its first run, which may take days."""

from collections.abc import Sequence

from pipeline.datasets import load_dataset
from pipeline.errors import CheckpointError, OptionError, option_errors
from pipeline.workspace import Workspace
from student.ablation.request import AblationRequest, row_recipe
from student.ablation.tables import Row
from student.ablation.trials import Trial, check_trial
from student.build import build_student
from student.clips import select_records
from student.evaluation import Views
from student.initialisation import load_imagenet_weights
from student.planning import DEFAULT_SPLIT
from student.recipes import TrainConfig
from student.runs import open_labels
from student.tested_runs import check_test_split
from student.training_job import select_usable
from student.transfer import find_source_run


def check_before_running(workspace: Workspace, request: AblationRequest, trials: Sequence[Trial]) -> None:
    """Check initial weights, views, splits, labels, teachers and runs that were begun, of every row.

    Raises:
        OptionError: initial weights for a backbone that no row has, a run in their place, or views that a
            row cannot take.
        ScoreError: so many test videos are known to be missing that no run would be accepted.
        KinetError: a file, a split, labels or a teacher is not there, or a run of a trial's name is another one.
    """
    rows = list({trial.row.key: trial.row for trial in trials}.values())
    _check_init(request, rows)
    with option_errors():
        recipes = [row_recipe(workspace, request, row) for row in rows]
        for recipe in recipes:
            Views(num_segments=request.segments, num_crops=request.crops, window_size=recipe.num_segments)
    _check_data(workspace, request, recipes)
    for recipe in recipes:
        if recipe.model == "kinet-fixed":
            from student.fixed import load_fixed_teachers  # brings the teachers' libraries along, which take seconds

            with option_errors():
                load_fixed_teachers(recipe.human_teacher, recipe.scene_teacher)
    for trial in trials:
        check_trial(workspace, request, trial)


def _check_init(request: AblationRequest, rows: Sequence[Row]) -> None:
    """Check that initial weights are there, each for a row's backbone, and that ImageNet's fit it."""
    used = {row.backbone for row in rows}
    for backbone, path in request.init:
        if backbone and backbone not in used:
            raise OptionError(f"--init {backbone}=...: no row has this backbone; the table's are {', '.join(used)}")
        if find_source_run(path) is not None:
            raise OptionError(
                f"--init {path}: a run, and the rows are students of different kinds that no one run fits; give a file "
                "of ImageNet weights"
            )
        if not path.is_file():
            raise CheckpointError(f"--init {path}: no such file; without --init every row starts from random weights")
    for backbone, init in {(row.backbone, request.init_of(row)) for row in rows}:
        if init is not None:
            load_imagenet_weights(build_student(model="tsn", backbone=backbone, num_classes=1), init)


def _check_data(workspace: Workspace, request: AblationRequest, recipes: Sequence[TrainConfig]) -> None:
    """Check that every fold has the videos and labels that the rows need."""
    dataset = request.dataset_name
    manifest = load_dataset(workspace, dataset)
    validation_splits = {recipe.validation_split for recipe in recipes if recipe.validation_split}
    for fold in request.folds:
        records, _ = select_usable(workspace, manifest, dataset, DEFAULT_SPLIT, fold)
        if any(recipe.model == "kinet" for recipe in recipes):
            open_labels(workspace, dataset, records)
        for split in validation_splits:
            select_records(manifest, dataset=dataset, split=split, fold=fold)
        check_test_split(workspace, manifest, dataset, fold, request.max_missing)
