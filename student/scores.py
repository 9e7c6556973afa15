"""Scores of videos: the file they are kept in, and the figures that are drawn from them.

Shape suffixes: V videos, K classes.
"""

import csv
import json
import zipfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manifests.errors import KinetError
from pipeline.files import write_atomically, writing


class ScoreError(KinetError):
    """A score file is missing, malformed, or has no videos."""


@dataclass(frozen=True)
class MissingVideo:
    """A video without a score, and why."""

    video_id: str
    reason: str
    message: str


@dataclass(frozen=True)
class Scores:
    """What a run says of the videos of a split.

    Attributes:
        video_ids: V names.
        logits: float32 [V, K], mean over windows and crops, before the softmax.
        labels: int64 [V], the true classes.
        missing: the videos that could not be read.
    """

    video_ids: tuple[str, ...]
    logits: NDArray[np.float32]
    labels: NDArray[np.int64]
    missing: tuple[MissingVideo, ...] = ()

    def __post_init__(self) -> None:
        if self.logits.ndim != 2 or not len(self.video_ids) == len(self.logits) == len(self.labels):
            raise ValueError(
                f"scores of {len(self.video_ids)} videos: found logits {self.logits.shape}, labels {self.labels.shape}"
            )

    @classmethod
    def join(cls, parts: "Sequence[Scores]", missing: Iterable[MissingVideo] = ()) -> "Scores":
        """Join the scores of several processes, each of other videos, and further videos that are missing."""
        scored = [part for part in parts if part.video_ids]
        return cls(
            video_ids=tuple(name for part in scored for name in part.video_ids),
            logits=np.concatenate([part.logits for part in scored]) if scored else np.empty((0, 0), np.float32),
            labels=np.concatenate([np.asarray(part.labels, np.int64) for part in parts]),
            missing=(*missing, *(video for part in parts for video in part.missing)),
        )


@dataclass(frozen=True)
class Accuracy:
    """Figures of a split, as parts of 1.

    Attributes:
        top1, top5: share of videos whose class is the best, among the five best (or all, where there are fewer).
        mean_class: mean over the classes that occur of the share of their videos that are right.
        videos: with a score. missing: without one.
        missing_reasons: missing videos by typed reason.
        top1_lower, top1_upper: what top-1 would be were all missing videos wrong, or right.
        calibration_error: how far the softmax's best probability is from the share that is right, see
            `measure_calibration`.
    """

    top1: float
    top5: float
    mean_class: float
    videos: int
    missing: int
    missing_reasons: dict[str, int]
    top1_lower: float
    top1_upper: float
    calibration_error: float


def measure_accuracy(scores: Scores) -> Accuracy:
    """Count how often a run is right; ScoreError where not one video has a score."""
    num_videos, num_missing = len(scores.labels), len(scores.missing)
    reasons = dict(Counter(video.reason for video in scores.missing))
    if num_videos == 0:
        raise ScoreError(f"no video could be scored, {num_missing} are missing ({reasons}); run manifest check")
    ranked_VK = np.argsort(-scores.logits, axis=1, kind="stable")
    hits_VK = ranked_VK == scores.labels[:, None]
    top1_V = hits_VK[:, 0]
    by_class = [float(top1_V[scores.labels == label].mean()) for label in np.unique(scores.labels)]
    num_all = num_videos + num_missing
    return Accuracy(
        top1=float(top1_V.mean()),
        top5=float(hits_VK[:, :5].any(axis=1).mean()),
        mean_class=float(np.mean(by_class)),
        videos=num_videos,
        missing=num_missing,
        missing_reasons=reasons,
        top1_lower=float(top1_V.sum() / num_all),
        top1_upper=float((top1_V.sum() + num_missing) / num_all),
        calibration_error=measure_calibration(scores),
    )


def measure_calibration(scores: Scores, *, num_bins: int = 15) -> float:
    """Measure the expected calibration error: 0 where a probability of p is right in a share p of the cases.

    Videos are sorted into equal bins by their best class's probability; the error is the mean over videos of their
    bin's |share right - mean probability| (Guo et al. 2017).
    """
    exponent_VK = np.exp(scores.logits.astype(np.float64) - scores.logits.max(axis=1, keepdims=True))
    confidence_V = (exponent_VK / exponent_VK.sum(axis=1, keepdims=True)).max(axis=1)
    right_V = scores.logits.argmax(axis=1) == scores.labels
    bin_V = np.minimum((confidence_V * num_bins).astype(np.int64), num_bins - 1)
    gap_of_bin = np.bincount(bin_V, weights=right_V - confidence_V)
    return float(np.abs(gap_of_bin).sum() / len(right_V))


def save_scores(scores: Scores, path: Path, *, summary: dict[str, Any]) -> None:
    """Write scores as `path` (npz: video_id, logits, label); beside it, summary and missing videos as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with writing(path) as part_path, part_path.open("wb") as file:
        np.savez_compressed(
            file, video_id=np.array(scores.video_ids, dtype=np.str_), logits=scores.logits, label=scores.labels
        )
    missing = [vars(video) for video in scores.missing]
    write_atomically(path.with_suffix(".json"), json.dumps({**summary, "missing_videos": missing}, indent=2) + "\n")


def load_scores(path: Path) -> Scores:
    """Read what `save_scores` wrote, or a table `video_id,label,logit_0,...` (``.csv``), which names no missing video.

    Raises:
        ScoreError: missing or malformed.
    """
    try:
        if path.suffix == ".csv":
            return _load_table(path)
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            video_ids, logits, labels = file["video_id"], file["logits"], file["label"]
        described = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        missing = tuple(MissingVideo(**video) for video in described["missing_videos"])
        return Scores(tuple(video_ids.tolist()), logits, labels, missing)
    except (OSError, KeyError, ValueError, TypeError, IndexError, csv.Error, zipfile.BadZipFile) as error:
        raise ScoreError(f"scores {path}: cannot be read ({error}); run kinet-pipeline evaluate again") from error


def _load_table(path: Path) -> Scores:
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file, strict=True)
    if header[:2] != ["video_id", "label"] or len(header) < 3:
        raise ValueError(f"columns video_id, label, logit_0, ... expected, found {', '.join(header[:4])}")
    logits = np.array([row[2:] for row in rows], dtype=np.float32).reshape(len(rows), len(header) - 2)
    return Scores(tuple(row[0] for row in rows), logits, np.array([int(row[1]) for row in rows], np.int64))
