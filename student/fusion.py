"""Late fusion: the weighted sum of several streams' scores, by video id, before the softmax.

Shape suffixes: V videos, K classes.
"""

import hashlib
import itertools
from collections.abc import Sequence, Set
from dataclasses import dataclass, replace

import numpy as np

from student.scores import MissingVideo, ScoreError, Scores, measure_accuracy

_NUM_NAMED = 3


@dataclass(frozen=True)
class Sweep:
    """Which weights a search found best, and on how many videos it looked.

    Attributes:
        weights: one a stream, the first always 1.
        top1: on the videos that the search saw. It flatters: report what the weights give elsewhere.
        videos: that the search saw.
    """

    weights: tuple[float, ...]
    top1: float
    videos: int


def fuse_scores(streams: Sequence[Scores], weights: Sequence[float]) -> Scores:
    """Add up the streams' logits with their weights; the streams must have the same videos, in any order.

    What one stream says to be missing is missing: none of them has a score for it. One that knows all is enough.

    Raises:
        ValueError: not one weight a stream, or weights that `check_weights` refuses.
        ScoreError: videos, labels or numbers of classes that differ; the first few are named.
    """
    if len(weights) != len(streams):
        raise ValueError(f"weights: expected {len(streams)} numbers, found {tuple(weights)}")
    check_weights(weights)
    aligned = align_streams(streams)
    with np.errstate(over="ignore"):
        logits_VK = sum(np.float32(weight) * stream.logits for weight, stream in zip(weights, aligned, strict=True))
    if not np.isfinite(logits_VK).all():
        raise ValueError(f"weights: the sum of the scores by {tuple(weights)} is beyond float32; give smaller ones")
    first = aligned[0]
    missing, known = _join_missing(aligned)
    return Scores(first.video_ids, np.asarray(logits_VK, np.float32), first.labels, missing, known)


def check_weights(weights: Sequence[float]) -> None:
    """Raise ValueError unless all weights are finite numbers of 0 or more, and one of them is above 0, in float32."""
    with np.errstate(over="ignore", under="ignore"):
        single = np.array(weights, np.float32)
    if not (np.isfinite(single).all() and (single >= 0).all() and (single > 0).any()):
        raise ValueError(f"weights: expected finite numbers of 0 or more, one of them above 0, found {tuple(weights)}")


def keep_common(streams: Sequence[Scores]) -> list[Scores]:
    """Leave out of every stream the videos that another one lacks; they become missing, named `not_in_all`."""
    common = set.intersection(*(set(stream.video_ids) for stream in streams))
    everything = {video_id for stream in streams for video_id in stream.video_ids}
    told, known = _join_missing(streams)
    missing = {video.video_id: video for video in told}
    for video_id in sorted(everything - common):
        missing.setdefault(video_id, MissingVideo(video_id, "not_in_all", "one of the score files lacks it"))
    return [
        replace(
            _take(stream, [i for i, name in enumerate(stream.video_ids) if name in common], tuple(missing.values())),
            missing_known=known,
        )
        for stream in streams
    ]


