"""The order in which a training run reads its images, and the processes that read them."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch.utils.data import DataLoader

from pipeline.errors import TeacherError
from pipeline.training.seeds import epoch_order, num_epoch_steps, step_items
from pipeline.training.stop import quiet_worker
from pipeline.training.world import ALONE, World
from teachers.datasets import Batch, HumanImages, ImageKey, SceneImages, collate


@dataclass(frozen=True)
class ImagePlan:
    """Which images each step of a run reads: a pure function of these values.

    Attributes:
        num_images: of the data set.
        batch_size: images of a step; an incomplete last step of an epoch is left out, unless it is the only one.
        epochs: of the run.
        seed: of the order.
        world: the processes that share every step; its images are dealt out to them in turn.
    """

    num_images: int
    batch_size: int
    epochs: int
    seed: int
    world: World = ALONE

    @property
    def epoch_steps(self) -> int:
        """Steps of an epoch."""
        return num_epoch_steps(self.num_images, self.batch_size)

    @property
    def total_steps(self) -> int:
        """Steps of the run."""
        return self.epochs * self.epoch_steps

    def remaining_batches(self, start_step: int) -> Iterator[list[ImageKey]]:
        """Give this rank's images of each step, from one step (counted from 0 over the run) to the end."""
        first_epoch, skipped = divmod(start_step, self.epoch_steps)
        for epoch in range(first_epoch, self.epochs):
            order = epoch_order(self.num_images, seed=self.seed, epoch=epoch)
            for step in range(skipped, self.epoch_steps):
                items = step_items(order, step, self.batch_size)[self.world.rank :: self.world.size]
                yield [ImageKey(epoch, index) for index in items.tolist()]
            skipped = 0


class _Remaining:
    """The batches of a plan from one step on, as DataLoader wants them: something to iterate over."""

    def __init__(self, plan: ImagePlan, start_step: int) -> None:
        self._plan, self._start_step = plan, start_step

    def __iter__(self) -> Iterator[list[ImageKey]]:
        return self._plan.remaining_batches(self._start_step)


def read_batches(
    dataset: HumanImages | SceneImages, plan: ImagePlan, *, start_step: int, loader_workers: int, pin_memory: bool
) -> Iterator[Batch]:
    """Read a run's batches in order, from one step on to the end.

    Raises:
        TeacherError: a reading process died.
    """
    loader: DataLoader[Batch] = DataLoader(
        dataset,  # type: ignore[arg-type]  # its samples become a Batch in collate
        batch_sampler=_Remaining(plan, start_step),
        num_workers=loader_workers,
        collate_fn=collate,
        pin_memory=pin_memory,
        worker_init_fn=quiet_worker,
        # Its own generator: the loader would draw a number from torch's global one, which dropout uses.
        generator=torch.Generator().manual_seed(0),
    )
    try:
        yield from loader
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise TeacherError(
            f"a process that reads images died ({str(error).splitlines()[0]}); it may lack memory: give fewer "
            "--loader-workers, then go on with --resume"
        ) from error
