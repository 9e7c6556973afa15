"""The order in which a run reads its videos, and the processes that read them."""

import signal
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

from pipeline.training.seeds import epoch_order, num_epoch_steps, step_items
from student.dataset import ClipKey, TrainBatch, TrainDataset, collate_clips

Item = TypeVar("Item")


@dataclass(frozen=True)
class StepPlan:
    """Which videos each optimiser step of a run reads: a pure function of these five numbers.

    Attributes:
        num_videos: of the data set.
        batch_size: videos of a step; a smaller data set is one step.
        micro_batch: videos read together; a step is as many micro-batches as it needs.
        epochs: of the run.
        seed: of the order.
    """

    num_videos: int
    batch_size: int
    micro_batch: int
    epochs: int
    seed: int

    @property
    def epoch_steps(self) -> int:
        """Optimiser steps of an epoch."""
        return num_epoch_steps(self.num_videos, self.batch_size)

    @property
    def total_steps(self) -> int:
        """Optimiser steps of the run."""
        return self.epochs * self.epoch_steps

    @property
    def step_videos(self) -> int:
        """Videos of one step."""
        return min(self.batch_size, self.num_videos)

    @property
    def step_micro_batches(self) -> int:
        """Micro-batches of one step."""
        return -(-self.step_videos // self.micro_batch)

    def epoch_of(self, step: int) -> int:
        """Return the epoch, counted from 0, that a step (counted from 0 over the run) belongs to."""
        return step // self.epoch_steps

    def micro_batches(self, step: int) -> list[list[ClipKey]]:
        """List the micro-batches of one step."""
        epoch = self.epoch_of(step)
        order = epoch_order(self.num_videos, seed=self.seed, epoch=epoch)
        items = step_items(order, step % self.epoch_steps, self.batch_size).tolist()
        keys = [ClipKey(epoch, index) for index in items]
        return [keys[start : start + self.micro_batch] for start in range(0, len(keys), self.micro_batch)]


class _RemainingBatches:
    """Every micro-batch from one step to the run's end, as DataLoader wants it: something to iterate over."""

    def __init__(self, plan: StepPlan, start_step: int) -> None:
        self._plan = plan
        self._start_step = start_step

    def __iter__(self) -> Iterator[list[ClipKey]]:
        for step in range(self._start_step, self._plan.total_steps):
            yield from self._plan.micro_batches(step)


def read_batches(
    dataset: TrainDataset, plan: StepPlan, *, start_step: int, loader_workers: int, pin_memory: bool
) -> Iterator[TrainBatch]:
    """Read a run's micro-batches in order, from one step on to the end; the workers live as long as the iterator."""
    loader: DataLoader[TrainBatch] = DataLoader(
        dataset,  # type: ignore[arg-type]  # its samples become a TrainBatch in collate_clips
        batch_sampler=_RemainingBatches(plan, start_step),
        collate_fn=collate_clips,
        num_workers=loader_workers,
        pin_memory=pin_memory,
        worker_init_fn=quiet_worker,
        # Its own generator: the loader would draw a number from torch's global one, which dropout uses.
        generator=torch.Generator().manual_seed(0),
    )
    return iter(loader)


def read_one_by_one(dataset: Dataset[Item], *, loader_workers: int) -> Iterator[Item]:
    """Read every item of a data set in order."""
    return iter(
        DataLoader(
            dataset,
            batch_size=None,
            num_workers=loader_workers,
            worker_init_fn=quiet_worker,
            prefetch_factor=1 if loader_workers else None,
            generator=torch.Generator().manual_seed(0),
        )
    )


def quiet_worker(worker_id: int) -> None:
    """Leave signals to the parent: Ctrl-C reaches the whole process group, and the parent ends its workers itself."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
