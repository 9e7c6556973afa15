"""Train a teacher's network: a plain loop, in one process or several, that can be stopped anywhere and taken up again.

After every step the run's state is whole. A run that was killed and resumed from its last checkpoint ends bit-equal to
an unbroken one on the CPU. The schedule follows the share of the work that is done: of the steps, or of the time where
that is bounded and runs out first; with a time bound two runs differ.
"""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.optim import SGD

from pipeline.errors import TeacherError
from pipeline.training.checkpoint import save_checkpoint
from pipeline.training.faults import FaultLog
from pipeline.training.precision import autocast
from pipeline.training.runlog import RunWriters
from pipeline.training.seeds import dropout_seed
from pipeline.training.state import CHECKPOINT_DIR, gather_state, restore_state
from pipeline.training.stop import StopRequest
from pipeline.training.world import ALONE, World
from teachers.datasets import MAX_NAMED, UNUSABLE, Batch, HumanImages, SceneImages
from teachers.loading import ImagePlan, read_batches
from teachers.losses import LossFunction
from teachers.preprocessing import Preprocessing, normalise
from teachers.progress import TrainingProgress, TrainingSummary
from teachers.settings import TrainingSettings, scheduled_rate


@dataclass(frozen=True)
class TrainingPlace:
    """Where a run trains, and what it keeps.

    Attributes:
        run_dir: for checkpoints, metrics and faults; all processes must reach it.
        device: CPU or CUDA.
        world: this process's place among those that train together.
        resume: go on from the newest checkpoint; from the start where there is none.
        loader_workers: processes that read images; 0 reads in this one. The result does not depend on it.
        checkpoint_every: steps between checkpoints; the last step is always saved.
    """

    run_dir: Path
    device: torch.device
    world: World = ALONE
    resume: bool = False
    loader_workers: int = 0
    checkpoint_every: int = 500


def train_network(
    network: nn.Module,
    dataset: HumanImages | SceneImages,
    loss_function: LossFunction,
    settings: TrainingSettings,
    place: TrainingPlace,
    *,
    preprocessing: Preprocessing,
) -> TrainingSummary:
    """Train in place; the network ends in evaluation mode on the place's device, its last state in a checkpoint.

    Dropout draws from torch's global generator, the only one it knows: it is seeded here, kept in the checkpoints, and
    comes back as it was.

    Args:
        network: with its initial weights.
        dataset: uint8 images at the network's input size.
        loss_function: (network, normalised images, targets) -> loss.
        preprocessing: whose statistics normalise the images.

    Raises:
        TeacherError: no image of an epoch could be used, or the loss is no longer a number.
        InterruptedRun: SIGINT or SIGTERM; a checkpoint was saved. Only alone: a signal reaches one rank, not all.
        CheckpointError, WorkspaceError: as their names say.
    """
    device, world = place.device, place.world
    plan = ImagePlan(len(dataset), settings.batch_size, settings.epochs, settings.seed, world)
    network.to(device).to(memory_format=torch.channels_last).train()
    optimizer = SGD(_parameter_groups(network, settings.weight_decay), lr=0, momentum=settings.momentum, fused=True)
    checkpoint_dir = place.run_dir / CHECKPOINT_DIR
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), StopRequest() as stop:
        torch.manual_seed(dropout_seed(settings.seed, world.rank))
        restored = restore_state(checkpoint_dir, network, optimizer, device, world) if place.resume else None
        run = (
            TrainingProgress(settings, plan.total_steps)
            if restored is None
            else TrainingProgress.taken_up(settings, plan, restored)
        )
        del restored  # as large as the network
        place.run_dir.mkdir(parents=True, exist_ok=True)
        faults = FaultLog(place.run_dir, writes=world.rank == 0, max_named=MAX_NAMED)
        batches = read_batches(
            dataset,
            plan,
            start_step=run.step,
            loader_workers=place.loader_workers,
            pin_memory=device.type == "cuda",
        )
        stepper = _Stepper(network, optimizer, loss_function, settings, preprocessing, device, world, batches, faults)
        with RunWriters(
            place.run_dir, total=plan.total_steps, done=run.step, every=settings.log_every, writes=world.rank == 0
        ) as writers:
            while not (ended_by := run.ended_by(world)):
                epoch = run.step // plan.epoch_steps + 1
                values = stepper.take(run.progress(world), empty_steps_allowed=plan.epoch_steps)
                run.note(values)
                asked = stop.signal is not None and world.size == 1
                writers.write(
                    run.step,
                    values,
                    epoch=f"{epoch}/{settings.epochs}",
                    always=run.step % plan.epoch_steps == 0,
                )
                if run.step % place.checkpoint_every == 0 or asked or run.step == plan.total_steps:
                    _save(run, network, optimizer, device, world, checkpoint_dir)
                if asked:
                    stop.raise_if_asked(f"step {run.step} of {plan.total_steps} is saved; go on with --resume")
            if ended_by == "time":
                _save(run, network, optimizer, device, world, checkpoint_dir)
    network.eval()
    return run.summary(faults.counts.get(UNUSABLE, 0), ended_by)


