"""The order in which a run reads its videos, and the processes that read them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch.utils.data import DataLoader

from manifests.record import VideoRecord
from pipeline.errors import KinetError, Reason
from pipeline.training.seeds import epoch_order, num_epoch_steps, step_items
from pipeline.training.stop import quiet_worker
from pipeline.training.world import ALONE, World
from student.dataset import (
    ClipKey,
    DroppedVideo,
    EvaluationClip,
    EvaluationDataset,
    TrainBatch,
    TrainDataset,
    collate_clips,
)

Item = TypeVar("Item")

# No batch of sound videos takes this long; a decoder that hangs does.
READ_TIMEOUT_SEC = 300.0


class LoadingError(KinetError):
    """The processes that read videos cannot go on."""


@dataclass(frozen=True)
class StepPlan:
    """Which videos each optimiser step of a run reads: a pure function of these values.

    Attributes:
        num_videos: of the data set.
        batch_size: videos of a step; a smaller data set is one step.
        micro_batch: videos read together; a step is as many micro-batches as it needs.
        epochs: of the run.
        seed: of the order.
        world: the processes that share every step; the videos of a step are dealt out to them in turn.
    """

    num_videos: int
    batch_size: int
    micro_batch: int
    epochs: int
    seed: int
    world: World = ALONE

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
        """Videos of one step, of all ranks together."""
        return min(self.batch_size, self.num_videos)

    @property
    def step_micro_batches(self) -> int:
        """Micro-batches of one step on one rank; a rank left without videos has one that is empty."""
        rank_videos = len(range(self.world.rank, self.step_videos, self.world.size))
        return max(1, -(-rank_videos // self.micro_batch))

    def epoch_of(self, step: int) -> int:
        """Return the epoch, counted from 0, that a step (counted from 0 over the run) belongs to."""
        return step // self.epoch_steps

    def micro_batches(self, step: int) -> list[list[ClipKey]]:
        """List this rank's micro-batches of one step."""
        epoch = self.epoch_of(step)
        order = epoch_order(self.num_videos, seed=self.seed, epoch=epoch)
        items = step_items(order, step % self.epoch_steps, self.batch_size).tolist()
        keys = [ClipKey(epoch, index) for index in items[self.world.rank :: self.world.size]]
        starts = range(0, self.step_micro_batches * self.micro_batch, self.micro_batch)
        return [keys[start : start + self.micro_batch] for start in starts]

    def micro_batch_at(self, place: int) -> list[ClipKey]:
        """Return a micro-batch by its place in the run, from 0."""
        step, place_in_step = divmod(place, self.step_micro_batches)
        return self.micro_batches(step)[place_in_step]


class _RemainingBatches:
    """Every micro-batch from one place to the run's end, as DataLoader wants it: something to iterate over."""

    def __init__(self, plan: StepPlan, start: int) -> None:
        self._plan = plan
        self._start = start

    def __iter__(self) -> Iterator[list[ClipKey]]:
        step, place_in_step = divmod(self._start, self._plan.step_micro_batches)
        for number in range(step, self._plan.total_steps):
            yield from self._plan.micro_batches(number)[place_in_step:]
            place_in_step = 0


def read_batches(
    dataset: TrainDataset,
    plan: StepPlan,
    *,
    start_step: int,
    loader_workers: int,
    pin_memory: bool,
    timeout_sec: float = READ_TIMEOUT_SEC,
) -> Iterator[TrainBatch]:
    """Read a run's micro-batches in order, from one step on to the end; the workers live as long as the iterator.

    Where a batch takes longer than `timeout_sec`, all its videos are dropped as timed out: which of them hangs is not
    known. Without workers nothing can be timed.

    Raises:
        LoadingError: a reading process died.
    """
    first = start_step * plan.step_micro_batches

    def open_loader(start: int) -> DataLoader[TrainBatch]:
        return DataLoader(
            dataset,  # type: ignore[arg-type]  # its samples become a TrainBatch in collate_clips
            batch_sampler=_RemainingBatches(plan, first + start),
            collate_fn=collate_clips,
            num_workers=loader_workers,
            pin_memory=pin_memory,
            worker_init_fn=quiet_worker,
            timeout=timeout_sec if loader_workers else 0,
            # Its own generator: the loader would draw a number from torch's global one, which dropout uses.
            generator=torch.Generator().manual_seed(0),
        )

    def timed_out(place: int) -> TrainBatch:
        return collate_clips(
            [_timed_out(dataset.records[key.item], timeout_sec) for key in plan.micro_batch_at(first + place)]
        )

    return _read_in_order(open_loader, plan.total_steps * plan.step_micro_batches - first, timed_out)


def read_one_by_one(
    dataset: EvaluationDataset, *, loader_workers: int, timeout_sec: float = READ_TIMEOUT_SEC
) -> Iterator[EvaluationClip | DroppedVideo | KinetError]:
    """Read every video of a data set in order; one that takes longer than `timeout_sec` is dropped as timed out.

    Raises:
        LoadingError: a reading process died.
    """

    def open_loader(start: int) -> DataLoader[EvaluationClip | DroppedVideo | KinetError]:
        return DataLoader(
            dataset,
            batch_size=None,
            sampler=range(start, len(dataset)),
            num_workers=loader_workers,
            worker_init_fn=quiet_worker,
            prefetch_factor=1 if loader_workers else None,
            timeout=timeout_sec if loader_workers else 0,
            generator=torch.Generator().manual_seed(0),
        )

    return _read_in_order(open_loader, len(dataset), lambda place: _timed_out(dataset.records[place], timeout_sec))


def _read_in_order(
    open_loader: Callable[[int], DataLoader[Item]], num_items: int, timed_out: Callable[[int], Item]
) -> Iterator[Item]:
    """Yield every item, that of `timed_out` in place of one that does not come in time; then start new workers."""
    place = 0
    while place < num_items:
        loader = iter(open_loader(place))
        while place < num_items:
            try:
                item = next(loader)
            except RuntimeError as error:
                if "DataLoader worker" in str(error):
                    raise LoadingError(
                        f"a reading process died ({str(error).splitlines()[0]}); it may lack memory (give fewer "
                        "--loader-workers or less --cache-mib), or a video crashes the decoder (kinet-pipeline "
                        "manifest check finds it)"
                    ) from error
                if "timed out" not in str(error):
                    raise
                yield timed_out(place)
                place += 1
                break
            yield item
            place += 1


def _timed_out(record: VideoRecord, timeout_sec: float) -> DroppedVideo:
    message = f"{record.path}: it, or a video read together with it, took more than {timeout_sec:g} s to read"
    return DroppedVideo(record.video_id, Reason.TIMEOUT.value, message)
