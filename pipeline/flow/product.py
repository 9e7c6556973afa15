"""Flow as a product of workers: the pairs of frames side by side in threads, the rows in the frames' order."""

import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import WorkspaceError
from pipeline.flow.coding import ZERO, encode, quantise
from pipeline.flow.methods import compute_flow, require_optflow
from pipeline.flow.settings import FlowSettings
from pipeline.label.product import FrameRows
from pipeline.video import FRAME_HEIGHT, FRAME_WIDTH

# Pairs in hand for each thread, so that none waits at the end of a chunk of frames.
_PAIRS_PER_THREAD = 4


class FlowProduct:
    """Threads that compute flow; see `pipeline.label.product.LoadedProduct`.

    Each pair is one thread's work, and OpenCV's own threads are off, so that a flow's bytes depend on its two frames
    alone.
    """

    def __init__(self, settings: FlowSettings, num_threads: int) -> None:
        self._settings = settings
        self._num_threads = num_threads
        self._threads = ThreadPoolExecutor(num_threads, thread_name_prefix="flow")
        self.ingredients = {"flow": settings.describe(cv2.__version__)}
        self.stage = "flow"
        self.batch_size: int | None = None
        self.trial_frames = 2 * num_threads + 1
        self._still = Future[bytes]()
        self._still.set_result(encode(np.full((2, FRAME_HEIGHT, FRAME_WIDTH), ZERO, np.uint8), settings.quality))

    def make_rows(self) -> "FlowRows":
        """Begin the flows of a shard."""
        return FlowRows(self, _PAIRS_PER_THREAD * self._num_threads)

    def start(self, first_HW: NDArray[np.uint8], second_HW: NDArray[np.uint8]) -> Future[bytes]:
        """Have the encoded flow between two gray frames computed.

        Raises:
            WorkspaceError: the machine has no thread for it, which is no video's doing.
        """
        try:
            return self._threads.submit(self._compute, first_HW, second_HW)
        except RuntimeError as error:
            raise WorkspaceError(
                f"flow cannot be computed ({error}); see that the machine has threads to spare, then run the same "
                "command again"
            ) from error

    def close(self) -> None:
        """Drop the pairs that wait: Python would compute them all before the process ends."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    @property
    def still(self) -> Future[bytes]:
        """The encoded flow of rest."""
        return self._still

    def _compute(self, first_HW: NDArray[np.uint8], second_HW: NDArray[np.uint8]) -> bytes:
        return encode(quantise(compute_flow(self._settings.method, first_HW, second_HW)), self._settings.quality)


class FlowRows:
    """The flows of one shard's frames; see `pipeline.label.product.RowMaker`.

    Row i is the motion from frame i to frame i + 1. A video's last row repeats the one before it; the row of a video
    that has one frame is rest.
    """

    def __init__(self, product: FlowProduct, max_pending: int) -> None:
        self._product = product
        self._max_pending = max_pending
        self._pending: deque[Future[bytes]] = deque()
        self._last_frame: NDArray[np.uint8] | None = None
        self._last_flow = product.still
        self.busy_sec = 0.0
        self._started_sec: float | None = None

    @property
    def present_sec(self) -> float:
        """How long the stream has stood still for the pair in hand, or 0; for other threads."""
        started = self._started_sec
        return 0.0 if started is None else time.monotonic() - started

    def add(self, pixels: NDArray[np.uint8]) -> list[FrameRows]:
        """Take frames uint8 [n, H, W, 3] in; return the rows that need not be waited for any longer, in order."""
        flows: list[bytes] = []
        for frame in pixels:
            gray = np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), np.uint8)
            if self._last_frame is not None:
                self._last_flow = self._product.start(self._last_frame, gray)
                self._pending.append(self._last_flow)
            self._last_frame = gray
            flows += self._collect(self._max_pending)
        return _rows_of(flows)

    def end_video(self) -> list[FrameRows]:
        """Give the video's last frame its row; the next frame is of another video."""
        if self._last_frame is not None:
            self._pending.append(self._last_flow)
        self._last_frame, self._last_flow = None, self._product.still
        return _rows_of(self._collect(self._max_pending))

    def finish(self) -> list[FrameRows]:
        """End the video in hand and return the rows of all frames that are still in here."""
        return [*self.end_video(), *_rows_of(self._collect(0))]

    def _collect(self, num_left: int) -> list[bytes]:
        """Wait for the oldest flows until no more than so many are in hand."""
        started = self._started_sec = time.monotonic()
        flows = []
        while len(self._pending) > num_left:
            flows.append(self._pending.popleft().result())
            self._started_sec = time.monotonic()
        self._started_sec = None
        self.busy_sec += time.monotonic() - started
        return flows


def _rows_of(flows: list[bytes]) -> list[FrameRows]:
    return [FrameRows(len(flows), flows=tuple(flows))] if flows else []


def load_flow_product(settings: FlowSettings, num_threads: int) -> FlowProduct:
    """Prepare OpenCV for single pairs in threads of ours.

    Raises:
        WorkspaceError: OpenCV comes without its contributed modules.
    """
    cv2.setNumThreads(1)
    cv2.ocl.setUseOpenCL(False)
    require_optflow()
    return FlowProduct(settings, num_threads)
