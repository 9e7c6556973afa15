"""The labelling workers on a Ray cluster: started, found ready, given work, replaced when they die.

A worker gets work only after it loaded its teachers. A worker that cannot start yet, because a node is gone, waits
until the node or another one is there; the others go on without it.
"""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import ray
from ray.exceptions import GetTimeoutError, RayActorError, RayError, RayTaskError

from pipeline.errors import KinetError, LabellingError
from pipeline.label import worker as plain
from pipeline.label.description import WorkerDescription
from pipeline.label.shard_queue import ShardRun
from pipeline.shards import Receipt

logger = logging.getLogger(__name__)

# Starts that fail one after the other, while no worker is at work, before it is hopeless: nodes that go take some.
MAX_FAILED_STARTS = 6
START_PAUSE_SEC = 5.0


class ShardWorker(plain.ShardWorker):
    """A labelling worker as an actor; the class's name is what `ps` shows."""

    def ready(self) -> tuple[str, WorkerDescription]:
        """Load the teachers; say on which node, and what they are."""
        return ray.get_runtime_context().get_node_id(), self.describe()


@dataclass(eq=False)
class Worker:
    """One actor.

    Attributes:
        handle: of the actor.
        started_sec: when it was asked for.
        node_id: where it is; "" until it is ready.
        run: what it is labelling.
        num_shards: it has committed.
        frames: it has labelled.
        frames_asked: its answer on the way, to how many that is.
    """

    handle: Any
    started_sec: float
    node_id: str = ""
    run: ShardRun | None = None
    num_shards: int = 0
    frames: int = 0
    frames_asked: Any = None


class Committed(NamedTuple):
    """A run ended in a committed shard."""

    run: ShardRun
    receipt: Receipt


class Died(NamedTuple):
    """A run's worker died; `excused` where its node is gone."""

    run: ShardRun
    excused: bool


class Failed(NamedTuple):
    """A run ended in an error that is no fault of data or environment, such as a teacher's own."""

    run: ShardRun
    why: str