def align_streams(streams: Sequence[Scores], names: Sequence[str] = ()) -> list[Scores]:
    """Bring all streams into the first one's order of videos; raises ScoreError as `fuse_scores`.

    Args:
        streams: one or more.
        names: of the streams, for messages; none calls them stream 1, stream 2, ...
    """
    names = names or [f"stream {number}" for number in range(1, len(streams) + 1)]
    first, row_of_name = streams[0], _list_rows(streams[0], names[0])
    aligned = [first]
    for name, stream in zip(names[1:], streams[1:], strict=True):
        rows = _list_rows(stream, name)
        lacks = {name: row_of_name.keys() - rows.keys(), names[0]: rows.keys() - row_of_name.keys()}
        if any(lacks.values()):
            told = "; ".join(f"{who} lacks {len(ids)} videos ({name_some(ids)})" for who, ids in lacks.items() if ids)
            raise ScoreError(f"{told}: evaluate both on the same split, or fuse what they share by --common")
        if stream.logits.shape[1] != first.logits.shape[1]:
            raise ScoreError(
                f"{names[0]} and {name}: {first.logits.shape[1]} and {stream.logits.shape[1]} classes; both must be "
                "scores of the same classes"
            )
        other = _take(stream, [rows[video_id] for video_id in first.video_ids], stream.missing)
        wrong = [video_id for video_id, a, b in zip(first.video_ids, first.labels, other.labels, strict=True) if a != b]
        if wrong:
            raise ScoreError(
                f"{names[0]} and {name}: {len(wrong)} videos have another true class in each ({name_some(wrong)}); "
                "they are of different manifests"
            )
        aligned.append(other)
    return aligned


def sweep_weights(streams: Sequence[Scores], grid: Sequence[float]) -> Sweep:
    """Try every combination of weights; of equals the first in the grid's order is taken. Raises as `fuse_scores`."""
    best: Sweep | None = None
    for rest in itertools.product(grid, repeat=len(streams) - 1):
        weights = (1.0, *rest)
        figures = measure_accuracy(fuse_scores(streams, weights))
        if best is None or figures.top1 > best.top1:
            best = Sweep(weights, figures.top1, figures.videos)
    if best is None:
        raise ValueError("sweep: expected at least one weight to try")
    return best


def split_halves(scores: Scores) -> tuple[Scores, Scores]:
    """Part videos, the missing ones too, by a hash of their ids: the same halves for every stream and every time.

    Raises:
        ScoreError: so few videos that one half has none with a score.
    """
    rows: tuple[list[int], list[int]] = ([], [])
    missing: tuple[list[MissingVideo], list[MissingVideo]] = ([], [])
    for row, video_id in enumerate(scores.video_ids):
        rows[_half_of(video_id)].append(row)
    for video in scores.missing:
        missing[_half_of(video.video_id)].append(video)
    if not rows[0] or not rows[1]:
        raise ScoreError(
            f"{len(scores.video_ids)} videos: too few to part, one half is empty; give --select-on or --weights"
        )
    return _take(scores, rows[0], tuple(missing[0])), _take(scores, rows[1], tuple(missing[1]))


def _half_of(video_id: str) -> int:
    return hashlib.sha256(video_id.encode()).digest()[0] % 2


def _join_missing(streams: Sequence[Scores]) -> tuple[tuple[MissingVideo, ...], bool]:
    """Return the videos that one stream or another says to be missing, and whether one of them knows all."""
    by_id: dict[str, MissingVideo] = {}
    for stream in streams:
        for video in stream.missing:
            by_id.setdefault(video.video_id, video)
    return tuple(by_id.values()), any(stream.missing_known for stream in streams)


def _take(scores: Scores, rows: list[int], missing: tuple[MissingVideo, ...]) -> Scores:
    ids = tuple(scores.video_ids[row] for row in rows)
    return Scores(ids, scores.logits[rows], scores.labels[rows], missing, scores.missing_known)


def _list_rows(scores: Scores, who: str) -> dict[str, int]:
    """Return each video's row; ScoreError where one stands there twice."""
    rows = {video_id: row for row, video_id in enumerate(scores.video_ids)}
    if len(rows) < len(scores.video_ids):
        twice = {video_id for row, video_id in enumerate(scores.video_ids) if rows[video_id] != row}
        raise ScoreError(
            f"scores {who}: {len(twice)} videos stand there more than once ({name_some(twice)}); leave one line of each"
        )
    return rows


def name_some(video_ids: Set[str] | list[str]) -> str:
    """Name the first few videos, for messages."""
    first = sorted(video_ids)[:_NUM_NAMED]
    return ", ".join(first) + (", ..." if len(video_ids) > _NUM_NAMED else "")
