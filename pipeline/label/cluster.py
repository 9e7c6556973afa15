"""Labelling on Ray: one actor per worker, the shard as the unit of work, a driver that only hands out shards.

Frames never enter the object store. An actor is never restarted by Ray and a task never retried by it: the driver
replaces dead actors itself, so that it can count what happened.
"""

import logging
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import ray

from pipeline.errors import KinetError
from pipeline.label.crew import Committed, Crew, Died, ShardWorker
from pipeline.label.description import WorkerDescription, WorkerResources
from pipeline.label.journal import journal_path_of, read_history
from pipeline.label.metrics import RayMetrics
from pipeline.label.settings import ClusterSettings, LabelSettings, TeacherSettings
from pipeline.label.shard_queue import ShardQueue
from pipeline.label.tasks import ShardTask
from pipeline.processors import count_processors
from pipeline.ray_cluster import connect
from pipeline.shards import Receipt

logger = logging.getLogger(__name__)

TICK_SEC = 1.0


class RayPool:
    """Actors on a Ray cluster; a context manager that leaves no actor, and no cluster it started, behind."""

    def __init__(
        self,
        teacher_settings: TeacherSettings,
        label_settings: LabelSettings,
        shards_dir: Path,
        settings: ClusterSettings,
    ) -> None:
        self._shards_dir = shards_dir.resolve()
        self._arguments = (teacher_settings, label_settings, self._shards_dir)
        self._settings = settings
        self._run = uuid.uuid4().hex
        self._empty_dir = tempfile.TemporaryDirectory(prefix="kinet-label-")

    def __enter__(self) -> "RayPool":
        self._connect()
        resources = ray.cluster_resources()
        num_gpus = resources.get("GPU", 0.0)
        self._gpus_per_worker = self._settings.gpus_per_worker
        if self._gpus_per_worker is None:
            self._gpus_per_worker = 1.0 if num_gpus else 0.0
        self._num_workers = self._settings.num_workers or _count_places(self._gpus_per_worker)
        if self._num_workers * self._gpus_per_worker > num_gpus:
            ray.shutdown()
            raise KinetError(
                f"{self._num_workers} workers of {self._gpus_per_worker:g} GPUs asked for, the cluster has "
                f"{num_gpus:g}; give fewer --workers or --gpus-per-worker"
            )
        self._cpus_per_worker = _share_cpus(self._num_workers, self._gpus_per_worker)
        self._crew = Crew(
            self._start_actor,
            f"{self._cpus_per_worker} CPU and {self._gpus_per_worker:g} GPU",
            start_timeout_sec=self._settings.start_timeout_sec,
            shards_per_worker=self._settings.shards_per_worker,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._crew.close()
        ray.shutdown()
        self._empty_dir.cleanup()

    @property
    def resources(self) -> WorkerResources:
        """How many workers there are, and what each holds."""
        return WorkerResources(self._num_workers, self._cpus_per_worker, self._gpus_per_worker or 0.0)

    def describe(self, *, measure: bool) -> WorkerDescription:
        """Start the workers; say what the first one labels with. The others are held against it when they are ready."""
        return self._crew.describe(self._num_workers, measure=measure)

    def label_all(self, tasks: Sequence[ShardTask], on_tick: Callable[[int], None]) -> Iterator[Receipt]:
        """Hand out shards until all are committed; see `pipeline.label.worker_pool.WorkerPool`.

        A worker that dies is replaced and its shard waits again. A shard that has taken three workers with it, or on
        which a teacher raised an error, is given up, and named when all others are done.
        """
        queue = ShardQueue(tasks)
        while queue.num_open:
            self._crew.fill(min(self._num_workers, queue.num_open))
            for worker in self._crew.idle:
                if (run := queue.take()) is None:
                    break
                self._crew.assign(worker, run)
            for ended in self._crew.wait(TICK_SEC):
                if isinstance(ended, Committed):
                    if queue.commit(ended.run):
                        yield ended.receipt
                    # Whoever else was at the same shard has nothing to add: its bytes would be the same.
                    for rival in queue.rivals(ended.run):
                        self._crew.dismiss(rival)
                        queue.drop(rival)
                elif isinstance(ended, Died):
                    journal_path = journal_path_of(self._shards_dir, ended.run.task)
                    condemned = read_history(journal_path, self._run).condemned
                    queue.lose(ended.run, num_condemned=len(condemned), excused=ended.excused)
                else:
                    queue.fail(ended.run, ended.why)
            self._crew.require_some()
            on_tick(self._crew.num_frames)
        queue.require_all()

    def _connect(self) -> None:
        num_cpus = max(count_processors(), self._settings.num_workers or 1)
        connect(self._settings.address, num_cpus=num_cpus, empty_dir=self._empty_dir.name)

    def _start_actor(self) -> Any:
        # Two threads: one labels, the other answers how far it is.
        actor_class: Any = ray.remote(max_restarts=0, max_task_retries=0)(ShardWorker)
        options = actor_class.options(num_cpus=self._cpus_per_worker, num_gpus=self._gpus_per_worker, max_concurrency=2)
        return options.remote(*self._arguments, num_cpus=self._cpus_per_worker, make_metrics=RayMetrics, run=self._run)


def _count_places(gpus_per_worker: float) -> int:
    """Count the workers the cluster has room for now: by its GPUs, or one a node where it has none."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if not gpus_per_worker:
        return max(1, sum(1 for node in nodes if node.get("CPU")))
    return max(1, sum(int(node.get("GPU", 0.0) / gpus_per_worker) for node in nodes))


def _share_cpus(num_workers: int, gpus_per_worker: float) -> int:
    """Choose processors for a worker such that every node can hold its share of the workers; 1 at least."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
    if gpus_per_worker:
        shares = [
            node["CPU"] / max(1, int(node["GPU"] / gpus_per_worker)) for node in nodes if node.get("GPU", 0.0) > 0
        ]
    else:
        smallest = min((node["CPU"] for node in nodes), default=1.0)
        shares = [min(smallest, sum(node["CPU"] for node in nodes) // num_workers)]
    return max(1, int(min(shares, default=1.0)))