class Crew:
    """The workers of one labelling job.

    Args:
        start_actor: ask Ray for one more `ShardWorker`.
        needs: what one worker asks of a node, in words.
        start_timeout_sec: how long all workers may be waiting for a place or for their teachers.
        shards_per_worker: after so many shards a worker makes place for a fresh one.
    """

    def __init__(
        self, start_actor: Callable[[], Any], needs: str, *, start_timeout_sec: float, shards_per_worker: int
    ) -> None:
        self._start_actor = start_actor
        self._needs = needs
        self._start_timeout_sec = start_timeout_sec
        self._shards_per_worker = shards_per_worker
        self._starting: dict[Any, Worker] = {}
        self._idle: list[Worker] = []
        self._at_work: dict[Any, Worker] = {}
        self._description: WorkerDescription | None = None
        self._failed_starts = 0
        self._next_start_sec = 0.0
        self._last_ready_sec = time.monotonic()
        self._frames_of_gone = 0

    @property
    def idle(self) -> tuple[Worker, ...]:
        """Workers that are ready and have nothing to do."""
        return tuple(self._idle)

    @property
    def num_frames(self) -> int:
        """Frames labelled by all workers, as far as they have said."""
        everyone = [*self._starting.values(), *self._idle, *self._at_work.values()]
        return self._frames_of_gone + sum(worker.frames for worker in everyone)

    def fill(self, size: int) -> None:
        """Ask for as many workers as are wanted and not there."""
        if time.monotonic() < self._next_start_sec:
            return
        for _ in range(size - len(self._starting) - len(self._idle) - len(self._at_work)):
            worker = Worker(self._start_actor(), time.monotonic())
            self._starting[worker.handle.ready.remote()] = worker

    def describe(self, size: int, *, measure: bool) -> WorkerDescription:
        """Start so many workers, wait for the first one and say what it labels with.

        Raises:
            KinetError: none starts, or the teachers cannot be loaded.
        """
        while not self._idle:
            self.fill(size)
            # None has work yet, so that none ends any.
            list(self.wait(1.0))
            self.require_some()
        worker = self._idle[0]
        if measure:
            try:
                answer: WorkerDescription = ray.get(
                    worker.handle.describe.remote(measure=True), timeout=self._start_timeout_sec
                )
            except (RayTaskError, RayActorError, GetTimeoutError) as error:
                raise _start_fault(error) from error
            return answer
        assert self._description is not None
        return self._description

    def assign(self, worker: Worker, run: ShardRun) -> None:
        """Give a ready worker a shard."""
        self._idle.remove(worker)
        worker.run = run
        self._at_work[worker.handle.label.remote(run.task)] = worker

    def wait(self, seconds: float) -> Iterator[Committed | Died | Failed]:
        """Wait until a run ends or a worker is ready, or for so long; yield the runs that ended.

        Raises:
            KinetError: a fault of data or environment met by a worker at work, or by the very first one.
        """
        references = [*self._at_work, *self._starting]
        if not references:
            time.sleep(seconds)
        ended, _ = ray.wait(references, num_returns=1, timeout=seconds) if references else ([], [])
        if ended:
            # What else ended in the same moment.
            ended, _ = ray.wait(references, num_returns=len(references), timeout=0)
        for reference in ended:
            if reference in self._starting:
                self._settle_start(reference)
            elif reference in self._at_work:
                yield self._settle_run(reference)
        self._ask_frames()

    def dismiss(self, run: ShardRun) -> None:
        """End the worker that is at work on a run."""
        for reference, worker in list(self._at_work.items()):
            if worker.run is run:
                del self._at_work[reference]
                self._end(worker)

    def require_some(self) -> None:
        """Raise KinetError when no worker is ready and none has been for too long."""
        now = time.monotonic()
        if self._idle or self._at_work:
            self._last_ready_sec = now
        elif now - self._last_ready_sec > self._start_timeout_sec:
            total, free = ray.cluster_resources(), ray.available_resources()
            has = ", ".join(f"{total.get(name, 0):g} {name} ({free.get(name, 0):g} free)" for name in ("CPU", "GPU"))
            raise KinetError(
                f"no worker has started for {self._start_timeout_sec:.0f} s: one needs {self._needs} on one node; the "
                f"cluster has {has}. Add nodes, end what holds them, or give other --workers or --gpus-per-worker"
            )

    def close(self) -> None:
        """End every worker."""
        for worker in [*self._starting.values(), *self._idle, *self._at_work.values()]:
            self._end(worker)

    def _settle_start(self, reference: Any) -> None:
        worker = self._starting.pop(reference)
        try:
            worker.node_id, description = ray.get(reference)
            if self._description is None:
                self._description = description
            _check_alike(self._description.ingredients, description.ingredients)
        except (RayError, KinetError) as error:
            self._end(worker)
            fault = _start_fault(error)
            self._failed_starts += 1
            # A first worker that cannot load its teachers: so cannot the others. Later it is that one node's trouble.
            hopeless = self._failed_starts >= MAX_FAILED_STARTS and not self._idle and not self._at_work
            if hopeless or (self._description is None and not isinstance(error, RayActorError)):
                raise fault from error
            logger.warning("a worker did not start: %s", fault)
            self._next_start_sec = time.monotonic() + START_PAUSE_SEC
            return
        self._failed_starts = 0
        self._idle.append(worker)

    def _settle_run(self, reference: Any) -> Committed | Died | Failed:
        worker = self._at_work.pop(reference)
        run, worker.run = worker.run, None
        assert run is not None
        try:
            receipt: Receipt = ray.get(reference)
        except RayTaskError as error:
            self._end(worker)
            if isinstance(error.cause, KinetError):
                raise error.cause from error
            # After an error of its own a teacher's process, its GPU above all, may be of no more use.
            return Failed(run, _describe_fault(error.cause))
        except RayError as error:
            self._end(worker)
            logger.warning("shard %s: its worker died (%s)", run.task.name, " ".join(str(error).split())[:200])
            alive = {node["NodeID"] for node in ray.nodes() if node["Alive"]}
            return Died(run, excused=getattr(error, "preempted", False) or worker.node_id not in alive)
        worker.num_shards += 1
        if worker.num_shards < self._shards_per_worker:
            self._idle.append(worker)
        else:
            self._end(worker)
        return Committed(run, receipt)

    def _ask_frames(self) -> None:
        """Take in what the workers answered, and ask again: none of it is waited for."""
        for worker in self._at_work.values():
            if worker.frames_asked is not None:
                if not ray.wait([worker.frames_asked], timeout=0)[0]:
                    continue
                try:
                    worker.frames = ray.get(worker.frames_asked)
                except RayError:
                    # Its run's own end says so too, and is where it is answered.
                    continue
            worker.frames_asked = worker.handle.frames_done.remote()

    def _end(self, worker: Worker) -> None:
        self._frames_of_gone += worker.frames
        ray.kill(worker.handle)


def _start_fault(error: Exception) -> KinetError:
    """Turn what a starting worker ended with into one line."""
    if isinstance(error, KinetError):
        return error
    cause = error.cause if isinstance(error, RayTaskError) else None
    if isinstance(cause, KinetError):
        return cause
    what = _describe_fault(cause) if cause is not None else " ".join(str(error).split())[:300]
    return LabellingError(f"a worker cannot start: {what}; mend it, and run the same command again")


def _describe_fault(cause: BaseException) -> str:
    """Say what a teacher raised, and what to do where that is known."""
    name, message = type(cause).__name__, " ".join(str(cause).split())[:300]
    if "outofmemory" in name.lower() or "out of memory" in message.lower():
        return f"{name}: {message}; give a smaller --batch-size, or --gpus-per-worker 1"
    return f"{name}: {message}; a bug in a teacher shows itself with --workers 0"


def _check_alike(first: dict[str, str], other: dict[str, str]) -> None:
    for name, value in first.items():
        if other.get(name) != value:
            raise KinetError(
                f"the workers differ in {name} ({value} on one, {other.get(name)} on another); install the same "
                "versions and teacher files on every node"
            )
