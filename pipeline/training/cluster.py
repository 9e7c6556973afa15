"""Train in several processes by Ray Train: a worker that is lost ends the attempt, and the next goes on from the last
checkpoint.

Ray Train starts the workers, sets up torch.distributed among them, and starts them again; checkpoints, metrics and the
result are the training function's own affair.
"""

import contextlib
import os
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import ray
import torch
from ray.train import FailureConfig, RunConfig, ScalingConfig, get_context
from ray.train.torch import TorchConfig, TorchTrainer, get_device
from ray.train.v2.api.exceptions import TrainingFailedError, WorkerGroupError

from pipeline.errors import KinetError
from pipeline.malloc import keep_freed_memory
from pipeline.processors import count_processors
from pipeline.ray_cluster import connect, share_processors
from pipeline.signals import interruptible
from pipeline.training.world import World

MAX_FAILURES = 2
_WAIT_SEC = 1.0


@dataclass(frozen=True)
class TrainCluster:
    """Where the workers run.

    Attributes:
        num_workers: processes that train together.
        address: of a running Ray cluster; None starts one on this machine.
        gpus_per_worker: GPUs each worker reserves; None is 1 where the cluster has enough, else 0.
    """

    num_workers: int
    address: str | None = None
    gpus_per_worker: float | None = None

    def __post_init__(self) -> None:
        if self.num_workers < 1:
            raise ValueError(f"workers: expected 1 or more, found {self.num_workers}")
        if self.gpus_per_worker is not None and not self.gpus_per_worker >= 0:
            raise ValueError(f"gpus per worker: expected 0 or more, found {self.gpus_per_worker}")


def train_on_ray(
    train: Callable[[World, torch.device], None],
    cluster: TrainCluster,
    *,
    storage_dir: Path,
    on_wait: Callable[[], None] = lambda: None,
) -> None:
    """Run a training function on every worker until it returns on all of them.

    Args:
        train: called with the worker's place and device. When a worker is lost all are started again, twice at most,
            so it must go on from its own last checkpoint.
        cluster: the workers.
        storage_dir: for Ray Train's own records; all nodes must reach it.
        on_wait: called in this process every second.

    Raises:
        KinetError: one that `train` raised, as itself; or the cluster is not there, too small, or lost.
        InterruptedRun: SIGINT or SIGTERM.
    """
    # Ray prints to stdout when a worker dies; that place belongs to the command's own result.
    with tempfile.TemporaryDirectory(prefix="kinet-train-") as empty_dir, contextlib.redirect_stdout(sys.stderr):
        connect(cluster.address, num_cpus=max(count_processors(), cluster.num_workers), empty_dir=empty_dir)
        try:
            trainer = _make_trainer(train, cluster, storage_dir)
            with interruptible("the last checkpoint is kept; go on with --resume"):
                _fit(trainer, on_wait)
        finally:
            ray.shutdown()


def _make_trainer(train: Callable[[World, torch.device], None], cluster: TrainCluster, storage_dir: Path) -> Any:
    num_gpus = ray.cluster_resources().get("GPU", 0.0)
    gpus_per_worker = cluster.gpus_per_worker
    if gpus_per_worker is None:
        gpus_per_worker = 1.0 if num_gpus >= cluster.num_workers else 0.0
    if gpus_per_worker * cluster.num_workers > num_gpus:
        raise KinetError(
            f"{cluster.num_workers} workers of {gpus_per_worker:g} GPUs asked for, the cluster has {num_gpus:g}; give "
            "fewer --workers or --gpus-per-worker"
        )
    num_cpus = ray.cluster_resources().get("CPU", 1.0)
    if not gpus_per_worker and cluster.num_workers > num_cpus:
        raise KinetError(f"{cluster.num_workers} workers asked for, the cluster has {num_cpus:g} CPUs; give fewer")
    cpus_per_worker = share_processors(cluster.num_workers)
    resources = {"CPU": float(cpus_per_worker)} | ({"GPU": gpus_per_worker} if gpus_per_worker else {})
    return TorchTrainer(
        _train_in_worker,
        train_loop_config={"train": train},
        torch_config=TorchConfig(backend="nccl" if gpus_per_worker >= 1 else "gloo"),
        scaling_config=ScalingConfig(
            num_workers=cluster.num_workers, use_gpu=gpus_per_worker > 0, resources_per_worker=resources
        ),
        run_config=RunConfig(
            name="ray",
            storage_path=str(storage_dir),
            # ray.train's own class; mypy sees the one of before Ray Train V2.
            failure_config=FailureConfig(
                max_failures=MAX_FAILURES,
                controller_failure_limit=1,  # type: ignore[call-arg]
            ),
        ),
    )


def _train_in_worker(config: dict[str, Any]) -> None:
    """What Ray Train calls on each worker."""
    keep_freed_memory()
    context = get_context()
    world = World(context.get_world_rank(), context.get_world_size())
    device = get_device()
    if device.type == "cuda":
        torch.cuda.set_device(device)  # the one that NCCL takes for plain values
    config["train"](world, device)


def _fit(trainer: Any, on_wait: Callable[[], None]) -> None:
    """Wait for the training in another thread: in this one Ray Train would take the place of our signal handlers."""
    raised: list[Exception] = []

    def fit() -> None:
        try:
            trainer.fit()
        except TrainingFailedError as error:
            raised.append(error)

    thread = threading.Thread(target=fit, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(_WAIT_SEC)
        on_wait()
    if raised:
        raise _fault_of(raised[0]) from raised[0]


def _fault_of(error: Exception) -> Exception:
    """Find the fault of ours that a failed training ended by; what else ended it is named in one line."""
    failures = list(error.worker_failures.values()) if isinstance(error, WorkerGroupError) else []
    for failure in failures:
        cause = getattr(failure, "cause", None) or failure.__cause__ or failure
        if isinstance(cause, KinetError):
            return cause
    first = (str(failures[0] if failures else error).strip().splitlines() or ["no reason is known"])[-1]
    return KinetError(
        f"training on Ray ended {MAX_FAILURES + 1} times with a fault: {first[:300]}; the last checkpoint is kept: "
        "mend the cause, then go on with --resume"
    )
