"""A training run from names in a workspace: what is asked, resolved, checked, and run."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from manifests.record import VideoRecord
from pipeline.datasets import load_dataset
from pipeline.errors import OptionError, option_errors
from pipeline.training.precision import choose_device
from pipeline.workspace import Workspace
from student.catalogue import BACKBONES, STANDARD_INPUT_SIZE
from student.clips import select_records
from student.flow_clips import open_flow
from student.recipes import RunConfig, TrainConfig, apply_overrides, read_recipe, read_run_config
from student.runs import (
    CONFIG_FILE,
    build_run_student,
    check_resumed,
    describe_videos,
    existing_run,
    has_checkpoint,
    has_labels,
    list_class_names,
    open_labels,
    start_run,
)
from student.train import TrainSummary
from student.training_job import TrainJob, run_training, select_usable
from student.transfer import StartReport, find_source_run, load_initial_weights, locate_init, write_start

logger = logging.getLogger(__name__)

DEFAULT_RECIPE = "kinetics400"
DEFAULT_SPLIT = "train"


@dataclass(frozen=True, kw_only=True)
class TrainRequest:
    """What a user asks of a training run; None leaves a thing to its default or, on resume, to the run.

    Attributes:
        dataset: its name in the workspace.
        run: the run's name; None makes one of data set, model, backbone and fold.
        recipe: name or file.
        overrides: `key=value`, in order.
        split, fold: the videos.
        init: file of ImageNet weights, or another run: its folder, one of its checkpoints, or its name.
        resume: go on with the run.
        loader_workers: processes that read; 0 reads in this one.
        cache_mib: memory for decoded clips, of all loading processes together.
        workers: processes that train together by Ray Train; 0 trains in this one, without Ray.
        address, gpus_per_worker: see `TrainCluster`.
    """

    dataset: str
    run: str | None = None
    recipe: str | None = None
    overrides: tuple[str, ...] = ()
    split: str | None = None
    fold: int | None = None
    init: Path | None = None
    resume: bool = False
    loader_workers: int = 0
    cache_mib: int = 0
    workers: int = 0
    address: str | None = None
    gpus_per_worker: float | None = None


def train_run(
    workspace: Workspace, request: TrainRequest, *, on_start: Callable[[StartReport], None] | None = None
) -> tuple[Path, TrainSummary]:
    """Train a run by name; return its folder and what was done.

    Args:
        workspace: of the data set and the run.
        request: what is asked.
        on_start: called with what the weights start from, before the first step.

    Raises:
        OptionError: an override, a value or a combination of values that is wrong.
        KinetError: manifest, labels, run, weights or reading are at fault, each in its own class.
    """
    if request.address and not request.workers:
        raise OptionError("--address: say by --workers how many processes of the cluster train")
    job = plan_training(workspace, request, on_start=on_start)
    if request.workers:
        # Ray takes seconds to import, and training in this process needs none of it.
        from pipeline.training.cluster import TrainCluster
        from student.cluster_training import train_on_cluster

        cluster = TrainCluster(request.workers, request.address, request.gpus_per_worker)
        return job.run_dir, train_on_cluster(job, cluster)
    return job.run_dir, run_training(job, device=choose_device(), resume=request.resume)


def resolve_recipe(request: TrainRequest) -> TrainConfig:
    """Read the recipe that is asked for, with its changes.

    Raises:
        RecipeError: no such recipe.
        ValueError: a change that is wrong.
    """
    return apply_overrides(read_recipe(request.recipe or DEFAULT_RECIPE), request.overrides).settle_input_size()


def default_run_name(dataset: str, recipe: TrainConfig) -> str:
    """Name a run that the user names not."""
    stream = "-flow" if recipe.modality == "flow" else ""
    return f"{dataset}-{recipe.model}-{recipe.backbone}{stream}"


def plan_training(
    workspace: Workspace, request: TrainRequest, *, on_start: Callable[[StartReport], None] | None = None
) -> TrainJob:
    """Resolve what was asked for into a run's configuration, check it, and make the folder of a new run."""
    with option_errors():
        recipe = None if request.recipe is None and request.resume else resolve_recipe(request)
        run = request.run or _default_run_name(request, recipe)
    run_dir = existing_run(workspace, run) if request.resume else workspace.run_dir(run)
    saved = read_run_config(run_dir / CONFIG_FILE) if request.resume else None
    if recipe is None:
        assert saved is not None  # for the type checker: only a resumed run has no recipe yet
        with option_errors():
            recipe = apply_overrides(saved.recipe, request.overrides)
    manifest = load_dataset(workspace, request.dataset)
    split = request.split or (saved.split if saved else DEFAULT_SPLIT)
    fold = request.fold or (saved.fold if saved else 1)
    records, _ = select_usable(workspace, manifest, request.dataset, split, fold)
    class_names = list_class_names(manifest)
    init = locate_init(workspace, request.init, saved.init if saved else "") if request.init else None
    transferred = saved.transferred if saved else init is not None and find_source_run(init) is not None
    # A run that began without labels goes on without: new ones would change it half-way.
    may_do_without = transferred and recipe.model == "kinet"
    labelled = saved.labelled if saved else not may_do_without or has_labels(workspace, request.dataset, records)
    config = RunConfig(
        dataset=request.dataset,
        split=split,
        fold=fold,
        num_classes=len(class_names),
        videos=describe_videos(records),
        init=str(init) if init else (saved.init if saved else ""),
        transferred=transferred,
        labelled=labelled,
        recipe=recipe,
    )
    if saved is not None:
        check_resumed(run_dir, saved, config)
    with option_errors():
        model = build_run_student(config)
    start = None if has_checkpoint(run_dir) else load_initial_weights(model, config, class_names)
    if recipe.validation_split:
        select_records(manifest, dataset=request.dataset, split=recipe.validation_split, fold=fold)
    _check_labels(workspace, config, records)
    made_for = BACKBONES[recipe.backbone].size
    if made_for != STANDARD_INPUT_SIZE and recipe.input_size != made_for:
        logger.warning(
            "%s is made for images of %d pixels a side, the recipe gives it %d",
            recipe.backbone,
            made_for,
            recipe.input_size,
        )
    if saved is None:
        start_run(run_dir, config, class_names)
    if start is not None:
        write_start(run_dir, start)
        if on_start is not None:
            on_start(start)
    return TrainJob(
        workspace=workspace,
        run=run,
        config=config,
        num_videos=len(records),
        loader_workers=request.loader_workers,
        cache_mib=request.cache_mib,
    )


def _check_labels(workspace: Workspace, config: RunConfig, records: list[VideoRecord]) -> None:
    """Raise WorkspaceError where a run lacks the labels or the flow it needs; say where it goes without."""
    if config.recipe.modality == "flow":
        open_flow(workspace, config.dataset, records)
    elif config.learns_from_labels:
        open_labels(workspace, config.dataset, records)
    elif config.recipe.model == "kinet":
        logger.warning(
            "data set %s has no labels of these videos: the auxiliary branches start as the other run left them, and "
            "the human and scene losses are off (kinet-pipeline label --dataset %s, then a new --run, has them)",
            config.dataset,
            config.dataset,
        )


def _default_run_name(request: TrainRequest, recipe: TrainConfig | None) -> str:
    if recipe is None:
        raise ValueError("--resume: name the run to go on with by --run")
    suffix = f"-fold{request.fold}" if request.fold and request.fold > 1 else ""
    return f"{default_run_name(request.dataset, recipe)}{suffix}"
