"""What a table says of its runs: accuracies, gains, and how sure they are.

Shape suffixes: S seeds, V videos (of all folds, one behind the other), R resamples.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from student.scores import Scores

NUM_RESAMPLES = 2000
CONFIDENCE = 0.95
_BOOTSTRAP_SEED = 0


@dataclass(frozen=True)
class Estimate:
    """A figure as a part of 1, with the bounds of its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Hits:
    """Which videos a row's runs got right.

    Attributes:
        videos: V pairs of fold and video id; the folds of a data set share videos.
        right_SV: bool [S, V].
    """

    videos: tuple[tuple[int, str], ...]
    right_SV: NDArray[np.bool_]


def gather_hits(scores_by_seed: Sequence[Sequence[Scores]]) -> Hits:
    """Put a row's runs together: for each seed its scores, fold after fold.

    A video that one of the seeds has no score for (its file became unreadable) is left out for all.

    Raises:
        ValueError: no run.
    """
    if not scores_by_seed or not all(scores_by_seed):
        raise ValueError("hits: expected at least one run")
    right_by_seed = []
    for folds in scores_by_seed:
        right: dict[tuple[int, str], bool] = {}
        for fold, scores in enumerate(folds):
            best_V = scores.logits.argmax(axis=1) if len(scores.labels) else np.empty(0, np.int64)
            named = zip(scores.video_ids, best_V == scores.labels, strict=True)
            right |= {(fold, video_id): bool(hit) for video_id, hit in named}
        right_by_seed.append(right)
    shared = tuple(name for name in right_by_seed[0] if all(name in right for right in right_by_seed))
    return Hits(shared, np.array([[right[name] for name in shared] for right in right_by_seed], dtype=np.bool_))


def estimate_top1(hits: Hits) -> Estimate:
    """Estimate top-1 accuracy: the mean over seeds, and over folds of the mean over a fold's videos."""
    return _bootstrap(hits.right_SV.astype(np.float64), hits.videos)


def estimate_gain(hits: Hits, baseline: Hits) -> Estimate:
    """Estimate by how much a row is better than its baseline, video by video and seed by seed.

    Seeds are paired in order; videos or seeds that only one of the two has are left out.
    """
    columns = {name: column for column, name in enumerate(baseline.videos)}
    shared = [(mine, columns[name]) for mine, name in enumerate(hits.videos) if name in columns]
    mine, theirs = (list(pair) for pair in zip(*shared, strict=True)) if shared else ([], [])
    num_seeds = min(len(hits.right_SV), len(baseline.right_SV))
    difference_SV = hits.right_SV[:num_seeds, mine].astype(np.float64) - baseline.right_SV[:num_seeds, theirs]
    return _bootstrap(difference_SV, [hits.videos[column] for column in mine])


def _bootstrap(values_SV: NDArray[np.float64], videos: Sequence[tuple[int, str]]) -> Estimate:
    """Take the mean over seeds and folds, and its percentiles when videos and seeds are drawn again with replacement.

    Drawing both keeps the chance of the test videos and, with several seeds, that of training in the interval. A video
    of several folds is drawn for all of them at once.
    """
    num_seeds, num_videos = values_SV.shape
    if num_videos == 0:
        raise ValueError("bootstrap: expected at least one video")
    _, fold_V = np.unique([fold for fold, _ in videos], return_inverse=True)
    names, name_V = np.unique([video_id for _, video_id in videos], return_inverse=True)
    generator = np.random.default_rng(_BOOTSTRAP_SEED)
    seed_shares_RS = generator.multinomial(num_seeds, [1 / num_seeds] * num_seeds, size=NUM_RESAMPLES) / num_seeds
    means_R = np.empty(NUM_RESAMPLES)
    for number in range(NUM_RESAMPLES):  # one resample at a time: all at once would be R x V numbers
        times_drawn_V = np.bincount(generator.integers(len(names), size=len(names)), minlength=len(names))[name_V]
        means_R[number] = _mean_of_folds(seed_shares_RS[number] @ values_SV, times_drawn_V, fold_V)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(means_R, [tail, 1 - tail])
    mean = _mean_of_folds(values_SV.mean(axis=0), np.ones(num_videos, np.int64), fold_V)
    return Estimate(value=mean, low=float(low), high=float(high))


def _mean_of_folds(values_V: NDArray[np.float64], times_drawn_V: NDArray[np.int64], fold_V: NDArray[np.int64]) -> float:
    """Return the mean over folds of their videos' weighted means; a fold of which none is drawn is left out."""
    weights = np.bincount(fold_V, weights=times_drawn_V)
    sums = np.bincount(fold_V, weights=times_drawn_V * values_V)
    return float(np.mean(sums[weights > 0] / weights[weights > 0]))