def _save(
    run: TrainingProgress, network: nn.Module, optimizer: SGD, device: torch.device, world: World, checkpoint_dir: Path
) -> None:
    state = gather_state(run.step, network, optimizer, device, world) | run.to_state()
    if world.rank == 0:
        save_checkpoint(state, checkpoint_dir, step=run.step)


def _parameter_groups(network: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Split into weights, which decay, and vectors (biases, normalisation), which don't."""
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    return [
        {"params": [parameter for parameter in trained if parameter.ndim > 1], "weight_decay": weight_decay},
        {"params": [parameter for parameter in trained if parameter.ndim <= 1], "weight_decay": 0.0},
    ]


@dataclass
class _Stepper:
    """Take one step at a time; the parts that every step needs, in one place."""

    network: nn.Module
    optimizer: SGD
    loss_function: LossFunction
    settings: TrainingSettings
    preprocessing: Preprocessing
    device: torch.device
    world: World
    batches: Iterator[Batch]
    faults: FaultLog
    empty_steps: int = 0

    def take(self, progress: float, *, empty_steps_allowed: int) -> dict[str, float]:
        """Move the weights by the mean over all images of all ranks; return what is logged.

        Args:
            progress: share of the work that is done; it decides the rate.
            empty_steps_allowed: so many steps in a row may have no usable image.

        Raises:
            TeacherError: no usable image, a loss that is no number, or too little memory on the device.
        """
        try:
            return self._take(progress, empty_steps_allowed)
        except torch.OutOfMemoryError as error:
            cause = str(error).partition("\n")[0]
            raise TeacherError(
                f"{self.device} has too little memory for a batch of {self.settings.batch_size} images "
                f"({cause}); lower --batch-size, or give more --workers, in a new --run"
            ) from error

    def _take(self, progress: float, empty_steps_allowed: int) -> dict[str, float]:
        began_sec = time.monotonic()
        rate = scheduled_rate(self.settings, progress)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        batch = next(self.batches)
        wait_sec = time.monotonic() - began_sec
        counts = self.world.sum(torch.tensor([len(batch.images), len(batch.faults)], device=self.device))
        num_images, num_faults = map(int, counts)
        if num_faults:
            self._note_faults(batch)
        values = {"learning_rate": rate, "images": float(num_images)}
        self.empty_steps = 0 if num_images else self.empty_steps + 1
        if self.empty_steps >= empty_steps_allowed:
            raise TeacherError(f"no training image could be used; the first fault: {self.faults.first}")
        if not num_images:
            return values
        self.optimizer.zero_grad(set_to_none=True)
        loss = self._backward(batch)
        self.world.sum_gradients(self.network.parameters())
        norm = float(nn.utils.clip_grad_norm_(self.network.parameters(), self.settings.gradient_clip))
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise TeacherError(
                f"training diverged (loss {loss}, gradient norm {norm}); lower --lr (it is "
                f"{self.settings.learning_rate}) in a new --run"
            )
        self.optimizer.step()
        self.world.average_statistics(self.network)
        seconds = time.monotonic() - began_sec
        return values | {
            "loss": loss,
            "gradient_norm": norm,
            "images_per_sec": num_images / seconds,
            "data_wait_share": wait_sec / seconds,
        }

    def _backward(self, batch: Batch) -> float:
        """Leave this rank's part of the gradients; return the loss over all ranks.

        A rank's mean counts by its share of all terms, so that the sum is the mean over the whole step.
        """
        if not len(batch.images):
            self.world.sum(torch.zeros((), dtype=torch.int64, device=self.device))
            return float(self.world.sum(torch.zeros((), device=self.device)))
        images_B3hw = normalise(batch.images.to(self.device).float(), self.preprocessing)
        with autocast(self.settings.precision, self.device):
            mean, num_terms = self.loss_function(
                self.network,
                images_B3hw.contiguous(memory_format=torch.channels_last),
                batch.targets.to(self.device),
            )
        all_terms = self.world.sum(num_terms.clone()).clamp(min=1)
        part = mean * (num_terms / all_terms)
        part.backward()
        return float(self.world.sum(part.detach().clone()))

    def _note_faults(self, batch: Batch) -> None:
        """Count what any rank could not use, on every rank alike."""
        for faults in self.world.gather(batch.faults):
            for fault in faults:
                self.faults.note(fault.path, UNUSABLE, fault.message)
