"""Labelling on Ray: one actor per worker, the shard as the unit of work, a driver that only hands out shards.

Frames never enter the object store. An actor is never restarted by Ray and a task never retried by it: the driver
replaces dead actors itself, so that it can count what happened.
"""

import logging
import os
import tempfile
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import OutOfMemoryError, RayActorError, RayTaskError

from pipeline.errors import KinetError
from pipeline.label.description import WorkerDescription, WorkerResources
from pipeline.label.metrics import RayMetrics
from pipeline.label.plan import PlannedShard
from pipeline.label.settings import ClusterSettings, LabelSettings, TeacherSettings
from pipeline.label.worker import ShardWorker
from pipeline.ray_cluster import connect
from pipeline.shards import Receipt, ShardHeader

logger = logging.getLogger(__name__)

MAX_SHARD_ATTEMPTS = 3
TICK_SEC = 1.0


@dataclass
class _Assignment:
    """An actor, and the shard it has in hand."""

    actor: Any
    shard: PlannedShard | None = None


class RayPool:
    """Actors on a Ray cluster; a context manager that leaves no actor, and no cluster it started, behind."""

    def __init__(
        self,
        teacher_settings: TeacherSettings,
        label_settings: LabelSettings,
        shards_dir: Path,
        settings: ClusterSettings,
    ) -> None:
        self._arguments = (teacher_settings, label_settings, shards_dir.resolve())
        self._settings = settings
        self._actors: list[Any] = []
        self._frames: dict[Any, int] = {}
        self._empty_dir = tempfile.TemporaryDirectory(prefix="kinet-label-")

    def __enter__(self) -> "RayPool":
        self._connect()
        resources = ray.cluster_resources()
        num_gpus = resources.get("GPU", 0.0)
        self._gpus_per_worker = self._settings.gpus_per_worker
        if self._gpus_per_worker is None:
            self._gpus_per_worker = 1.0 if num_gpus else 0.0
        node_cpus = [node["Resources"].get("CPU", 0.0) for node in ray.nodes() if node["Alive"]]
        slots = int(num_gpus / self._gpus_per_worker) if self._gpus_per_worker else len(node_cpus)
        self._num_workers = self._settings.num_workers or max(1, slots)
        if self._num_workers * self._gpus_per_worker > num_gpus:
            ray.shutdown()
            raise KinetError(
                f"{self._num_workers} workers of {self._gpus_per_worker:g} GPUs asked for, the cluster has "
                f"{num_gpus:g}; give fewer --workers or --gpus-per-worker"
            )
        # An actor must fit on one node: the smallest with processors sets the bound.
        share = int(resources.get("CPU", 1.0)) // self._num_workers
        self._cpus_per_worker = max(1, min(share, int(min(filter(None, node_cpus), default=1.0))))
        return self

    def __exit__(self, *_: object) -> None:
        for actor in self._actors:
            ray.kill(actor)
        ray.shutdown()
        self._empty_dir.cleanup()

    @property
    def resources(self) -> WorkerResources:
        """How many workers there are, and what each holds."""
        return WorkerResources(self._num_workers, self._cpus_per_worker, self._gpus_per_worker or 0.0)

    def describe(self, *, measure: bool) -> WorkerDescription:
        """Start the actors; say what they label with. Raises KinetError where they differ among themselves."""
        self._actors = [self._start_actor() for _ in range(self._num_workers)]
        answers = _get([actor.describe.remote(measure=measure and i == 0) for i, actor in enumerate(self._actors)])
        for answer in answers:
            _check_alike(answers[0].ingredients, answer.ingredients)
        first: WorkerDescription = answers[0]
        return first

    def label_all(
        self, shards: Sequence[PlannedShard], headers: dict[str, ShardHeader], on_tick: Callable[[int], None]
    ) -> Iterator[Receipt]:
        """Hand out shards until all are committed; see `pipeline.label.job.WorkerPool`.

        A worker that dies is replaced and its shard goes to the next one; a shard that has taken three workers with it
        is given up, and named at the end, when all others are done.
        """
        waiting = deque(shards)
        attempts: Counter[str] = Counter()
        given_up: list[str] = []
        at_work: dict[Any, _Assignment] = {}
        idle = list(self._actors)
        while waiting or at_work:
            while waiting and idle:
                assignment = _Assignment(idle.pop(), waiting.popleft())
                shard = assignment.shard
                assert shard is not None
                at_work[assignment.actor.label.remote(shard, headers[shard.split])] = assignment
            ready, _ = ray.wait(list(at_work), timeout=TICK_SEC)
            for reference in ready:
                assignment = at_work.pop(reference)
                shard = assignment.shard
                assert shard is not None
                try:
                    receipt: Receipt = _get(reference)
                except (RayActorError, OutOfMemoryError) as error:
                    attempts[shard.name] += 1
                    logger.warning("shard %s: its worker died (%s)", shard.name, " ".join(str(error).split())[:200])
                    if attempts[shard.name] < MAX_SHARD_ATTEMPTS:
                        waiting.append(shard)
                    else:
                        given_up.append(shard.name)
                    idle.append(self._replace(assignment.actor))
                else:
                    idle.append(assignment.actor)
                    yield receipt
            on_tick(self._count_frames(at_work))
        if given_up:
            raise KinetError(
                f"{len(given_up)} shards took {MAX_SHARD_ATTEMPTS} workers with them ({', '.join(given_up[:3])}); all "
                "others are done. The workers may lack memory: give fewer workers, and run the same command again"
            )

    def _connect(self) -> None:
        num_cpus = max(os.cpu_count() or 1, self._settings.num_workers or 1)
        connect(self._settings.address, num_cpus=num_cpus, empty_dir=self._empty_dir.name)

    def _start_actor(self) -> Any:
        # Two threads: one labels, the other answers how far it is.
        actor_class: Any = ray.remote(max_restarts=0, max_task_retries=0)(ShardWorker)
        options = actor_class.options(num_cpus=self._cpus_per_worker, num_gpus=self._gpus_per_worker, max_concurrency=2)
        return options.remote(*self._arguments, num_cpus=self._cpus_per_worker, make_metrics=RayMetrics)

    def _replace(self, dead: Any) -> Any:
        actor = self._start_actor()
        self._actors[self._actors.index(dead)] = actor
        return actor

    def _count_frames(self, at_work: dict[Any, _Assignment]) -> int:
        """Ask each working actor how far it is; one that does not answer at once keeps its last figure."""
        asked = {assignment.actor.frames_done.remote(): assignment.actor for assignment in at_work.values()}
        answered, _ = ray.wait(list(asked), num_returns=len(asked), timeout=TICK_SEC) if asked else ([], [])
        for reference in answered:
            try:
                self._frames[asked[reference]] = ray.get(reference)
            except RayActorError:
                # Its own task's result says so too, and is where it is answered.
                continue
        return sum(self._frames.values())


def _get(reference: Any) -> Any:
    """Wait for a result; a KinetError raised in a worker is raised here as itself."""
    try:
        return ray.get(reference)
    except RayTaskError as error:
        if isinstance(error.cause, KinetError):
            raise error.cause from error
        raise


def _check_alike(first: dict[str, str], other: dict[str, str]) -> None:
    for name, value in first.items():
        if other.get(name) != value:
            raise KinetError(
                f"the workers differ in {name} ({value} on one, {other.get(name)} on another); install the same "
                "versions and teacher files on every node"
            )
