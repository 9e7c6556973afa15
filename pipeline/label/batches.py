"""The teachers over a stream of frames, in batches of one fixed size."""

import time
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.label.product import FrameRows
from pipeline.label.teacher_loading import Teachers, mask_fault, scene_form_fault
from pipeline.video import FRAME_HEIGHT, FRAME_WIDTH


class _Pending(NamedTuple):
    """A batch whose results are on their way from the device: its tensors on the host, and when they are there."""

    results: tuple[Tensor | None, ...]
    num_frames: int
    arrived: torch.cuda.Event | None


class TeacherBatches:
    """Run the teachers over frames in batches of one fixed size.

    Every batch has `batch_size` frames, the last one filled up with what an earlier one left: a frame's label then
    comes from the same kernels whatever its neighbours are, so that a resumed run's shards equal an unbroken one's.
    Each batch is uploaded once, as uint8, for all teachers. On a GPU the results of a batch are fetched when the next
    one is under way, so that the GPU does not wait for the host.

    Attributes:
        busy_sec: time spent in the teachers; on a GPU, time spent waiting for their results.
    """

    def __init__(self, teachers: Teachers, batch_size: int) -> None:
        self._teachers = teachers
        on_gpu = teachers.device.type == "cuda"
        # Two, so that one can be filled while the other is still being uploaded.
        shape = (batch_size, FRAME_HEIGHT, FRAME_WIDTH, 3)
        self._buffers = [torch.zeros(shape, dtype=torch.uint8, pin_memory=on_gpu) for _ in range(2 if on_gpu else 1)]
        self._filled = 0
        self._pending: _Pending | None = None
        self.busy_sec = 0.0
        self._started_sec: float | None = None

    @property
    def present_sec(self) -> float:
        """How long the teachers have been at work since they were last asked, or 0; for other threads."""
        started = self._started_sec
        return 0.0 if started is None else time.monotonic() - started

    def add(self, pixels: NDArray[np.uint8]) -> list[FrameRows]:
        """Take frames uint8 [n, H, W, 3] in; return the rows of every batch that is finished, in order."""
        rows = []
        while len(pixels):
            buffer = self._buffers[0].numpy()
            taken = min(len(pixels), len(buffer) - self._filled)
            buffer[self._filled : self._filled + taken] = pixels[:taken]
            self._filled += taken
            pixels = pixels[taken:]
            if self._filled == len(buffer):
                rows += self._run()
        return rows

    def end_video(self) -> list[FrameRows]:
        """Do nothing: a batch may hold frames of several videos."""
        return []

    def finish(self) -> list[FrameRows]:
        """Return the rows of all frames that are still in here."""
        rows = self._run() if self._filled else []
        return rows + self._fetch()

    def _run(self) -> list[FrameRows]:
        """Start the batch that is filled; return the rows of those before it, and on a processor its own.

        Raises:
            ValueError: a teacher gave labels in another form than agreed.
        """
        started = self._started_sec = time.monotonic()
        frames_BHWC = self._buffers[0].to(self._teachers.device, non_blocking=True)
        human, scene = self._teachers.human, self._teachers.scene
        masks_BHW = human.predict_masks(frames_BHWC) if human else None
        scenes = scene.predict_scenes(frames_BHWC) if scene else None
        # Some form may be right for the frames that were tried at the start, and another come of these.
        fault = mask_fault(masks_BHW, frames_BHWC.shape[:3]) if human else None
        fault = fault or (scene_form_fault(scenes, len(frames_BHWC)) if scenes else None)
        if fault:
            raise ValueError(fault)
        results = (masks_BHW, *((scenes.indices_BK, scenes.probs_BK.float()) if scenes else (None, None)))
        arrived = None
        if frames_BHWC.is_cuda:
            results = tuple(result if result is None else result.to("cpu", non_blocking=True) for result in results)
            arrived = torch.cuda.Event()
            arrived.record()
        self._started_sec = None
        self.busy_sec += time.monotonic() - started
        before = self._fetch()
        self._pending = _Pending(results, self._filled, arrived)
        self._filled = 0
        self._buffers.reverse()
        return before if arrived is not None else before + self._fetch()

    def _fetch(self) -> list[FrameRows]:
        """Wait for the pending batch, if there is one, and return its rows."""
        if self._pending is None:
            return []
        started = self._started_sec = time.monotonic()
        results, kept, arrived = self._pending
        self._pending = None
        if arrived is not None:
            arrived.synchronize()
        masks, indices, probs = (result if result is None else result[:kept].cpu().numpy() for result in results)
        self._started_sec = None
        self.busy_sec += time.monotonic() - started
        return [FrameRows(kept, masks, indices, probs)]
