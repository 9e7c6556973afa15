"""The labels of a data set whose teachers labelled into shards of their own, joined by video and frame."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipeline.errors import ShardError
from pipeline.shards.index import LabelIndex
from pipeline.shards.reader import FrameLabels
from pipeline.shards.receipts import find_receipts
from pipeline.shards.schema import BOTH_TEACHERS, TeacherKind


class JoinedLabels:
    """Several label sets of one data set, read as one; like `LabelIndex`, it may be pickled and forked.

    A video that one set lacks has that teacher's labels absent (None). Where two sets labelled different frames under
    one index (their hashes differ: the file was replaced in between), the frame is marked as conflicting.
    """

    def __init__(self, sets: Sequence[LabelIndex]) -> None:
        """Join sets that are open.

        Raises:
            ShardError: two sets hold labels of the same teacher for one video.
        """
        self.sets = tuple(sets)
        self._teachers = [index.teachers for index in self.sets]
        self._videos: dict[str, list[int]] = {}  # id -> places in sets
        for place, index in enumerate(self.sets):
            for video_id in index:
                for other in self._videos.setdefault(video_id, []):
                    if set(self._teachers[place]) & set(self._teachers[other]):
                        raise ShardError(
                            f"video {video_id}: labelled by the same teacher in {self.sets[other].shards_dir} and in "
                            f"{index.shards_dir}; move one of the two away"
                        )
                self._videos[video_id].append(place)

    def __len__(self) -> int:
        return len(self._videos)

    def __contains__(self, video_id: object) -> bool:
        return video_id in self._videos

    def __iter__(self) -> Iterator[str]:
        return iter(self._videos)

    def teachers_of(self, video_id: str) -> tuple[TeacherKind, ...]:
        """Say whose labels a video has; () when it has none."""
        found = {kind for place in self._videos.get(video_id, ()) for kind in self._teachers[place]}
        return tuple(kind for kind in BOTH_TEACHERS if kind in found)

    def num_frames(self, video_id: str) -> int:
        """Return the number of frames that all sets with this video labelled; ValueError when it has no labels."""
        return min(index.num_frames(video_id) for index in self._sets_of(video_id))

    def seek_exact(self, video_id: str) -> bool:
        """Tell whether seeking in the video file gives the frames of an in-order decode."""
        return all(index.seek_exact(video_id) for index in self._sets_of(video_id))

    def read(self, video_id: str, frame_indices: Sequence[int] | npt.NDArray[np.integer]) -> FrameLabels:
        """Read what the teachers say of some frames; see `FrameLabels`, and `ShardReader.read` for what it raises."""
        return _merge([index.read(video_id, frame_indices) for index in self._sets_of(video_id)])

    def close(self) -> None:
        """Close the open shards; reading again opens them again."""
        for index in self.sets:
            index.close()

    def _sets_of(self, video_id: str) -> list[LabelIndex]:
        if video_id not in self._videos:
            folders = ", ".join(str(index.shards_dir) for index in self.sets)
            raise ValueError(f"video {video_id} has no labels in {folders}; see kinet-pipeline status")
        return [self.sets[place] for place in self._videos[video_id]]


def open_labels(shards_dir: Path) -> JoinedLabels:
    """Open every label set below a data set's folder: the joint one, and those of one teacher alone.

    Raises:
        ShardError: a receipt is malformed, or sets overlap.
    """
    return JoinedLabels([LabelIndex(folder) for folder in label_dirs(shards_dir)])


def label_dirs(shards_dir: Path) -> list[Path]:
    """List the folders below a data set's that hold finished shards."""
    folders = [shards_dir, *(shards_dir / kind for kind in BOTH_TEACHERS)]
    return [folder for folder in folders if find_receipts(folder)]


def _merge(parts: Sequence[FrameLabels]) -> FrameLabels:
    """Join what several sets say of the same frames; no two hold the same teacher's labels."""
    first, *others = parts
    conflicting = np.zeros(len(first.valid), np.bool_)
    for other in others:
        conflicting |= first.valid & other.valid & (other.frame_hashes != first.frame_hashes)
        first = FrameLabels(
            masks=first.masks if other.masks is None else other.masks,
            scene_indices=first.scene_indices if other.scene_indices is None else other.scene_indices,
            scene_probs=first.scene_probs if other.scene_probs is None else other.scene_probs,
            valid=first.valid & other.valid,
            frame_hashes=first.frame_hashes,
        )
    return first._replace(conflicting=conflicting) if others else first
