"""Decoded clips kept in memory: a small data set is read once and not in every epoch."""

import numpy as np
from numpy.typing import NDArray

# Longer videos are not worth it: three frames an epoch are wanted of them, and each takes the room of many short ones.
MAX_CLIP_FRAMES = 64


class FrameCache:
    """Whole clips as uint8 arrays, up to a number of bytes; first come, first kept.

    Nothing is thrown out: an epoch visits every clip once, and there a cache that replaces the oldest entry never hits.
    One process has one cache; workers do not share theirs.

    Args:
        max_bytes: room for pixels; 0 keeps nothing.
    """

    def __init__(self, max_bytes: int) -> None:
        if max_bytes < 0:
            raise ValueError(f"max_bytes: expected 0 or more, found {max_bytes}")
        self._max_bytes = max_bytes
        self._held_bytes = 0
        self._clips: dict[str, NDArray[np.uint8]] = {}

    def get(self, video_id: str) -> NDArray[np.uint8] | None:
        """Return a clip's frames [num_frames, H, W, 3], or None."""
        return self._clips.get(video_id)

    def has_room(self, num_frames: int, frame_bytes: int) -> bool:
        """Tell whether a clip of this size would be kept."""
        return num_frames <= MAX_CLIP_FRAMES and self._held_bytes + num_frames * frame_bytes <= self._max_bytes

    def put(self, video_id: str, frames: NDArray[np.uint8]) -> None:
        """Keep a clip; ValueError where `has_room` says no."""
        if not self.has_room(len(frames), frames[0].nbytes):
            raise ValueError(f"clip {video_id}: no room for {frames.nbytes} bytes")
        self._clips[video_id] = frames
        self._held_bytes += frames.nbytes
