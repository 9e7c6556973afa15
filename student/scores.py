"""Scores of videos: the file they are kept in, and the figures that are drawn from them.

Shape suffixes: V videos, K classes.
"""

import csv
import json
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from manifests.errors import KinetError
from pipeline.files import write_atomically, writing

SUFFIX = ".npz"
_Arrays: TypeAlias = tuple[tuple[str, ...], NDArray[np.float32], NDArray[np.int64]]


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
        missing: the videos that are known to have no score.
        missing_known: these are all; where it is False there may be more, of which nothing tells.
    """

    video_ids: tuple[str, ...]
    logits: NDArray[np.float32]
    labels: NDArray[np.int64]
    missing: tuple[MissingVideo, ...] = ()
    missing_known: bool = True

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
            missing_known=all(part.missing_known for part in parts),
        )


@dataclass(frozen=True)
class Accuracy:
    """Figures of a split, as parts of 1.

    Attributes:
        top1, top5: share of videos whose class is the best, among the five best (or all, where there are fewer).
        mean_class: mean over the classes that occur of the share of their videos that are right.
        videos: with a score. missing: without one; None where it is not known how many there are.
        missing_reasons: the missing videos that are known, by typed reason.
        top1_lower, top1_upper: what top-1 would be were all missing videos wrong, or right; None as `missing` is.
        calibration_error: how far the softmax's best probability is from the share that is right, see
            `measure_calibration`.
    """

    top1: float
    top5: float
    mean_class: float
    videos: int
    missing: int | None
    missing_reasons: dict[str, int]
    top1_lower: float | None
    top1_upper: float | None
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
    num_all, known = num_videos + num_missing, scores.missing_known
    return Accuracy(
        top1=float(top1_V.mean()),
        top5=float(hits_VK[:, :5].any(axis=1).mean()),
        mean_class=float(np.mean(by_class)),
        videos=num_videos,
        missing=num_missing if known else None,
        missing_reasons=reasons,
        top1_lower=float(top1_V.sum() / num_all) if known else None,
        top1_upper=float((top1_V.sum() + num_missing) / num_all) if known else None,
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
    """Write scores as `path` (npz: video_id, logits, label); beside it, summary and missing videos as JSON.

    Raises:
        ValueError: the path's suffix is not ``.npz``: the two files could be one.
    """
    if path.suffix != SUFFIX:
        raise ValueError(f"scores {path}: expected a name that ends in {SUFFIX}")
    path.parent.mkdir(parents=True, exist_ok=True)
    with writing(path) as part_path, part_path.open("wb") as file:
        np.savez_compressed(
            file, video_id=np.array(scores.video_ids, dtype=np.str_), logits=scores.logits, label=scores.labels
        )
    missing = [vars(video) for video in scores.missing]
    described = {**summary, "missing_known": scores.missing_known, "missing_videos": missing}
    write_atomically(side_path(path), json.dumps(described, indent=2) + "\n")


def side_path(path: Path) -> Path:
    """Return where a score file's summary and missing videos stand."""
    return path.with_suffix(".json")


def load_scores(path: Path) -> Scores:
    """Read what `save_scores` wrote, or a table `video_id,label,logit_0,...` (``.csv``).

    Which videos are missing stands in the JSON file beside it; a table may do without, and then nothing is known.

    Raises:
        ScoreError: missing or malformed; a logit that is no finite number, a label that is none of the classes.
    """
    try:
        video_ids, logits, labels = _read_table(path) if path.suffix == ".csv" else _read_npz(path)
    except (OSError, KeyError, ValueError, TypeError, EOFError, csv.Error, zipfile.BadZipFile, zlib.error) as error:
        raise ScoreError(f"scores {path}: cannot be read ({error}); run kinet-pipeline evaluate again") from error
    _check_values(path, video_ids, logits, labels)
    if path.suffix == ".csv" and not side_path(path).is_file():
        return Scores(video_ids, logits, labels, missing_known=False)
    missing, known = _read_missing(side_path(path))
    return Scores(video_ids, logits, labels, missing, known)


def _read_npz(path: Path) -> _Arrays:
    if not zipfile.is_zipfile(path):
        raise ValueError("no npz file")
    with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
        video_ids, logits, labels = file["video_id"], file["logits"], file["label"]
    if video_ids.ndim != 1 or logits.ndim != 2 or not video_ids.shape == labels.shape == logits.shape[:1]:
        shapes = f"{list(video_ids.shape)}, {list(logits.shape)}, {list(labels.shape)}"
        raise ValueError(f"video_id [V], logits [V, K], label [V] expected, found {shapes}")
    if not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"labels of whole numbers expected, found {labels.dtype}")
    return tuple(map(str, video_ids.tolist())), _as_float32(logits), labels.astype(np.int64)


def _read_table(path: Path) -> _Arrays:
    with path.open(encoding="utf-8", newline="") as file:
        lines = csv.reader(file, strict=True)
        header = next(lines, [])
        if header[:2] != ["video_id", "label"] or len(header) < 3:
            found = ", ".join(header[:4]) or "nothing"
            raise ValueError(f"columns video_id, label, logit_0, ... expected, found {found}")
        rows = []
        for row in lines:
            if len(row) != len(header):
                raise ValueError(f"line {lines.line_num}: {len(header)} columns expected, found {len(row)}")
            rows.append(row)
    logits = np.array([row[2:] for row in rows], dtype=np.float64).reshape(len(rows), len(header) - 2)
    return tuple(row[0] for row in rows), _as_float32(logits), np.array([int(row[1]) for row in rows], np.int64)


def _as_float32(logits_VK: NDArray[Any]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):  # infinity is told of with the video's name
        return logits_VK.astype(np.float32)


def _check_values(
    path: Path, video_ids: tuple[str, ...], logits_VK: NDArray[np.float32], labels_V: NDArray[np.int64]
) -> None:
    """Raise ScoreError, naming the first video, where a logit is not finite or a label is none of the classes."""
    bad_VK = ~np.isfinite(logits_VK)
    if bad_VK.any():
        row, column = np.argwhere(bad_VK)[0]
        raise ScoreError(
            f"scores {path}: video {video_ids[row]}: logit {column} is {logits_VK[row, column]}, expected a finite "
            "number; evaluate a checkpoint whose weights are finite"
        )
    bad_V = (labels_V < 0) | (labels_V >= logits_VK.shape[1])
    if bad_V.any():
        row = int(bad_V.argmax())
        raise ScoreError(
            f"scores {path}: video {video_ids[row]}: label {labels_V[row]}, expected 0 to {logits_VK.shape[1] - 1}; "
            "labels are counted from 0, and there is a logit for each class"
        )


def _read_missing(path: Path) -> tuple[tuple[MissingVideo, ...], bool]:
    """Read the missing videos from the file beside the scores, and whether these are all."""
    try:
        described = json.loads(path.read_text(encoding="utf-8"))
        missing = tuple(MissingVideo(**video) for video in described["missing_videos"])
        # Files from before it could be unknown say nothing of it.
        return missing, bool(described.get("missing_known", True))
    except (OSError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise ScoreError(
            f"scores {path}: cannot be read ({error!r}); the missing videos stand there: put it back, or run "
            "kinet-pipeline evaluate again"
        ) from error
