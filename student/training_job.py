"""A training run that is ready to go: in this process, or in each of several."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from manifests.record import VideoRecord
from pipeline.datasets import load_dataset
from pipeline.errors import ManifestError
from pipeline.training.world import ALONE, World
from pipeline.workspace import Workspace
from student.absent import list_absent
from student.build import Student
from student.clips import ClipReader, FrameSource, select_records
from student.dataset import DroppedVideo, EvaluationDataset, TrainDataset
from student.evaluation import Views, score_videos
from student.flow_clips import FlowReader, open_flow
from student.label_filter import LabelFilter
from student.recipes import RunConfig, TrainConfig
from student.runs import (
    build_run_student,
    describe_videos,
    has_checkpoint,
    leave_out_dangerous,
    list_class_names,
    open_labels,
)
from student.scores import MissingVideo, Scores, measure_accuracy
from student.train import TrainSummary, train_loop
from student.transfer import load_initial_weights
from student.transforms import MultiScaleCrop


@dataclass(frozen=True, kw_only=True)
class TrainJob:
    """What a process needs to train a run; small enough to be sent to another machine.

    Attributes:
        workspace: reachable under the same path on every machine.
        run: the run's name; its folder and configuration are there.
        config: the run's resolved configuration.
        num_videos: that it trains on.
        loader_workers: processes that read, for each training process; 0 reads in the training process.
        cache_mib: memory for decoded clips, of all loading processes of one training process together.
    """

    workspace: Workspace
    run: str
    config: RunConfig
    num_videos: int
    loader_workers: int = 0
    cache_mib: int = 0

    @property
    def run_dir(self) -> Path:
        """The run's folder."""
        return self.workspace.run_dir(self.run)


def run_training(job: TrainJob, *, device: torch.device, resume: bool, world: World = ALONE) -> TrainSummary:
    """Train a run in this process, as one of `world`.

    Raises:
        KinetError: manifest, labels, weights or reading are at fault, each in its own class.
    """
    config = job.config
    manifest = load_dataset(job.workspace, config.dataset)
    records, left_out = select_usable(job.workspace, manifest, config.dataset, config.split, config.fold)
    if describe_videos(records) != config.videos:
        raise ManifestError(
            f"data set {config.dataset}: {describe_videos(records)} here, {config.videos} where the run was started; "
            "every machine must see the same workspace"
        )
    model = build_run_student(config)
    if not (resume and has_checkpoint(job.run_dir)):
        load_initial_weights(model, config, list_class_names(manifest))
    return train_loop(
        config.recipe,
        model,
        _train_dataset(job, records),
        run_dir=job.run_dir,
        device=device,
        resume=resume,
        loader_workers=job.loader_workers,
        left_out=left_out,
        validate=_make_validation(job, manifest, device, world),
        transferred=config.transferred,
        world=world,
    )


def select_usable(
    workspace: Workspace, manifest: list[VideoRecord], dataset: str, split: str, fold: int
) -> tuple[list[VideoRecord], tuple[DroppedVideo, ...]]:
    """Choose the videos of a split, without those that crashed stage one, which are returned apart."""
    records = select_records(manifest, dataset=dataset, split=split, fold=fold)
    return leave_out_dangerous(records, workspace.shards_dir(dataset))


def open_evaluation(
    workspace: Workspace, dataset: str, records: list[VideoRecord], views: Views, part: slice = slice(None)
) -> EvaluationDataset:
    """Return what of some videos is scored: their frames, or their flow; of them a part alone.

    Raises:
        WorkspaceError: it is flow, and none of the videos has any.
    """
    reader = FlowReader(open_flow(workspace, dataset, records)) if views.modality == "flow" else None
    return EvaluationDataset(records[part], num_segments=views.num_segments, input_size=views.input_size, reader=reader)


def _train_dataset(job: TrainJob, records: list[VideoRecord]) -> TrainDataset:
    """Join manifest and shards; a run that learns actions alone needs no labels."""
    recipe = job.config.recipe
    return TrainDataset(
        records,
        reader=_train_reader(job, records),
        num_segments=recipe.num_segments,
        crop=MultiScaleCrop(recipe.input_size, recipe.scales, recipe.max_distort, recipe.flip_probability),
        seed=recipe.seed,
        label_filter=LabelFilter(recipe.min_scene_confidence, recipe.skip_empty_masks),
    )


def _train_reader(job: TrainJob, records: list[VideoRecord]) -> FrameSource:
    config = job.config
    if config.recipe.modality == "flow":
        return FlowReader(open_flow(job.workspace, config.dataset, records))
    labels = open_labels(job.workspace, config.dataset, records) if config.learns_from_labels else None
    return ClipReader(labels, cache_bytes=job.cache_mib * 2**20 // max(1, job.loader_workers))


def _make_validation(
    job: TrainJob, manifest: list[VideoRecord], device: torch.device, world: World
) -> Callable[[Student], Mapping[str, float]] | None:
    """Make what scores the student on the validation split: `num_segments` frames and the centre crop of each video.

    Each rank scores its share of the videos. The figures have no `val_missing` where that number is not known.
    """
    recipe: TrainConfig = job.config.recipe
    if not recipe.validation_split:
        return None
    config = job.config
    split = recipe.validation_split
    records, set_aside = select_usable(job.workspace, manifest, config.dataset, split, config.fold)
    absent = list_absent(job.workspace, manifest, config.dataset, split, config.fold)
    left_out = (*set_aside, *(absent or ()))
    views = Views(
        num_segments=recipe.num_segments,
        num_crops=1,
        window_size=recipe.num_segments,
        input_size=recipe.input_size,
        modality=recipe.modality,
    )
    dataset = open_evaluation(job.workspace, config.dataset, records, views, part=slice(world.rank, None, world.size))

    def validate(model: Student) -> dict[str, float]:
        mine = score_videos(
            model, dataset, views, device=device, precision=recipe.precision, loader_workers=job.loader_workers
        )
        scores = Scores.join(world.gather(mine), [MissingVideo(*video) for video in left_out])
        figures = asdict(measure_accuracy(replace(scores, missing_known=absent is not None)))
        named = {name: figures[name] for name in ("top1", "top5", "mean_class", "missing")}
        return {f"val_{name}": float(value) for name, value in named.items() if value is not None}

    return validate
