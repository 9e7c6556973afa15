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


def forecast(
    groups: Sequence[SampleGroup], whole: Whole, *, seed: int, singles: Sequence[SampleGroup] = ()
) -> Forecast:
    """Scale a sample up to the whole, with the range of a bootstrap over its groups.

    A shard takes a fixed time, in which decoding has not begun or the file is finished, and a time for each frame.
    Where there are groups of one video beside larger ones, the two are told apart by the means of both kinds; without
    them all time counts as the frames', which is too much where the groups are small. Size scales with frames.

    Args:
        groups: alike in their number of videos.
        whole: what to scale to.
        seed: of the bootstrap.
        singles: further groups, of one video each.

    Raises:
        ValueError: a sample without a frame.
    """
    if sum(group.frames for group in groups) == 0:
        raise ValueError("the sample has no frame")
    kinds = [np.array(kind, np.float64) for kind in (groups, singles) if kind]  # each [groups, 4]
    point = _scale([kind.mean(axis=0, keepdims=True) for kind in kinds], whole)
    resamples = None
    if len(groups) >= MIN_GROUPS:
        generator = np.random.default_rng(seed)
        means = [
            generator.multinomial(len(kind), np.full(len(kind), 1 / len(kind)), size=NUM_RESAMPLES) @ kind / len(kind)
            for kind in kinds
        ]
        # A resample of videos that all failed forecasts nothing.
        resamples = _scale([kind[means[0][:, 1] > 0] for kind in means], whole)
    return Forecast(*(_figure(name, point, resamples) for name in ("frames", "worker_hours", "hours", "shard_bytes")))


def _scale(means: Sequence[NDArray[np.float64]], whole: Whole) -> dict[str, NDArray[np.float64]]:
    """Forecast from each resample, given as the means of its groups, and of its single videos if there are any.

    Args:
        means: each float64 [resamples, 4].
        whole: what to scale to.
    """
    videos, frames, seconds, shard_bytes = means[0].T
    total_frames = whole.known_frames + whole.unprobed_videos * frames / videos
    fixed_sec = np.zeros_like(seconds) if len(means) == 1 else _fixed_sec(means[0], means[1])
    worker_hours = (total_frames * (seconds - fixed_sec) / frames + whole.shards * fixed_sec) / 3600
    return {
        "frames": total_frames,
        "worker_hours": worker_hours,
        "hours": worker_hours / min(whole.workers, whole.shards),
        "shard_bytes": total_frames * shard_bytes / frames + whole.shards * whole.bytes_per_empty_shard,
    }


def _fixed_sec(groups: NDArray[np.float64], singles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Say what a shard takes beside its frames: between nothing and all that one with a single video takes."""
    more_frames = groups[:, 1] - singles[:, 1]
    sec_per_frame = (groups[:, 2] - singles[:, 2]) / np.where(more_frames > 0, more_frames, np.inf)
    largest = np.minimum(singles[:, 2], groups[:, 2])
    return np.where(more_frames > 0, np.clip(singles[:, 2] - sec_per_frame * singles[:, 1], 0.0, largest), 0.0)


def _figure(
    name: str, point: dict[str, NDArray[np.float64]], resamples: dict[str, NDArray[np.float64]] | None
) -> Figure:
    if resamples is None:
        return Figure(float(point[name][0]), None, None)
    tail = (1 - RANGE_LEVEL) / 2
    low, high = np.quantile(resamples[name], [tail, 1 - tail])
    return Figure(float(point[name][0]), float(low), float(high))
