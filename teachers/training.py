"""Train a teacher in one process.

The schedule follows the share of the work that is done: of the epochs, or of the time where that is bounded and runs
out first. With a time bound two runs differ; without one, a seed gives the same weights again on the same machine.
"""

import logging
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn
from torch.utils.data import DataLoader

from pipeline.errors import TeacherError
from pipeline.training.precision import autocast
from pipeline.training.stop import StopRequest
from teachers.augmentation import IGNORED_CLASS
from teachers.datasets import Batch, HumanImages, Sample, SceneImages, collate
from teachers.faults import LeftOut
from teachers.preprocessing import Preprocessing, normalise
from teachers.psp import AUX_LOSS_WEIGHT

log = logging.getLogger(__name__)

POLY_POWER = 0.9
Schedule = Literal["poly", "cosine"]
LossFunction = Callable[[nn.Module, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class TrainingSettings:
    """How long and how fast to learn.

    Attributes:
        epochs: passes over the data.
        batch_size: images of a step.
        learning_rate: of SGD, at the start; falls to 0 by the schedule.
        schedule: "poly" (power .9, as PSPNet) or "cosine".
        momentum, weight_decay: of SGD; biases and normalisation do not decay.
        gradient_clip: bound of the gradients' global norm.
        max_minutes: end after this time, if not before; None for no bound.
        seed: of order and augmentation.
        precision: "float32" or "bfloat16" (autocast).
        loader_workers: processes that read images; 0 reads in this one.
        log_every_sec: time between two lines of progress.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    schedule: Schedule
    momentum: float = 0.9
    weight_decay: float = 1e-4
    gradient_clip: float = 10.0
    max_minutes: float | None = None
    seed: int = 0
    precision: str = "float32"
    loader_workers: int = 0
    log_every_sec: float = 10.0

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "learning_rate", "gradient_clip", "max_minutes"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ValueError(f"{name}: expected more than 0, got {value}")
        for name in ("weight_decay", "log_every_sec", "loader_workers", "seed"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name}: expected 0 or more, got {getattr(self, name)}")
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum: expected 0 or more and less than 1, got {self.momentum}")
        if self.precision not in ("float32", "bfloat16"):
            raise ValueError(f"precision: expected float32 or bfloat16, got {self.precision!r}")
        if self.schedule not in ("poly", "cosine"):
            raise ValueError(f"schedule: expected poly or cosine, got {self.schedule!r}")


class TrainingSummary(NamedTuple):
    """What a training run did.

    Attributes:
        steps, images, seconds: its size.
        first_loss, last_loss: means of the first and last tenth of the steps.
        unusable_images: distinct images that could not be read or used.
        ended_by: "epochs", "time" or "signal".
    """

    steps: int
    images: int
    seconds: float
    first_loss: float
    last_loss: float
    unusable_images: int
    ended_by: str


def human_loss(network: nn.Module, x_B3HW: Tensor, targets_BHW: Tensor) -> Tensor:
    """Compute per-pixel cross-entropy plus .4 times the auxiliary head's; ids of 255 don't count."""
    outputs = network(x_B3HW)
    if not bool((targets_BHW != IGNORED_CLASS).any()):
        # A mean over no pixel is not a number.
        return outputs.logits.sum() * 0 + outputs.aux_logits.sum() * 0
    main = F.cross_entropy(outputs.logits.float(), targets_BHW, ignore_index=IGNORED_CLASS)
    aux = F.cross_entropy(outputs.aux_logits.float(), targets_BHW, ignore_index=IGNORED_CLASS)
    return main + AUX_LOSS_WEIGHT * aux


def scene_loss(network: nn.Module, x_B3HW: Tensor, targets_B: Tensor) -> Tensor:
    """Compute the cross-entropy over 365 classes."""
    return F.cross_entropy(network(x_B3HW).float(), targets_B)


def scheduled_rate(settings: TrainingSettings, progress: float) -> float:
    """Compute the learning rate at a share of the work, 0 to 1."""
    remaining = max(0.0, 1 - progress)
    if settings.schedule == "poly":
        return settings.learning_rate * remaining**POLY_POWER
    return settings.learning_rate * (1 + math.cos(math.pi * min(1.0, progress))) / 2


def train_network(
    network: nn.Module,
    dataset: HumanImages | SceneImages,
    loss_function: LossFunction,
    settings: TrainingSettings,
    *,
    preprocessing: Preprocessing,
    device: torch.device,
    stop: StopRequest | None = None,
) -> TrainingSummary:
    """Train in place; the network ends in evaluation mode on `device`.

    Args:
        dataset: uint8 images at the network's input size.
        loss_function: (network, normalised images, targets) -> scalar.
        preprocessing: whose statistics normalise the images.
        stop: asked after each step whether a signal came; the weights learned until then stay.

    Raises:
        TeacherError: no image of an epoch could be used, or the loss is no longer a number.
    """
    network.to(device).to(memory_format=torch.channels_last).train()
    optimiser = torch.optim.SGD(_parameter_groups(network, settings.weight_decay), lr=0, momentum=settings.momentum)
    run = _Run(settings, steps_per_epoch=max(1, len(dataset) // settings.batch_size))
    ended_by = "epochs"
    for epoch in range(settings.epochs):
        dataset.epoch = epoch
        num_before = run.images
        for batch in _batches(dataset, settings, epoch):
            run.note_faults(batch)
            if len(batch.images):
                for group in optimiser.param_groups:
                    group["lr"] = scheduled_rate(settings, run.progress())
                loss = _step(network, optimiser, batch, loss_function, settings, preprocessing, device)
                run.note_step(loss, len(batch.images), epoch)
            if stop is not None and stop.signal is not None:
                ended_by = "signal"
            elif run.out_of_time():
                ended_by = "time"
            if ended_by != "epochs":
                break
        if run.images == num_before and ended_by == "epochs":
            raise TeacherError(f"no training image could be used; the first fault: {run.first_fault()}")
        if ended_by != "epochs":
            break
    network.eval()
    return run.summary(ended_by)


def _step(
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    batch: Batch,
    loss_function: LossFunction,
    settings: TrainingSettings,
    preprocessing: Preprocessing,
    device: torch.device,
) -> float:
    """Take one step and return its loss."""
    x_B3HW = normalise(batch.images.to(device).float(), preprocessing).contiguous(memory_format=torch.channels_last)
    with autocast(settings.precision, device):
        loss = loss_function(network, x_B3HW, batch.targets.to(device))
    value = float(loss.detach())
    if not math.isfinite(value):
        raise TeacherError(f"training diverged (loss {value}); lower --lr (it is {settings.learning_rate})")
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(network.parameters(), settings.gradient_clip)
    optimiser.step()
    return value


def _parameter_groups(network: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Split into weights, which decay, and vectors (biases, normalisation), which don't."""
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    return [
        {"params": [parameter for parameter in trained if parameter.ndim > 1], "weight_decay": weight_decay},
        {"params": [parameter for parameter in trained if parameter.ndim <= 1], "weight_decay": 0.0},
    ]


def _batches(dataset: HumanImages | SceneImages, settings: TrainingSettings, epoch: int) -> Iterable[Batch]:
    """Read one epoch in an order drawn from the seed; an incomplete last batch is left out, unless it is the only."""
    loader: DataLoader[Sample | TeacherError] = DataLoader(
        dataset,
        batch_size=settings.batch_size,
        shuffle=True,
        drop_last=len(dataset) >= settings.batch_size,
        num_workers=settings.loader_workers,
        collate_fn=collate,
        generator=Generator().manual_seed(settings.seed * 1_000_003 + epoch),
    )
    return loader


class _Run:
    """What the loop remembers between steps."""

    def __init__(self, settings: TrainingSettings, steps_per_epoch: int) -> None:
        self.settings = settings
        self.total_steps = steps_per_epoch * settings.epochs
        self.losses: list[float] = []
        self.images = 0
        self.left_out = LeftOut()
        self.begin_sec = time.monotonic()
        self.last_log_sec = self.begin_sec

    def progress(self) -> float:
        share = len(self.losses) / self.total_steps
        if self.settings.max_minutes is None:
            return share
        return max(share, (time.monotonic() - self.begin_sec) / (60 * self.settings.max_minutes))

    def out_of_time(self) -> bool:
        return self.settings.max_minutes is not None and self.progress() >= 1 and len(self.losses) < self.total_steps

    def note_faults(self, batch: Batch) -> None:
        for fault in batch.faults:
            self.left_out.note(fault)

    def first_fault(self) -> str:
        return next(iter(self.left_out.faults), "the list of images is empty")

    def note_step(self, loss: float, num_images: int, epoch: int) -> None:
        self.losses.append(loss)
        self.images += num_images
        now_sec = time.monotonic()
        if now_sec - self.last_log_sec >= self.settings.log_every_sec:
            recent = self.losses[-20:]
            log.info(
                "epoch %d/%d  step %d/%d  loss %.3f  %.1f images/s",
                epoch + 1,
                self.settings.epochs,
                len(self.losses),
                self.total_steps,
                sum(recent) / len(recent),
                self.images / (now_sec - self.begin_sec),
            )
            self.last_log_sec = now_sec

    def summary(self, ended_by: str) -> TrainingSummary:
        tenth = max(1, len(self.losses) // 10)
        first, last = self.losses[:tenth], self.losses[-tenth:]
        return TrainingSummary(
            steps=len(self.losses),
            images=self.images,
            seconds=time.monotonic() - self.begin_sec,
            first_loss=sum(first) / max(1, len(first)),
            last_loss=sum(last) / max(1, len(last)),
            unusable_images=len(self.left_out.faults),
            ended_by=ended_by,
        )
