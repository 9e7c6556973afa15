"""Late fusion: the weighted sum of several streams' scores, by video id, before the softmax.

Shape suffixes: V videos, K classes.
"""

import hashlib
import itertools
from collections.abc import Sequence
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


def align_streams(streams: Sequence[Scores]) -> list[Scores]:
    """Bring all streams into the first one's order of videos; raises ScoreError as `fuse_scores`."""
    first = streams[0]
    for number, stream in enumerate(streams[1:], start=2):
        differing = set(first.video_ids) ^ set(stream.video_ids)
        if differing:
            raise ScoreError(
                f"score files 1 and {number}: {len(differing)} videos are in one alone ({_named(differing)}); evaluate "
                "both on the same split, or fuse what they share by --common"
            )
        if stream.logits.shape[1] != first.logits.shape[1]:
            raise ScoreError(
                f"score files 1 and {number}: {first.logits.shape[1]} and {stream.logits.shape[1]} classes; both must "
                "be scores of the same classes"
            )
    aligned = [first]
    for number, stream in enumerate(streams[1:], start=2):
        row_of = {name: row for row, name in enumerate(stream.video_ids)}
        other = _take(stream, [row_of[name] for name in first.video_ids], stream.missing)
        wrong = [name for name, a, b in zip(first.video_ids, first.labels, other.labels, strict=True) if a != b]
        if wrong:
            raise ScoreError(
                f"score files 1 and {number}: {len(wrong)} videos have another true class in each ({_named(wrong)}); "
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


def _named(video_ids: set[str] | list[str]) -> str:
    first = sorted(video_ids)[:_NUM_NAMED]
    return ", ".join(first) + (", ..." if len(video_ids) > _NUM_NAMED else "")
