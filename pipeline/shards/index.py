"""Finding a video's labels among all committed shards of a data set."""

import os
from collections import OrderedDict
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.errors import ShardError
from pipeline.shards.cache import FileDigest
from pipeline.shards.reader import FrameLabels, ShardReader
from pipeline.shards.receipts import digest_of, load_all_receipts
from pipeline.shards.repair_hint import repair_hint
from pipeline.shards.schema import TeacherKind, VideoStatus
from pipeline.store import locate


class LabelIndex:
    """All labelled videos of a data set, by id.

    Made from the receipts alone, so a shard without one (not finished) is not there; shards are opened when first read,
    and the last few stay open. Copies made by pickling or by a fork open their own files. Not for several threads.
    """

    def __init__(
        self, shards_dir: str | Path, *, max_open_shards: int = 8, only: Collection[str] | None = None
    ) -> None:
        """Read every receipt in the folder, or with `only` those of the shards of these names.

        Raises:
            ValueError: max_open_shards is below 1.
            ShardError: a receipt is malformed, two shards hold one video, or fingerprints differ.
        """
        if max_open_shards < 1:
            raise ValueError(f"max_open_shards must be at least 1, not {max_open_shards}")
        self.shards_dir = locate(shards_dir) if isinstance(shards_dir, str) else shards_dir
        self.max_open_shards = max_open_shards
        self.fingerprint: str | None = None
        self._shard_names: list[str] = []
        self._digests: list[FileDigest] = []
        self._videos: dict[str, tuple[int, int, VideoStatus]] = {}  # id -> place in _shard_names, frames, status
        self._readers: OrderedDict[int, ShardReader] = OrderedDict()
        self._reader_pid = os.getpid()
        for receipt_path, receipt in load_all_receipts(self.shards_dir, only):
            self._add(receipt_path, receipt)

    def __len__(self) -> int:
        return len(self._videos)

    def __contains__(self, video_id: object) -> bool:
        return video_id in self._videos

    def __iter__(self) -> Iterator[str]:
        return iter(self._videos)

    @property
    def teachers(self) -> tuple[TeacherKind, ...]:
        """Whose labels these are; () where there are none. Opens a shard."""
        return self._open(0).teachers if self._shard_names else ()

    @property
    def frame_resize(self) -> str | None:
        """How the labelled frames were resized; None where there are none. Opens a shard."""
        return self._open(0).header.frame_resize if self._shard_names else None

    def num_frames(self, video_id: str) -> int:
        """Return the number of labelled frames; ValueError when the video has no labels."""
        return self._entry(video_id)[1]

    def status(self, video_id: str) -> VideoStatus:
        """Tell whether a video's labels are complete; ValueError when it has none."""
        return self._entry(video_id)[2]

    def seek_exact(self, video_id: str) -> bool:
        """Tell whether seeking in the video file gives the frames of an in-order decode; opens the shard."""
        return self._reader(video_id).seek_exact(video_id)

    def read(self, video_id: str, frame_indices: Sequence[int] | npt.NDArray[np.integer]) -> FrameLabels:
        """Read the labels of some frames, in any order, repeats allowed; see `ShardReader.read` for what it raises."""
        return self._reader(video_id).read(video_id, frame_indices)

    def close(self) -> None:
        """Close the open shards; reading again opens them again."""
        while self._readers:
            self._readers.popitem()[1].close()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_readers": OrderedDict()}

    def _add(self, receipt_path: Path, receipt: dict[str, Any]) -> None:
        """Take in one receipt. Its plain JSON: 260,000 validated outcome objects would take seconds."""
        try:
            fingerprint, digest = receipt["fingerprint"], digest_of(receipt)
            videos = [
                (outcome["video_id"], int(outcome["frames"]), VideoStatus[outcome["outcome"].upper()])
                for outcome in receipt["outcomes"]
                if outcome["outcome"] != "quarantined"
            ]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ShardError(f"receipt {receipt_path}: malformed ({error!r}); {repair_hint(receipt_path)}") from error
        if self.fingerprint not in (None, fingerprint):
            raise ShardError(
                f"receipt {receipt_path}: fingerprint {fingerprint}, the shards before it have {self.fingerprint}: "
                f"labels of two different runs in one folder; {repair_hint(receipt_path)}"
            )
        self.fingerprint = fingerprint
        place = len(self._shard_names)
        self._shard_names.append(receipt_path.stem)
        self._digests.append(digest)
        for video_id, frames, status in videos:
            if video_id in self._videos:
                other = self._shard_names[self._videos[video_id][0]]
                raise ShardError(
                    f"video {video_id}: labelled in {other} and in {receipt_path.stem}; {repair_hint(receipt_path)}"
                )
            self._videos[video_id] = (place, frames, status)

    def _entry(self, video_id: str) -> tuple[int, int, VideoStatus]:
        try:
            return self._videos[video_id]
        except KeyError:
            raise ValueError(
                f"video {video_id} has no labels in {self.shards_dir}; see kinet-pipeline status"
            ) from None

    def _reader(self, video_id: str) -> ShardReader:
        return self._open(self._entry(video_id)[0])

    def _open(self, place: int) -> ShardReader:
        """Return an open shard, opening it, and closing the one unused for longest, where needed."""
        if self._reader_pid != os.getpid():  # after a fork: an open HDF5 file must not be shared
            self._readers = OrderedDict()
            self._reader_pid = os.getpid()
        if place in self._readers:
            self._readers.move_to_end(place)
            return self._readers[place]
        while len(self._readers) >= self.max_open_shards:
            self._readers.popitem(last=False)[1].close()
        self._readers[place] = ShardReader(self.shards_dir / f"{self._shard_names[place]}.h5", self._digests[place])
        return self._readers[place]
