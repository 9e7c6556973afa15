"""From a labelled sample to the cost of the whole: pure arithmetic, with a range."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# The range is the middle 80 % of what resampled samples forecast.
RANGE_LEVEL = 0.8
NUM_RESAMPLES = 2000
# From fewer groups a bootstrap says nothing.
MIN_GROUPS = 3


class SampleGroup(NamedTuple):
    """A few videos of the sample that one worker labelled together, as one small shard.

    Attributes:
        videos: in it, those without labels included.
        frames: labelled.
        seconds: of one worker.
        shard_bytes: on disk, beyond those of a shard without frames.
    """

    videos: int
    frames: int
    seconds: float
    shard_bytes: int


@dataclass(frozen=True)
class Whole:
    """What is to be forecast.

    Attributes:
        known_frames: of the videos that were probed.
        unprobed_videos: whose frames are taken to be as many as the sample's on average.
        workers: that label side by side.
        shards: planned; no more workers than that have work.
        bytes_per_empty_shard: on disk, with its receipt.
    """

    known_frames: int
    unprobed_videos: int
    workers: int
    shards: int
    bytes_per_empty_shard: int


class Figure(NamedTuple):
    """A forecast: the estimate, and the ends of its range, None where the sample is too small for one."""

    estimate: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Forecast:
    """What labelling everything would take: frames, worker-hours (all workers' time together), hours, bytes."""

    frames: Figure
    worker_hours: Figure
    hours: Figure
    shard_bytes: Figure


def forecast(groups: Sequence[SampleGroup], whole: Whole, *, seed: int) -> Forecast:
    """Scale a sample up to the whole, with the range of a bootstrap over its groups.

    Speed and size scale with frames: seconds a frame and bytes a frame of the sample, times the frames of the whole.

    Raises:
        ValueError: a sample without a frame.
    """
    if sum(group.frames for group in groups) == 0:
        raise ValueError("the sample has no frame")
    columns = np.array(groups, np.float64)  # [groups, 4]
    point = _scale(np.ones((1, len(groups))), columns, whole)
    resamples = None
    if len(groups) >= MIN_GROUPS:
        shares = np.full(len(groups), 1 / len(groups))
        counts = np.random.default_rng(seed).multinomial(len(groups), shares, size=NUM_RESAMPLES)
        # A resample of videos that all failed forecasts nothing.
        resamples = _scale(counts[counts @ columns[:, 1] > 0].astype(np.float64), columns, whole)
    return Forecast(*(_figure(name, point, resamples) for name in ("frames", "worker_hours", "hours", "shard_bytes")))


def _scale(counts: NDArray[np.float64], columns: NDArray[np.float64], whole: Whole) -> dict[str, NDArray[np.float64]]:
    """Forecast from each resample, given as how often it has each group: float64 [resamples, groups]."""
    videos, frames, seconds, shard_bytes = (counts @ columns).T
    total_frames = whole.known_frames + whole.unprobed_videos * frames / videos
    worker_hours = total_frames * seconds / frames / 3600
    return {
        "frames": total_frames,
        "worker_hours": worker_hours,
        "hours": worker_hours / min(whole.workers, whole.shards),
        "shard_bytes": total_frames * shard_bytes / frames + whole.shards * whole.bytes_per_empty_shard,
    }


def _figure(
    name: str, point: dict[str, NDArray[np.float64]], resamples: dict[str, NDArray[np.float64]] | None
) -> Figure:
    if resamples is None:
        return Figure(float(point[name][0]), None, None)
    tail = (1 - RANGE_LEVEL) / 2
    low, high = np.quantile(resamples[name], [tail, 1 - tail])
    return Figure(float(point[name][0]), float(low), float(high))
