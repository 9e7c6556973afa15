"""One labelling worker: it holds both teachers and labels the shards it is given, with and without Ray.

The driver of a Ray cluster imports this module for the class's name alone; torch is loaded when a worker starts.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pipeline.label.description import WorkerDescription
from pipeline.label.journal import IN_PROCESS
from pipeline.label.metrics import NoMetrics, WorkerMetrics
from pipeline.label.settings import LabelSettings, TeacherSettings
from pipeline.label.tasks import ShardTask
from pipeline.processors import let_waiting_threads_sleep
from pipeline.shards import Receipt
from pipeline.shards.schema import SCHEMA_VERSION
from pipeline.video import DECODER, FRAME_HEIGHT, FRAME_RESIZE, FRAME_WIDTH

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.label.batches import FrameRows
    from pipeline.label.labeller import ShardLabeller
    from pipeline.label.teacher_loading import Teachers


class WorkerProgress(NamedTuple):
    """How far a worker is: frames labelled so far, and how long its teachers have been at the present batch."""

    frames: int
    teacher_sec: float


class ShardWorker:
    """Label shard after shard with teachers that are loaded once, when they are first needed.

    Args:
        teacher_settings: which teachers.
        label_settings: how.
        shards_dir: where shards go; the same folder for every worker.
        num_cpus: processors it may use: so many threads for the teachers (Ray would choose one), and as many decoders.
        make_metrics: makes what is told of the work, in the worker's own process.
        run: names the driver's run in the journals.
    """

    def __init__(
        self,
        teacher_settings: TeacherSettings,
        label_settings: LabelSettings,
        shards_dir: Path,
        num_cpus: int,
        make_metrics: Callable[[], WorkerMetrics] = NoMetrics,
        run: str = IN_PROCESS,
    ) -> None:
        self._teacher_settings = teacher_settings
        self._settings = label_settings
        self._shards_dir = shards_dir
        self._num_cpus = num_cpus
        self._metrics = make_metrics()
        self._run = run
        self._frames_done = 0
        self._labeller: ShardLabeller | None = None
        self.on_frames: Callable[[int], None] = lambda _: None

    def describe(self, *, measure: bool = False) -> WorkerDescription:
        """Say what decides the labels' values here, and with `measure` how fast the teachers are.

        Raises:
            TeacherError: a teacher cannot be loaded.
        """
        from pipeline.label.teacher_loading import choose_precision, describe_teachers

        teachers = self._started().teachers
        ingredients = {
            "schema": str(SCHEMA_VERSION),
            "frame_resize": FRAME_RESIZE,
            "decoder": DECODER,
            "precision": choose_precision(self._teacher_settings.precision, teachers.device),
            **describe_teachers(teachers),
        }
        return WorkerDescription(ingredients, self._measure_speed(teachers) if measure else None)

    def label(self, task: ShardTask) -> Receipt:
        """Label one shard and leave its receipt; see `ShardLabeller.label_shard`."""
        receipt = self._started().label_shard(task)
        self._metrics.add_shard(receipt)
        return receipt

    def predict(self, pixels: NDArray[np.uint8]) -> list[FrameRows]:
        """Label frames uint8 [n, H, W, 3] that go into no shard, in the same batches; return their rows in order."""
        from pipeline.label.batches import TeacherBatches

        batches = TeacherBatches(self._started().teachers, self._settings.batch_size)
        return [*batches.add(pixels), *batches.finish()]

    def progress(self) -> WorkerProgress:
        """Say how far it is; for other threads too."""
        return WorkerProgress(self._frames_done, 0.0 if self._labeller is None else self._labeller.teacher_sec)

    def close(self) -> None:
        """End the decoding processes."""
        if self._labeller is not None:
            self._labeller.close()

    def _started(self) -> ShardLabeller:
        if self._labeller is None:
            let_waiting_threads_sleep()
            import torch

            from pipeline.label.labeller import ShardLabeller
            from pipeline.label.teacher_loading import choose_precision, load_teachers

            torch.set_num_threads(self._num_cpus)
            device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
            precision = choose_precision(self._teacher_settings.precision, device)
            teachers = load_teachers(self._teacher_settings, device, precision)
            num_decoders = self._settings.decoders_for(self._num_cpus)
            self._labeller = ShardLabeller(
                teachers, self._settings, self._shards_dir, num_decoders, self._count, run=self._run
            )
        return self._labeller

    def _count(self, num_frames: int) -> None:
        self._frames_done += num_frames
        self._metrics.add_frames(num_frames)
        self.on_frames(self._frames_done)

    def _measure_speed(self, teachers: Teachers) -> float:
        """Time one batch, after one that warms up."""
        import torch

        from pipeline.label.batches import TeacherBatches

        batch_size = self._settings.batch_size
        frames = torch.randint(0, 256, (batch_size, FRAME_HEIGHT, FRAME_WIDTH, 3), dtype=torch.uint8).numpy()
        batches = TeacherBatches(teachers, batch_size)
        batches.add(frames)
        batches.finish()
        started = time.monotonic()
        batches.add(frames)
        batches.finish()
        return batch_size / (time.monotonic() - started)
