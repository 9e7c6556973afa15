"""Labelling on Ray: one actor per worker, the shard as the unit of work, a driver that only hands out shards.

Frames never enter the object store. An actor is never restarted by Ray and a task never retried by it: the driver
replaces dead actors itself, so that it can count what happened.
"""

import logging
import tempfile
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import ray

from pipeline.errors import KinetError
from pipeline.label.actor import LabellingActor
from pipeline.label.crew import Crew
from pipeline.label.description import WorkerDescription, WorkerResources
from pipeline.label.metrics import RayMetrics
from pipeline.label.places import share_out
from pipeline.label.product import Product
from pipeline.label.run_ends import Committed, settle
from pipeline.label.settings import ClusterSettings, LabelSettings
from pipeline.label.shard_queue import ShardQueue, ShardRun
from pipeline.label.tasks import ShardTask
from pipeline.processors import count_processors
from pipeline.ray_cluster import connect
from pipeline.shards import Receipt

logger = logging.getLogger(__name__)

TICK_SEC = 1.0
# Under which every node bears its id, for Ray to choose by.
NODE_LABEL = "ray.io/node-id"


class RayPool:
    """Actors on a Ray cluster; a context manager that leaves no actor, and no cluster it started, behind."""

    def __init__(
        self,
        product: Product,
        label_settings: LabelSettings,
        shards_dir: Path,
        settings: ClusterSettings,
    ) -> None:
        self._shards_dir = shards_dir.resolve()
        self._arguments = (product, label_settings, self._shards_dir)
        self._settings = settings
        self._teacher_stall_sec = label_settings.teacher_stall_sec
        self._run = uuid.uuid4().hex
        self._queue = ShardQueue(())
        self._empty_dir = tempfile.TemporaryDirectory(prefix="kinet-label-")

    def __enter__(self) -> "RayPool":
        num_cpus = max(count_processors(), self._settings.num_workers or 1)
        connect(self._settings.address, num_cpus=num_cpus, empty_dir=self._empty_dir.name)
        self._gpus_per_worker = self._settings.gpus_per_worker
        if self._gpus_per_worker is None:
            self._gpus_per_worker = 1.0 if ray.cluster_resources().get("GPU") else 0.0
        self._crew = Crew(
            self._start_actor, self._find_nodes, self._describe_needs, self._settings, self._teacher_stall_sec
        )
        room, wanted = self.resources.num_workers, self._settings.num_workers or 1
        if room < wanted:
            self._say_small(room, wanted)
        return self

    def __exit__(self, *_: object) -> None:
        self._crew.close()
        ray.shutdown()
        self._empty_dir.cleanup()

    @property
    def resources(self) -> WorkerResources:
        """How many workers there is room for now, and what each holds."""
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        return share_out(
            nodes, self._settings.num_workers, self._gpus_per_worker or 0.0, self._settings.cpus_per_worker
        )

    def describe(self, *, measure: bool, expected: Mapping[str, str] | None = None) -> WorkerDescription:
        """Start the workers; say what they label with. One that would label otherwise is refused, now or later."""
        return self._crew.describe(self._num_wanted, self._num_room, measure=measure, expected=expected)

    def label_all(
        self, tasks: Sequence[ShardTask], on_tick: Callable[[int], None], earlier_pace: Sequence[float] = ()
    ) -> Iterator[Receipt]:
        """Hand out shards until all are committed; see `pipeline.label.worker_pool.WorkerPool`.

        A worker that dies is replaced and its shard waits again. A shard that has cost too many attempts, for which no
        video of it answers, is given up, and named when all others are done.
        """
        queue = self._queue = ShardQueue(tasks, earlier_pace=earlier_pace)
        while queue.num_open:
            self._crew.fill(self._num_wanted(), queue.num_places)
            for member in self._crew.idle:
                takes_more = self._crew.will_take_more(member)
                if (run := queue.take(is_fresh=member.is_fresh, worker=member, takes_more=takes_more)) is not None:
                    self._crew.assign(member, run)
            if queue.wants_fresh:
                self._crew.renew()
            for ended in self._crew.wait(TICK_SEC):
                if isinstance(ended, Committed):
                    if queue.commit(ended.run, ended.receipt.frames):
                        yield ended.receipt
                    # Whoever else was at the same shard comes too late: the first pair is the shard.
                    for rival in queue.rivals(ended.run):
                        self._crew.dismiss(rival)
                        queue.drop(rival)
                else:
                    settle(ended, queue, self._shards_dir, self._run)
            self._crew.require_some()
            on_tick(self._crew.num_frames)
        queue.require_all()

    def open_runs(self) -> tuple[ShardRun, ...]:
        """Return the attempts under way."""
        return self._queue.runs

    def _num_wanted(self) -> int:
        """Count the workers to ask for: more than there is room for where so many were asked for, and one at least."""
        return self._settings.num_workers or max(1, self._num_room())

    def _num_room(self) -> int:
        return self.resources.num_workers

    def _describe_needs(self) -> str:
        resources = self.resources
        return f"{resources.cpus_per_worker} CPU and {resources.gpus_per_worker:g} GPU"

    def _say_small(self, room: int, wanted: int) -> None:
        """Say that fewer run than were asked for; on this machine, which does not grow, none is too few.

        Raises:
            KinetError: this machine has no room for a single one.
        """
        small = f"room for {room} of {wanted} workers of {self._describe_needs()} each"
        if self._settings.address is None and not room:
            ray.shutdown()
            raise KinetError(f"this machine has {small}; give another --gpus-per-worker")
        logger.warning("%s: the others start when the cluster has room for them", small)

    def _find_nodes(self) -> frozenset[str]:
        """Find the nodes that are up and large enough for a worker."""
        resources = self.resources
        needs = {"CPU": resources.cpus_per_worker, "GPU": resources.gpus_per_worker}
        return frozenset(
            node["NodeID"]
            for node in ray.nodes()
            if node["Alive"] and all(node["Resources"].get(name, 0.0) >= need for name, need in needs.items())
        )

    def _start_actor(self, avoided: Collection[str]) -> Any:
        resources = self.resources
        elsewhere = {"label_selector": {NODE_LABEL: f"!in({','.join(sorted(avoided))})"}} if avoided else {}
        actor_class: Any = ray.remote(max_restarts=0, max_task_retries=0)(LabellingActor)
        options = actor_class.options(
            num_cpus=resources.cpus_per_worker, num_gpus=resources.gpus_per_worker, max_concurrency=2, **elsewhere
        )
        return options.remote(
            *self._arguments,
            num_cpus=resources.cpus_per_worker,
            # Asked for while other nodes were up, or none: what goes with its GPU it sees where it starts.
            gpus_to_share=0.0 if self._settings.cpus_per_worker else resources.gpus_per_worker,
            make_metrics=RayMetrics,
            run=self._run,
        )
