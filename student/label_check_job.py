"""The self-test of a data set's labels, from names in a workspace to its report."""

from dataclasses import dataclass

import numpy as np

from pipeline.datasets import load_dataset
from pipeline.errors import option_errors
from pipeline.label.settings import HUMAN_FACTORY, SCENE_FACTORY, TeacherSettings
from pipeline.label.teacher_loading import choose_precision, load_teachers
from pipeline.signals import interruptible
from pipeline.training.precision import choose_device
from pipeline.training.runlog import RunProgress
from pipeline.workspace import Workspace
from student.clips import ClipReader
from student.dataset import TrainDataset
from student.label_check import LabelCheckReport, check_crops, check_labelled_by
from student.planning import DEFAULT_RECIPE, DEFAULT_SPLIT
from student.recipes import apply_overrides, read_recipe
from student.runs import open_labels
from student.training_job import select_usable
from student.transforms import MultiScaleCrop


@dataclass(frozen=True, kw_only=True)
class LabelCheckRequest:
    """What a user asks of the self-test.

    Attributes:
        dataset, split, fold: the videos.
        recipe, overrides: decide the crops.
        num_clips: drawn at random; all where there are fewer.
        seed: of the draw.
        human_teacher, scene_teacher: factories, as of `label`; the files are the workspace's.
    """

    dataset: str
    split: str = DEFAULT_SPLIT
    fold: int = 1
    recipe: str | None = None
    overrides: tuple[str, ...] = ()
    num_clips: int = 32
    seed: int = 0
    human_teacher: str = HUMAN_FACTORY
    scene_teacher: str = SCENE_FACTORY


def check_labels(workspace: Workspace, request: LabelCheckRequest) -> LabelCheckReport:
    """Draw videos, cut them as training would, and compare the teachers' answers with the cropped labels.

    Raises:
        OptionError: a change of the recipe that is wrong.
        TeacherError: a teacher is not to be had, or not the one that labelled.
        LabelCheckError, KinetError: data set, labels or shards are at fault.
    """
    with option_errors():
        recipe = apply_overrides(read_recipe(request.recipe or DEFAULT_RECIPE), request.overrides).settle_input_size()
    manifest = load_dataset(workspace, request.dataset)
    records, _ = select_usable(workspace, manifest, request.dataset, request.split, request.fold)
    labels = open_labels(workspace, request.dataset, records)
    labelled = [number for number, record in enumerate(records) if record.video_id in labels]
    kinds = tuple(sorted({kind for number in labelled for kind in labels.teachers_of(records[number].video_id)}))
    device = choose_device()
    settings = TeacherSettings(
        workspace.teacher_path("human"),
        workspace.teacher_path("scene"),
        request.human_teacher,
        request.scene_teacher,
        kinds=kinds,
    )
    teachers = load_teachers(settings, device, choose_precision("auto", device))
    check_labelled_by(workspace.shards_dir(request.dataset), teachers)
    dataset = TrainDataset(
        records,
        reader=ClipReader(labels),
        num_segments=recipe.num_segments,
        crop=MultiScaleCrop(recipe.input_size, recipe.scales, recipe.max_distort, recipe.flip_probability),
        seed=request.seed,
    )
    drawn = np.random.default_rng(request.seed).permutation(labelled)[: request.num_clips].tolist()
    with (
        interruptible("nothing was changed"),
        RunProgress("check-labels", total=len(drawn), unit="clips", line_every=16) as progress,
    ):
        return check_crops(dataset, teachers, drawn, progress.update)
