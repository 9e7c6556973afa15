"""One worker: it holds the teachers, or another product, and makes the shards it is given, with and without Ray.

The driver of a Ray cluster imports this module for the class's name alone; torch is loaded when a worker starts.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pipeline.label.blame import IN_PROCESS
from pipeline.label.description import WorkerDescription
from pipeline.label.metrics import NoMetrics, WorkerMetrics
from pipeline.label.product import FrameRows, LoadedProduct, Product
from pipeline.label.settings import LabelSettings
from pipeline.label.tasks import ShardTask
from pipeline.local_copies import sweep_scratch
from pipeline.malloc import keep_freed_memory
from pipeline.memory import count_memory_bytes
from pipeline.processors import count_processors, let_waiting_threads_sleep
from pipeline.shards import Receipt
from pipeline.shards.schema import SCHEMA_VERSION
from pipeline.store import is_local
from pipeline.video import DECODER, FRAME_HEIGHT, FRAME_RESIZE, FRAME_WIDTH

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.label.labeller import ShardLabeller


class WorkerProgress(NamedTuple):
    """How far a worker is: frames labelled so far, and how long its product has been at the present ones."""

    frames: int
    teacher_sec: float


class ShardWorker:
    """Make shard after shard of a product that is loaded once, when it is first needed.

    For a store it begins by sweeping the machine's scratch folder (`sweep_scratch`): its own half files lie there.

    Args:
        product: what is made of the frames.
        label_settings: how.
        shards_dir: where shards go; the same folder for every worker.
        num_cpus: processors it may use: so many threads for the product, and as many decoders.
        make_metrics: makes what is told of the work, in the worker's own process.
        run: names the driver's run in the journals.
    """

    def __init__(
        self,
        product: Product,
        label_settings: LabelSettings,
        shards_dir: Path,
        num_cpus: int,
        make_metrics: Callable[[], WorkerMetrics] = NoMetrics,
        run: str = IN_PROCESS,
    ) -> None:
        self._product = product
        self._settings = label_settings
        self._shards_dir = shards_dir
        self._num_cpus = num_cpus
        self._metrics = make_metrics()
        self._run = run
        self._frames_done = 0
        self._loaded: LoadedProduct | None = None
        self._labeller: ShardLabeller | None = None
        self.on_frames: Callable[[int], None] = lambda _: None
        if not is_local(shards_dir):
            sweep_scratch()

    def describe(self, *, measure: bool = False) -> WorkerDescription:
        """Say what decides the rows' values here, and with `measure` how fast they are made.

        Raises:
            KinetError: the product cannot be loaded.
        """
        product = self._load()
        ingredients = {
            "schema": str(SCHEMA_VERSION),
            "frame_resize": FRAME_RESIZE,
            "decoder": DECODER,
            **product.ingredients,
        }
        return WorkerDescription(ingredients, product.batch_size, _measure_speed(product) if measure else None)

    def label(self, task: ShardTask) -> Receipt:
        """Label one shard and leave its receipt; see `ShardLabeller.label_shard`."""
        receipt = self._started().label_shard(task)
        self._metrics.add_shard(receipt)
        return receipt

    def predict(self, clips: Sequence[NDArray[np.uint8]]) -> list[FrameRows]:
        """Make the rows of clips, frames uint8 [n, H, W, 3] each, that go into no shard; return them in order."""
        rows = self._load().make_rows()
        made = []
        for clip in clips:
            made += [*rows.add(clip), *rows.end_video()]
        return [*made, *rows.finish()]

    def progress(self) -> WorkerProgress:
        """Say how far it is; for other threads too."""
        return WorkerProgress(self._frames_done, 0.0 if self._labeller is None else self._labeller.teacher_sec)

    def close(self) -> None:
        """End the product's work and the decoding processes."""
        if self._loaded is not None:
            self._loaded.close()
        if self._labeller is not None:
            self._labeller.close()

    def _load(self) -> LoadedProduct:
        if self._loaded is None:
            let_waiting_threads_sleep()
            keep_freed_memory()
            self._loaded = self._product.load(self._settings, self._num_cpus)
        return self._loaded

    def _started(self) -> ShardLabeller:
        if self._labeller is None:
            from pipeline.label.labeller import ShardLabeller

            num_decoders = self._settings.decoders_for(self._num_cpus)
            memory_bytes = count_memory_bytes() * self._num_cpus // max(self._num_cpus, count_processors())
            limits = self._settings.limits_for(num_decoders, memory_bytes)
            settings = dataclasses.replace(self._settings, decode_limits=limits)
            self._labeller = ShardLabeller(
                self._load(), settings, self._shards_dir, num_decoders, self._count, run=self._run
            )
        return self._labeller

    def _count(self, num_frames: int) -> None:
        self._frames_done += num_frames
        self._metrics.add_frames(num_frames)
        self.on_frames(self._frames_done)


def _measure_speed(product: LoadedProduct) -> float:
    """Time the trial frames, after a first time that warms up; return frames a second."""
    import numpy as np

    # Blocks that move a pixel a frame: over noise, flow would take several times as long as over a video.
    blocks = np.random.default_rng(0).integers(0, 256, (FRAME_HEIGHT // 4, FRAME_WIDTH // 4, 3), np.uint8)
    ground = blocks.repeat(4, axis=0).repeat(4, axis=1)
    frames = np.stack([np.roll(ground, shift, axis=1) for shift in range(product.trial_frames)])
    seconds = 0.0
    for _ in range(2):
        started = time.monotonic()
        rows = product.make_rows()
        rows.add(frames)
        rows.finish()
        seconds = time.monotonic() - started
    return product.trial_frames / seconds
