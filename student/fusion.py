"""Late fusion: the weighted sum of several streams' scores, by video id, before the softmax.

Shape suffixes: V videos, K classes.
"""

import hashlib
import itertools
from collections.abc import Sequence, Set
from dataclasses import dataclass

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

    A video that is missing in every stream stays missing.

    Raises:
        ValueError: not one weight a stream, or a weight that is negative or no number.
        ScoreError: videos, labels or numbers of classes that differ; the first few are named.
    """
    if len(weights) != len(streams) or not all(0 <= weight < float("inf") for weight in weights):
        raise ValueError(f"weights: expected {len(streams)} numbers of 0 or more, found {tuple(weights)}")
    aligned = align_streams(streams)
    logits_VK = sum(np.float32(weight) * stream.logits for weight, stream in zip(weights, aligned, strict=True))
    first = aligned[0]
    return Scores(first.video_ids, np.asarray(logits_VK, np.float32), first.labels, first.missing)


def keep_common(streams: Sequence[Scores]) -> list[Scores]:
    """Leave out of every stream the videos that another one lacks; they become missing, named `not_in_all`."""
    common = set.intersection(*(set(stream.video_ids) for stream in streams))
    everything = {video_id for stream in streams for video_id in stream.video_ids}
    missing = {video.video_id: video for stream in streams for video in stream.missing}
    for video_id in sorted(everything - common):
        missing.setdefault(video_id, MissingVideo(video_id, "not_in_all", "one of the score files lacks it"))
    return [
        _take(stream, [i for i, name in enumerate(stream.video_ids) if name in common], tuple(missing.values()))
        for stream in streams
    ]


def align_streams(streams: Sequence[Scores], names: Sequence[str] = ()) -> list[Scores]:
    """Bring all streams into the first one's order of videos; raises ScoreError as `fuse_scores`.

    Args:
        streams: one or more.
        names: of the streams, for messages; none calls them stream 1, stream 2, ...
    """
    first, row_of_name = streams[0], _list_rows(streams[0])
    names = names or [f"stream {number}" for number in range(1, len(streams) + 1)]
    aligned = [first]
    for name, stream in zip(names[1:], streams[1:], strict=True):
        rows = _list_rows(stream)
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
    """Part videos into two halves by a hash of their ids: the same halves for every stream and every time."""
    halves: tuple[list[int], list[int]] = ([], [])
    for row, video_id in enumerate(scores.video_ids):
        halves[hashlib.sha256(video_id.encode()).digest()[0] % 2].append(row)
    return _take(scores, halves[0], ()), _take(scores, halves[1], scores.missing)


def _take(scores: Scores, rows: list[int], missing: tuple[MissingVideo, ...]) -> Scores:
    ids = tuple(scores.video_ids[row] for row in rows)
    return Scores(ids, scores.logits[rows], scores.labels[rows], missing)


def _list_rows(scores: Scores) -> dict[str, int]:
    """Return each video's row; ScoreError where one stands there twice."""
    rows = {video_id: row for row, video_id in enumerate(scores.video_ids)}
    if len(rows) < len(scores.video_ids):
        twice = [video_id for row, video_id in enumerate(scores.video_ids) if rows[video_id] != row]
        raise ScoreError(f"scores: {len(twice)} videos stand there more than once ({name_some(twice)})")
    return rows


def name_some(video_ids: Set[str] | list[str]) -> str:
    """Name the first few videos, for messages."""
    first = sorted(video_ids)[:_NUM_NAMED]
    return ", ".join(first) + (", ..." if len(video_ids) > _NUM_NAMED else "")
