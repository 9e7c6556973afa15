"""Choose which frames of a video are read: pure functions of the number of frames and a generator."""

import numpy as np
from numpy.typing import NDArray


def sample_segments(num_frames: int, num_segments: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Choose one random frame in each of `num_segments` equal parts of a video, for training.

    Part k holds the frames floor(k N / T) to floor((k + 1) N / T) - 1, so that every frame of the video can be chosen;
    TSN's own code cuts parts of floor(N / T) frames and never sees the remainder. Where the video is shorter than T
    frames, a part that would be empty holds the frame at its left edge.

    Returns:
        int64 [num_segments], ascending, each in 0 .. num_frames - 1.

    Raises:
        ValueError: fewer than one frame or segment.

    Source: Temporal Segment Networks, section 3.1.
    """
    edges = _part_edges(num_frames, num_segments)
    first, last = edges[:-1], np.maximum(edges[1:], edges[:-1] + 1)
    return generator.integers(first, last, dtype=np.int64)


def centre_segments(num_frames: int, num_segments: int) -> NDArray[np.int64]:
    """Choose the centre frame of each of `num_segments` equal parts of a video, for evaluation.

    Returns:
        int64 [num_segments], ascending, each in 0 .. num_frames - 1: floor((2k + 1) N / 2T).

    Raises:
        ValueError: fewer than one frame or segment.
    """
    _part_edges(num_frames, num_segments)
    return (2 * np.arange(num_segments, dtype=np.int64) + 1) * num_frames // (2 * num_segments)


def _part_edges(num_frames: int, num_segments: int) -> NDArray[np.int64]:
    """Return the num_segments + 1 edges of the equal parts, after checking both numbers."""
    if num_frames < 1 or num_segments < 1:
        raise ValueError(f"expected at least 1 frame and 1 segment, found {num_frames} frames, {num_segments} segments")
    return np.arange(num_segments + 1, dtype=np.int64) * num_frames // num_segments
