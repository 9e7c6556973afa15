"""A teacher's training run on several workers of a Ray cluster."""

import json
from pathlib import Path

import torch
from torch import nn

from pipeline.errors import TeacherError
from pipeline.files import write_atomically
from pipeline.training.checkpoint import load_latest_checkpoint
from pipeline.training.cluster import TrainCluster, train_on_ray
from pipeline.training.runlog import RunProgress, read_last_step
from pipeline.training.state import CHECKPOINT_DIR
from pipeline.training.world import World
from teachers.loading import ImagePlan
from teachers.progress import TrainingSummary
from teachers.runs import TrainingImages, TrainingJob, find_training_images, run_training, start_network

SUMMARY_FILE = "summary.json"


def train_on_cluster(
    job: TrainingJob, images: TrainingImages, cluster: TrainCluster
) -> tuple[nn.Module, TrainingSummary]:
    """Train a run on Ray workers, going on from its last checkpoint; return the network and what rank 0 did.

    Raises:
        KinetError: see `teachers.runs.run_training` and `pipeline.training.cluster.train_on_ray`.
    """
    summary_path = job.run_dir / SUMMARY_FILE
    summary_path.unlink(missing_ok=True)
    settings = job.request.settings
    plan = ImagePlan(len(images.dataset), settings.batch_size, settings.epochs, settings.seed)
    done = read_last_step(job.run_dir)
    with RunProgress("train", total=plan.total_steps, done=done, line_every=settings.log_every) as progress:
        train_on_ray(
            _WorkerTraining(job, images.digest),
            cluster,
            storage_dir=job.run_dir,
            on_wait=lambda: progress.update(read_last_step(job.run_dir)),
        )
    summary = TrainingSummary(**json.loads(summary_path.read_text(encoding="utf-8")))
    state = load_latest_checkpoint(job.run_dir / CHECKPOINT_DIR)
    assert state is not None  # for the type checker: a run that ended has saved its last step
    network = start_network(job.request, from_checkpoint=True)
    network.load_state_dict(state["model"])
    return network.eval(), summary


class _WorkerTraining:
    """What each worker runs; a new attempt goes on from the last checkpoint of the one before."""

    def __init__(self, job: TrainingJob, digest: str) -> None:
        self._job, self._digest = job, digest

    def __call__(self, world: World, device: torch.device) -> None:
        images = find_training_images(self._job.request)
        if images.digest != self._digest:
            raise TeacherError(
                f"images: {images.digest} here, {self._digest} where the run was started; every machine must see the "
                "same folders"
            )
        _, summary = run_training(self._job, images, device=device, resume=True, world=world)
        if world.rank == 0:
            path: Path = self._job.run_dir / SUMMARY_FILE
            write_atomically(path, json.dumps(summary._asdict()) + "\n")
