"""The temporal median of masks: each pixel is a person where it is one in most of the frames around.

Shapes: n frames of one video in order, H and W the mask's size.
"""

import time
from collections import deque

import numpy as np
from numpy.typing import NDArray

from pipeline.label.product import FrameRows, RowMaker


class MedianMasks:
    """Put the median of its neighbourhood in place of every mask that another row maker gives.

    A video's first frame stands in for those before it, and its last one for those after it: no mask depends on
    another video. Rows come up to half a window later than the inner maker gives them. A `RowMaker`.

    Args:
        inner: makes the masks.
        window: frames of a neighbourhood, odd.
    """

    def __init__(self, inner: RowMaker, window: int) -> None:
        if window < 1 or window % 2 == 0:
            raise ValueError(f"window: expected an odd number of frames, got {window}")
        self._inner, self._radius = inner, window // 2
        self._given = 0
        self._received = 0
        self._ends: deque[int] = deque()
        self._video = _VideoMedian(self._radius)
        self._own_sec = 0.0
        self.busy_sec = 0.0

    @property
    def present_sec(self) -> float:
        """How long the inner maker has been at work since it was last asked, or 0."""
        return self._inner.present_sec

    def add(self, pixels: NDArray[np.uint8]) -> list[FrameRows]:
        """Take frames uint8 [n, H, W, 3] in; return the rows whose neighbourhood is complete."""
        self._given += len(pixels)
        return self._smooth(self._inner.add(pixels))

    def end_video(self) -> list[FrameRows]:
        """Note that the next frame is of another video; return the rows that are finished."""
        self._ends.append(self._given)
        return self._smooth(self._inner.end_video())

    def finish(self) -> list[FrameRows]:
        """Return the rows of all frames that are still in here."""
        self._ends.append(self._given)
        return self._smooth(self._inner.finish())

    def _smooth(self, all_rows: list[FrameRows]) -> list[FrameRows]:
        started = time.monotonic()
        smoothed: list[FrameRows] = []
        for rows in all_rows:
            taken = 0
            while taken < rows.num_frames:
                self._end_videos(smoothed)
                left = rows.num_frames - taken
                stop = taken + (min(left, self._ends[0] - self._received) if self._ends else left)
                smoothed += self._video.add(rows.part(taken, stop))
                self._received += stop - taken
                taken = stop
        self._end_videos(smoothed)
        self._own_sec += time.monotonic() - started
        self.busy_sec = self._inner.busy_sec + self._own_sec
        return smoothed

    def _end_videos(self, smoothed: list[FrameRows]) -> None:
        """End the videos all of whose rows are there."""
        while self._ends and self._ends[0] == self._received:
            self._ends.popleft()
            smoothed += self._video.end()
            self._video = _VideoMedian(self._radius)


class _VideoMedian:
    """The masks of one video."""

    def __init__(self, radius: int) -> None:
        self._radius = radius
        self._waiting: deque[FrameRows] = deque()
        # Masks of the frames from `_first` on: those that wait, and before them those that these still look at.
        self._masks: list[NDArray[np.bool_]] = []
        self._first = 0
        self._done = 0

    def add(self, rows: FrameRows) -> list[FrameRows]:
        """Take the next rows; return those whose neighbourhood is complete."""
        assert rows.masks is not None  # for the type checker: there is a human teacher
        self._masks += list(rows.masks)
        self._waiting.append(rows)
        return self._emit(self._first + len(self._masks) - self._radius)

    def end(self) -> list[FrameRows]:
        """Return all rows that are left."""
        return self._emit(self._first + len(self._masks))

    def _emit(self, stop: int) -> list[FrameRows]:
        """Return the rows of the frames before `stop` that were not returned yet."""
        emitted = []
        while self._waiting and self._done < stop:
            rows = self._waiting.popleft()
            ready = min(rows.num_frames, stop - self._done)
            masks = np.stack([self._median(frame) for frame in range(self._done, self._done + ready)])
            emitted.append(rows.part(0, ready)._replace(masks=masks))
            if ready < rows.num_frames:
                self._waiting.appendleft(rows.part(ready, rows.num_frames))
            self._done += ready
        outlived = max(0, self._done - self._radius) - self._first
        if outlived > 0:
            del self._masks[:outlived]
            self._first += outlived
        return emitted

    def _median(self, frame: int) -> NDArray[np.bool_]:
        """Return the median around a frame, bool [H, W]."""
        last = len(self._masks) - 1
        places = range(frame - self._radius - self._first, frame + self._radius - self._first + 1)
        # The first mask that is kept is the video's first wherever a place lies before it.
        votes = np.zeros(self._masks[0].shape, np.uint16)
        for place in places:
            votes += self._masks[min(max(place, 0), last)]
        median: NDArray[np.bool_] = votes > self._radius
        return median
