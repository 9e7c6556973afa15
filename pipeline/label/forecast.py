"""From a labelled sample to the cost of the whole: pure arithmetic, with a range."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# The range is the middle 80 % of what resampled samples forecast, widened for the smallness of the sample.
RANGE_LEVEL = 0.8
NUM_RESAMPLES = 2000
# From fewer groups a bootstrap says nothing.
MIN_GROUPS = 3


class SampleGroup(NamedTuple):
    """What one worker did of a few videos that it was given together, as one small shard.

    A group that was not done when the sample's time was up counts as far as it was: its frames by then, and the seconds
    they took. To leave it out would leave out the long videos.

    Attributes:
        frames: labelled.
        seconds: of one worker.
        shard_bytes: on disk, beyond those of a shard without frames; None where they cannot be seen.
    """

    frames: int
    seconds: float
    shard_bytes: int | None


@dataclass(frozen=True)
class Whole:
    """What is to be forecast.

    Attributes:
        known_frames: of the videos that were probed.
        unprobed_videos: whose frames are taken to be as many as those of `sampled_frames` on average.
        sampled_frames: of each of some videos, chosen at random from the unprobed ones.
        workers: that label side by side.
        shards: planned; no more workers than that have work.
        other_bytes: on disk, that do not grow with frames: receipts, and shards without frames.
    """

    known_frames: int
    unprobed_videos: int
    sampled_frames: Sequence[int]
    workers: int
    shards: int
    other_bytes: int


class Figure(NamedTuple):
    """A forecast: the estimate, and the ends of its range, None where the sample is too small for one."""

    estimate: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Forecast:
    """What labelling everything would take: frames, worker-hours (all workers' time together), hours, bytes.

    `shard_bytes` is None where no group's bytes could be seen.
    """

    frames: Figure
    worker_hours: Figure
    hours: Figure
    shard_bytes: Figure | None


def forecast(
    groups: Sequence[SampleGroup], whole: Whole, *, seed: int, singles: Sequence[SampleGroup] = ()
) -> Forecast:
    """Scale a sample up to the whole, with the range of a bootstrap over its groups, and over the videos' frames.

    A shard takes a fixed time, in which decoding has not begun or the file is finished, and a time for each frame.
    Where there are groups of one video beside larger ones, the two are told apart by the means of both kinds; without
    them all time counts as the frames', which is too much where the groups are small. Size scales with frames.

    Args:
        groups: alike in the number of videos that they were to have.
        whole: what to scale to.
        seed: of the bootstrap.
        singles: further groups, of one video each.

    Raises:
        ValueError: a sample without a frame.
    """
    if sum(group.frames for group in groups) == 0:
        raise ValueError("the sample has no frame")
    generator = np.random.default_rng(seed)
    has_range = len(groups) >= MIN_GROUPS
    total = _total_frames(whole, generator)
    frames = _figure(total[:1], total[1:] if has_range else None, len(whole.sampled_frames))
    timed = [np.array([(group.frames, group.seconds) for group in kind], np.float64) for kind in (groups, singles)]
    point = _worker_hours([kind.mean(axis=0, keepdims=True) for kind in timed if len(kind)], total[:1], whole.shards)
    resamples = None
    if has_range:
        means = [_resampled_means(kind, generator) for kind in timed if len(kind)]
        # A resample of videos that all failed forecasts nothing.
        usable = means[0][:, 0] > 0
        resamples = _worker_hours([kind[usable] for kind in means], total[1:][usable], whole.shards)
    worker_hours = _figure(point, resamples, len(groups))
    side_by_side = min(whole.workers, whole.shards)
    hours = Figure(*(None if end is None else end / side_by_side for end in worker_hours))  # type: ignore[arg-type]
    return Forecast(frames, worker_hours, hours, _forecast_bytes([*groups, *singles], whole, total, generator))


def _total_frames(whole: Whole, generator: np.random.Generator) -> NDArray[np.float64]:
    """Return the frames of the whole, float64 [1 + resamples]: first as the sample has it, then as resamples have it.

    The sample's own videos are known: the deviation shrinks as it becomes the whole.
    """
    counts = np.array(whole.sampled_frames, np.float64)
    if not whole.unprobed_videos or not len(counts):
        return np.full(1 + NUM_RESAMPLES, float(whole.known_frames))
    mean = counts.mean()
    unseen = np.sqrt(max(0.0, 1 - len(counts) / whole.unprobed_videos))
    means = mean + (_resampled_means(counts[:, None], generator)[:, 0] - mean) * unseen
    return whole.known_frames + whole.unprobed_videos * np.concatenate([[mean], means])


def _resampled_means(rows: NDArray[np.float64], generator: np.random.Generator) -> NDArray[np.float64]:
    """Draw as many rows as there are, with replacement, over and over; return their means, [resamples, columns]."""
    draws = generator.multinomial(len(rows), np.full(len(rows), 1 / len(rows)), size=NUM_RESAMPLES)
    means: NDArray[np.float64] = draws @ rows / len(rows)
    return means


def _worker_hours(
    means: Sequence[NDArray[np.float64]], total_frames: NDArray[np.float64], num_shards: int
) -> NDArray[np.float64]:
    """Forecast from each resample, given as the means of its groups, and of its single videos if there are any.

    Args:
        means: frames and seconds, each float64 [resamples, 2].
        total_frames: float64 [resamples].
        num_shards: of the whole.
    """
    frames, seconds = means[0].T
    fixed_sec = np.zeros_like(seconds) if len(means) == 1 else _fixed_sec(means[0], means[1])
    return (total_frames * (seconds - fixed_sec) / frames + num_shards * fixed_sec) / 3600


def _fixed_sec(groups: NDArray[np.float64], singles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Say what a shard takes beside its frames: between nothing and all that one with a single video takes."""
    more_frames = groups[:, 0] - singles[:, 0]
    sec_per_frame = (groups[:, 1] - singles[:, 1]) / np.where(more_frames > 0, more_frames, np.inf)
    largest = np.minimum(singles[:, 1], groups[:, 1])
    return np.where(more_frames > 0, np.clip(singles[:, 1] - sec_per_frame * singles[:, 0], 0.0, largest), 0.0)


def _forecast_bytes(
    groups: Sequence[SampleGroup], whole: Whole, total_frames: NDArray[np.float64], generator: np.random.Generator
) -> Figure | None:
    seen = [(group.frames, group.shard_bytes) for group in groups if group.shard_bytes is not None and group.frames]
    if not seen:
        return None
    rows = np.array(seen, np.float64)
    means = np.concatenate([rows.mean(axis=0, keepdims=True), _resampled_means(rows, generator)])
    made = total_frames * means[:, 1] / means[:, 0] + whole.other_bytes
    return _figure(made[:1], made[1:] if len(rows) >= MIN_GROUPS else None, len(rows))


def _figure(point: NDArray[np.float64], resamples: NDArray[np.float64] | None, sample_size: int) -> Figure:
    """Join an estimate and its range; a bootstrap of few draws is too narrow, by about what Student's t is wider."""
    estimate = float(point[0])
    if resamples is None:
        return Figure(estimate, None, None)
    tail = (1 - RANGE_LEVEL) / 2
    low, high = np.quantile(resamples, [tail, 1 - tail])
    if not 0 < low <= high or sample_size < 2:
        return Figure(estimate, float(low), float(high))
    widening = _widening(sample_size)
    # By factors: neither end falls below nothing.
    return Figure(estimate, *(float(estimate * (end / estimate) ** widening) for end in (low, high)))


def _widening(sample_size: int) -> float:
    """Return Student's t over the normal deviate, times what the bootstrap's variance lacks.

    Fisher's expansion of t (Abramowitz and Stegun, 26.7.5): within 3 % from two degrees of freedom on.
    """
    z, degrees = NormalDist().inv_cdf(0.5 + RANGE_LEVEL / 2), sample_size - 1
    t = z + (z**3 + z) / (4 * degrees) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * degrees**2)
    return t / z * (sample_size / degrees) ** 0.5
