"""A training run on several workers of a Ray cluster."""

import json
from dataclasses import asdict
from pathlib import Path

import torch

from pipeline.files import write_atomically
from pipeline.training.cluster import TrainCluster, train_on_ray
from pipeline.training.runlog import RunProgress, read_last_step
from pipeline.training.world import ALONE, World
from student.loading import StepPlan
from student.train import TrainSummary
from student.training_job import TrainJob, run_training

SUMMARY_FILE = "summary.json"


def train_on_cluster(job: TrainJob, cluster: TrainCluster) -> TrainSummary:
    """Train a run on Ray workers, going on from its last checkpoint; return what rank 0 did.

    Raises:
        KinetError: see `run_training` and `pipeline.training.cluster.train_on_ray`.
    """
    summary_path = job.run_dir / SUMMARY_FILE
    summary_path.unlink(missing_ok=True)
    recipe = job.config.recipe
    plan = StepPlan(job.num_videos, recipe.batch_size, recipe.micro_batch, recipe.epochs, recipe.seed, ALONE)
    done = read_last_step(job.run_dir)
    with RunProgress("train", total=plan.total_steps, done=done, line_every=recipe.log_every) as progress:
        train_on_ray(
            _WorkerTraining(job),
            cluster,
            storage_dir=job.run_dir,
            on_wait=lambda: progress.update(read_last_step(job.run_dir)),
        )
    return TrainSummary(**json.loads(summary_path.read_text(encoding="utf-8")))


class _WorkerTraining:
    """What each worker runs; a new attempt goes on from the last checkpoint of the one before."""

    def __init__(self, job: TrainJob) -> None:
        self._job = job

    def __call__(self, world: World, device: torch.device) -> None:
        summary = run_training(self._job, device=device, resume=True, world=world)
        if world.rank == 0:
            path: Path = self._job.run_dir / SUMMARY_FILE
            write_atomically(path, json.dumps(asdict(summary)) + "\n")
