"""A labelling worker as a Ray actor, and the driver's view of one."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray

from pipeline.label.agreement import UnfitNodeError
from pipeline.label.description import WorkerDescription
from pipeline.label.metrics import WorkerMetrics
from pipeline.label.places import share_of_node
from pipeline.label.product import Product
from pipeline.label.settings import LabelSettings, TeacherSettings
from pipeline.label.shard_queue import ShardRun
from pipeline.label.tasks import ShardTask
from pipeline.label.worker import ShardWorker, WorkerProgress
from pipeline.shards import Receipt


class LabellingActor:
    """A `ShardWorker` in a process of its own; the class's name is what `ps` shows.

    Two threads: one labels, the other answers how far it is. With `gpus_to_share` it uses the processors of its node
    that go with so many GPUs; else `num_cpus`.
    """

    def __init__(
        self,
        product: Product,
        label_settings: LabelSettings,
        shards_dir: Path,
        num_cpus: int,
        gpus_to_share: float,
        make_metrics: Callable[[], WorkerMetrics],
        run: str,
    ) -> None:
        if gpus_to_share:
            (node,) = (node["Resources"] for node in ray.nodes() if node["NodeID"] == self.place())
            num_cpus = share_of_node(node, gpus_to_share)
        # Where it is left to the worker, what it sees decides what it labels with.
        self._needs_gpu = isinstance(product, TeacherSettings) and product.precision == "auto"
        self._worker = ShardWorker(product, label_settings, shards_dir, num_cpus, make_metrics, run)

    def place(self) -> str:
        """Say on which node it is."""
        node_id: str = ray.get_runtime_context().get_node_id()
        return node_id

    def ready(self) -> tuple[str, WorkerDescription]:
        """Load the teachers; say on which node, and what they are.

        Raises:
            UnfitNodeError: the worker holds a GPU that torch does not see; it would label on the processor instead.
            KinetError: the teachers cannot be loaded.
        """
        if self._needs_gpu and ray.get_gpu_ids():
            # A driver does without torch.
            import torch

            if not torch.cuda.is_available():
                raise UnfitNodeError(
                    "the worker holds a GPU and torch sees none: mend the node's driver, or the PyTorch there; "
                    "--gpus-per-worker 0 labels without GPUs"
                )
        return self.place(), self._worker.describe()

    def describe(self, *, measure: bool) -> WorkerDescription:
        """Say what decides the labels' values here; see `ShardWorker.describe`."""
        return self._worker.describe(measure=measure)

    def label(self, task: ShardTask) -> Receipt:
        """Label one shard; see `ShardWorker.label`."""
        return self._worker.label(task)

    def progress(self) -> WorkerProgress:
        """Say how far the worker is."""
        return self._worker.progress()


@dataclass(eq=False)
class Member:
    """One actor, as the driver sees it.

    Attributes:
        handle: of the actor.
        round: of starts that it belongs to.
        node_id: where it is; "" until that is known.
        place_asked: its answer on the way.
        description: what it labels with, once it is ready.
        run: what it is labelling.
        is_fresh: it was never given a shard.
        num_shards: it has committed.
        num_faults: it has met since it committed one.
        rest_until_sec: it gets no work before.
        frames: it has labelled.
        frames_before: of them, before the present run.
        teacher_sec: how long its teachers had been at one batch when it answered.
        answered_sec: when that was.
        progress_asked: its answer on the way.
    """

    handle: Any
    round: int
    node_id: str = ""
    place_asked: Any = None
    description: WorkerDescription | None = None
    run: ShardRun | None = None
    is_fresh: bool = True
    num_shards: int = 0
    num_faults: int = 0
    rest_until_sec: float = 0.0
    frames: int = 0
    frames_before: int = 0
    teacher_sec: float = 0.0
    answered_sec: float = 0.0
    progress_asked: Any = None

    def begin(self, run: ShardRun, now: float) -> None:
        """Note that it was given a shard."""
        self.run = run
        self.is_fresh = False
        self.frames_before, self.teacher_sec, self.answered_sec = self.frames, 0.0, now

    def note(self, progress: WorkerProgress, now: float) -> None:
        """Take in an answer."""
        self.frames, self.teacher_sec, self.answered_sec = progress.frames, progress.teacher_sec, now
        if self.run is not None:
            self.run.note(self.frames - self.frames_before, now)
            self.run.teacher_sec = progress.teacher_sec

    def stuck_sec(self, now: float) -> float:
        """How long the teachers have been at one batch, or the whole process has given no answer."""
        return self.teacher_sec + now - self.answered_sec
