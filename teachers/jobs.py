"""The job behind `kinet-pipeline teacher train`: from folders of images to a scored teacher file."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from pipeline.errors import OptionError
from pipeline.training.precision import choose_device
from teachers.architectures import default_preprocessing
from teachers.cards import NO_LICENSE, TeacherCard
from teachers.progress import TrainingSummary
from teachers.runs import (
    TrainingJob,
    TrainingRequest,
    check_start,
    find_training_images,
    note_written,
    open_run,
    read_written,
    run_training,
)
from teachers.scoring import ScoringRequest, score_teacher_file
from teachers.storage import check_replacing, save_teacher

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TeacherRequest:
    """A teacher to train, and what becomes of it.

    Attributes:
        training: what to train.
        max_val_images: score on this many of the held-out images, evenly spread; None for all.
        source: where the weights come from; default: data, start and length of the training.
        license: of the weights.
        replace: take the place of a teacher that is there.
        resume: go on with the run from its last checkpoint.
        loader_workers: processes that read images, for each training process; 0 reads in the training process.
        checkpoint_every: steps between checkpoints.
        workers: processes that train together by Ray Train; 0 trains in this one, without Ray.
        address, gpus_per_worker: see `pipeline.training.cluster.TrainCluster`.
    """

    training: TrainingRequest
    max_val_images: int | None = None
    source: str | None = None
    license: str | None = None
    replace: bool = False
    resume: bool = False
    loader_workers: int = 0
    checkpoint_every: int = 500
    workers: int = 0
    address: str | None = None
    gpus_per_worker: float | None = None

    def __post_init__(self) -> None:
        if self.max_val_images is not None and self.max_val_images < 1:
            raise ValueError(f"max_val_images: expected 1 or more, got {self.max_val_images}")
        if self.address and not self.workers:
            raise ValueError("--address: say by --workers how many processes of the cluster train")


class TeacherResult(NamedTuple):
    """A trained teacher, as written."""

    card: TeacherCard
    summary: TrainingSummary


def train_teacher(request: TeacherRequest, run_dir: Path, weights_path: Path) -> TeacherResult:
    """Train a run, write the teacher, score it on held-out images, and write the scores into the side file.

    Raises:
        OptionError: more workers than images of a step.
        KinetError: data, start weights, run or workspace that do not fit, each in its own class.
        InterruptedRun: after a signal, once the running step is saved.
    """
    training = request.training
    # A run that was killed while it was scored finds the teacher there that it wrote itself.
    own_sha256 = read_written(run_dir) if request.resume else ""
    check_replacing(weights_path, training.kind, replace=request.replace, own_sha256=own_sha256)
    images = find_training_images(training)
    if request.workers > min(training.settings.batch_size, len(images.dataset)):
        raise OptionError(f"--workers {request.workers}: more than the images of one step")
    if not request.resume:
        check_start(training)  # before there is a folder, which would bind the next call to weights that are not there
    open_run(run_dir, training, images, resume=request.resume)
    log.info("%d images to train on, %d held out; left out: %s", len(images.dataset), images.num_val, images.left_out)
    job = TrainingJob(training, run_dir, request.loader_workers, request.checkpoint_every)
    if request.workers:
        # Ray takes seconds to import, and training in this process needs none of it.
        from pipeline.training.cluster import TrainCluster
        from teachers.cluster_training import train_on_cluster

        cluster = TrainCluster(request.workers, request.address, request.gpus_per_worker)
        network, summary = train_on_cluster(job, images, cluster)
    else:
        network, summary = run_training(job, images, device=choose_device(), resume=request.resume)
    card = TeacherCard(
        kind=training.kind,
        architecture=training.architecture,
        classes=training.classes,
        preprocessing=default_preprocessing(training.kind, training.input_size),
        source=request.source or _describe_source(training, summary),
        license=request.license or NO_LICENSE,
    )
    card = save_teacher(network, card, weights_path)
    note_written(run_dir, card.sha256)
    if images.without_val:
        log.warning("not scored on, for want of held-out images: %s", ", ".join(map(str, images.without_val)))
    if images.num_val:
        scored_dirs = tuple(path for path in training.data_dirs if path not in images.without_val)
        scoring = ScoringRequest(scored_dirs, layout=training.layout, max_images=request.max_val_images)
        card = score_teacher_file(training.kind, weights_path, scoring)
    return TeacherResult(card, summary)


def _describe_source(training: TrainingRequest, summary: TrainingSummary) -> str:
    start = "a random start" if training.init_path is None else training.init_path.name
    names = " + ".join(path.resolve().name for path in training.data_dirs)
    return f"trained on {names} from {start}: {summary.steps} steps, {summary.images} images, {summary.seconds:.0f} s"
