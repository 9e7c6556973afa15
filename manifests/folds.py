"""Official folds joined: one record a video, with its split in every fold."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from manifests.record import VideoRecord

UNUSED_SPLIT = "unused"


def fold_columns(num_folds: int) -> tuple[str, ...]:
    """Name the columns of the splits in fold 2, 3, ... of a table; the first fold's is ``split``."""
    return tuple(f"split_{fold}" for fold in range(2, num_folds + 1))


def join_folds(folds: Sequence[Sequence[VideoRecord]]) -> list[VideoRecord]:
    """Merge the folds' records by video_id, in the order of first appearance.

    A video that a fold doesn't list has the split "unused" there. Label and path are those of the first appearance.
    """
    splits_by_id: dict[str, list[str]] = {}
    first_by_id: dict[str, VideoRecord] = {}
    for fold, records in enumerate(folds):
        for record in records:
            first_by_id.setdefault(record.video_id, record)
            splits = splits_by_id.setdefault(record.video_id, [UNUSED_SPLIT] * len(folds))
            splits[fold] = record.split
    return [
        replace(record, split=splits_by_id[video_id][0], fold_splits=tuple(splits_by_id[video_id][1:]))
        for video_id, record in first_by_id.items()
    ]


def shorten_ids(records: Sequence[VideoRecord]) -> list[VideoRecord]:
    """Replace the video_id ``class/stem`` by ``stem`` where no other clip has that stem."""
    times_seen = Counter(record.path.stem for record in records)
    return [
        replace(record, video_id=record.path.stem) if times_seen[record.path.stem] == 1 else record
        for record in records
    ]
