"""What a reader of annotations returns: the videos that are there, and those that are not, with the reason."""

import csv
import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from manifests.atomic import publish
from manifests.folds import fold_columns
from manifests.record import VideoRecord

# Enough to hide a network file system's latency; on a local disk one thread would do as well.
_NUM_STAT_THREADS = 16


class MissingReason(StrEnum):
    """Why a video of the annotations is not in the manifest."""

    MISSING = "missing"
    EMPTY_FILE = "empty_file"
    NO_LABEL = "no_label"
    DUPLICATE = "duplicate"
    NAME_NOT_UTF8 = "name_not_utf8"


@dataclass(frozen=True, slots=True)
class MissingVideo:
    """A video that the annotations (or the folder) name and the manifest does not list.

    Attributes:
        video_id: as it would stand in the manifest.
        expected_path: where the file was looked for, or where the unusable file lies.
        reason: the typed reason under which it is counted.
        split, class_name: as it would stand in the manifest; empty where unknown.
        fold_splits: the split in fold 2, 3, ... of a data set with several folds; () where it has one, or is unknown.
    """

    video_id: str
    expected_path: Path
    reason: MissingReason
    split: str = ""
    class_name: str = ""
    fold_splits: tuple[str, ...] = ()

    @classmethod
    def of(cls, record: VideoRecord, reason: MissingReason) -> "MissingVideo":
        """Make the entry of a record that cannot stand in the manifest."""
        return cls(record.video_id, record.path, reason, record.split, record.class_name, record.fold_splits)


@dataclass(frozen=True)
class ManifestDraft:
    """A manifest before it is written.

    Attributes:
        records: the usable videos, in the annotations' order.
        missing: every other video, none left out.
    """

    records: list[VideoRecord]
    missing: list[MissingVideo]

    def count_splits(self) -> dict[str, int]:
        """Count the records by split (of the first fold)."""
        return dict(Counter(record.split for record in self.records))

    def count_missing(self) -> dict[str, int]:
        """Count the missing videos by reason, most frequent first."""
        return dict(Counter(video.reason.value for video in self.missing).most_common())


def make_draft(candidates: Sequence[VideoRecord], missing: Sequence[MissingVideo]) -> ManifestDraft:
    """Keep the candidates whose file is there and not empty; the others join `missing`.

    One file status call a candidate, in threads.
    """
    with ThreadPoolExecutor(_NUM_STAT_THREADS) as threads:
        faults = list(threads.map(_find_fault, candidates, chunksize=512))
    records = [record for record, fault in zip(candidates, faults, strict=True) if fault is None]
    return ManifestDraft(records, [*missing, *(fault for fault in faults if fault is not None)])


def write_missing(path: Path, missing: Sequence[MissingVideo]) -> None:
    """Write the list as CSV ``video_id,path,split,class_name,reason[,split_2,split_3,...]``.

    The fold columns stand there for data sets with several official folds, empty where a video's folds are unknown.
    Names that are not UTF-8 appear escaped.
    """
    folds = fold_columns(1 + max((len(video.fold_splits) for video in missing), default=0))
    with (
        publish(path) as part_path,
        part_path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as part_file,
    ):
        writer = csv.writer(part_file, lineterminator="\n")
        writer.writerow(("video_id", "path", "split", "class_name", "reason", *folds))
        writer.writerows(
            (
                video.video_id,
                video.expected_path,
                video.split,
                video.class_name,
                video.reason.value,
                *(video.fold_splits or [""] * len(folds)),
            )
            for video in missing
        )


def _find_fault(record: VideoRecord) -> MissingVideo | None:
    path_text = os.fspath(record.path)
    try:
        path_text.encode()
    except UnicodeEncodeError:
        return MissingVideo.of(record, MissingReason.NAME_NOT_UTF8)
    try:
        num_bytes = os.stat(path_text).st_size  # noqa: PTH116 - twice as quick as Path.stat over 260,000 files
    except OSError:
        return MissingVideo.of(record, MissingReason.MISSING)
    return MissingVideo.of(record, MissingReason.EMPTY_FILE) if num_bytes == 0 else None
