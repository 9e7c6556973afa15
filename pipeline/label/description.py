"""What a worker would label with, as the driver sees it; apart from the worker, so that a driver loads no torch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class WorkerDescription:
    """What a worker would label with.

    Attributes:
        ingredients: everything beside the manifest that decides the labels' values, by name.
        batch_size: of the teachers; None of flow.
        frames_per_sec: measured speed of the teachers; None where it was not asked for.
    """

    ingredients: dict[str, str]
    batch_size: int | None
    frames_per_sec: float | None


@dataclass(frozen=True)
class WorkerResources:
    """How many workers there are, and what each one holds.

    Attributes:
        num_workers: that label side by side.
        cpus_per_worker, gpus_per_worker: reserved for each.
    """

    num_workers: int
    cpus_per_worker: int
    gpus_per_worker: float
