"""The two jobs of stage two, from names in a workspace to a trained run and to its scores."""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from manifests.record import VideoRecord
from pipeline.datasets import load_dataset
from pipeline.errors import ManifestError, OptionError, option_errors
from pipeline.training.precision import choose_device
from pipeline.workspace import Workspace
from student.absent import list_absent
from student.catalogue import BACKBONES, STANDARD_INPUT_SIZE
from student.clips import select_records
from student.evaluation import Views, Windows, evaluate_model
from student.flow_clips import open_flow
from student.recipes import RunConfig, TrainConfig, apply_overrides, read_recipe, read_run_config
from student.runs import (
    CONFIG_FILE,
    Which,
    build_run_student,
    check_resumed,
    describe_videos,
    existing_run,
    has_checkpoint,
    has_labels,
    list_class_names,
    load_student,
    open_labels,
    read_class_names,
    start_run,
)
from student.score_tables import write_score_tables
from student.scores import ScoreError, measure_accuracy, save_scores
from student.train import TrainSummary
from student.training_job import TrainJob, open_evaluation, run_training, select_usable
from student.transfer import StartReport, find_source_run, load_initial_weights, locate_init, write_start

logger = logging.getLogger(__name__)

DEFAULT_RECIPE = "kinetics400"
DEFAULT_SPLIT = "train"
SCORES_FOLDER = "scores"
_EVALUATION_SPLITS = ("val", "test")
# Share of a split's videos that may lack a score before its figures are refused: a usual copy of Kinetics-400 lacks
# 2.5 % of its clips, and twice that is no usual copy.
MAX_MISSING = 0.05


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
    init = locate_init(workspace, request.init) if request.init else None
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


@dataclass(frozen=True, kw_only=True)
class EvaluateRequest:
    """What a user asks of an evaluation; attributes as of `TrainRequest` and `Views`.

    `checkpoint` is the last or the best in validation; a larger share than `max_missing` without a score is a fault.
    `split` None takes the first of val, test that the data set has; `fold` None the run's own on its own data set.
    `folder` of the run takes the files.
    """

    run: str
    dataset: str
    split: str | None = None
    fold: int | None = None
    segments: int = 25
    crops: int = 10
    windows: Windows = "sliding"
    loader_workers: int = 0
    checkpoint: Which = "last"
    max_missing: float = MAX_MISSING
    folder: str = SCORES_FOLDER


def evaluate_run(workspace: Workspace, request: EvaluateRequest) -> dict[str, Any]:
    """Score a run on a split, and write the score file.

    Returns:
        The accuracy's figures, how they were made, and `scores`, the path of the file.

    Raises:
        OptionError: views that cannot be.
        ScoreError: more videos lack a score than is allowed; the scores are written all the same.
        KinetError: run, manifest, classes or videos are at fault, each in its own class.
    """
    run_dir = existing_run(workspace, request.run)
    config = read_run_config(run_dir / CONFIG_FILE)
    with option_errors():
        views = Views(
            num_segments=request.segments,
            num_crops=request.crops,
            window_size=config.recipe.num_segments,
            windows=request.windows,
            input_size=config.recipe.input_size,
            modality=config.recipe.modality,
        )
    manifest = load_dataset(workspace, request.dataset)
    fold = request.fold or (config.fold if request.dataset == config.dataset else 1)
    split = request.split or choose_evaluation_split(manifest, request.dataset, fold)
    records, set_aside = select_usable(workspace, manifest, request.dataset, split, fold)
    check_classes(run_dir, records)
    model, step = load_student(run_dir, config, request.checkpoint)
    scores = evaluate_model(
        model,
        open_evaluation(workspace, request.dataset, records, views),
        views,
        device=choose_device(),
        precision=config.recipe.precision,
        loader_workers=request.loader_workers,
        left_out=(*set_aside, *list_absent(workspace, manifest, request.dataset, split, fold)),
    )
    settings: dict[str, Any] = {
        "run": request.run,
        "checkpoint": request.checkpoint,
        "step": step,
        "dataset": request.dataset,
        "split": split,
        "fold": fold,
        "scored_videos": describe_videos(records),
    }
    summary = {**asdict(measure_accuracy(scores)), **settings, **asdict(views)}
    seen = f"{views.num_segments}x{views.num_crops}-{views.windows}"
    name = f"{request.dataset}-{split}-fold{fold}-{seen}-{request.checkpoint}.npz"
    path = run_dir / request.folder / name
    save_scores(scores, path, summary=summary)
    tables = write_score_tables(scores, read_class_names(run_dir), path)
    check_missing(
        [video.reason for video in scores.missing],
        len(scores.video_ids),
        request.max_missing,
        f"the scores are in {path}",
    )
    return {**summary, "scores": str(path), **tables}


def check_missing(
    reasons: Sequence[str], num_scored: int, max_missing: float, kept: str = "nothing was scored"
) -> None:
    """Raise ScoreError where a larger share of a split's videos than `max_missing` has no score.

    `reasons` are why, one for each; `kept` says what there is all the same.
    """
    num_videos = len(reasons) + num_scored
    if len(reasons) > max_missing * num_videos:
        raise ScoreError(
            f"{len(reasons)} of {num_videos} videos have no score ({dict(Counter(reasons))}), more than the "
            f"{max_missing:.1%} allowed: the result would not be comparable; {kept}. Mend the videos, or allow more by "
            "--max-missing"
        )


def check_classes(run_dir: Path, records: Sequence[VideoRecord]) -> None:
    """Raise ManifestError where a class index means another class than it did when the run was trained."""
    trained = read_class_names(run_dir)
    for record in records:
        known = trained[record.label] if record.label < len(trained) else "no class"
        if known != record.class_name:
            raise ManifestError(
                f"video {record.video_id}: class {record.label} is {record.class_name!r} in the manifest and {known!r} "
                f"in run {run_dir.name}; build the manifest with the classes that the run was trained on"
            )


def _default_run_name(request: TrainRequest, recipe: TrainConfig | None) -> str:
    if recipe is None:
        raise ValueError("--resume: name the run to go on with by --run")
    suffix = f"-fold{request.fold}" if request.fold and request.fold > 1 else ""
    return f"{default_run_name(request.dataset, recipe)}{suffix}"


def choose_evaluation_split(manifest: Sequence[VideoRecord], dataset: str, fold: int) -> str:
    """Choose the split to score on where the user names none."""
    num_folds = min((1 + len(record.fold_splits) for record in manifest), default=0)
    found = {record.split_in_fold(fold) for record in manifest} if fold <= num_folds else set()
    for split in _EVALUATION_SPLITS:
        if split in found:
            return split
    raise ManifestError(
        f"data set {dataset}, fold {fold}: neither a val nor a test split; choose one with --split "
        f"({', '.join(sorted(name for name in found if name)) or 'there is none'})"
    )
