"""Read chosen frames of a video together with their pseudo-labels, and prove that the two belong together.

Shape suffixes in this package's data code: T frames, H height, W width, K scene classes kept per frame.
"""

from collections.abc import Iterable
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from manifests.record import VideoRecord
from pipeline.errors import ManifestError, Reason, VideoError
from pipeline.shards.reader import FrameLabels
from pipeline.video import FRAME_HEIGHT, FRAME_WIDTH, hash_frames, probe_video, read_frames
from student.frame_cache import FrameCache

_FRAME_BYTES = FRAME_HEIGHT * FRAME_WIDTH * 3


class LabelledFrames(NamedTuple):
    """Frames as they lie in the video, with what stage one said of them.

    Attributes:
        frames: uint8 RGB [T, H, W, 3].
        masks: bool [T, h, w] at the labels' size; None where the video has no masks.
        scene_indices: int64 [T, K], best first; None where the video has no scene labels.
        scene_probs: float32 [T, K]; None likewise.
        has_label: bool [T], False where a frame has none or its identity could not be proved.
        mismatched: frame indices whose hash is not the one stage one stored.
    """

    frames: NDArray[np.uint8]
    masks: NDArray[np.bool_] | None
    scene_indices: NDArray[np.int64] | None
    scene_probs: NDArray[np.float32] | None
    has_label: NDArray[np.bool_]
    mismatched: tuple[int, ...]


class LabelSource(Protocol):
    """What is asked of labels: `pipeline.shards.JoinedLabels`, a `LabelIndex`, or one open shard with `in`."""

    def __contains__(self, video_id: object) -> bool:
        """Tell whether a video was labelled."""
        ...

    def num_frames(self, video_id: str) -> int:
        """Return a video's labelled frames."""
        ...

    def seek_exact(self, video_id: str) -> bool:
        """Tell whether seeking in the video gives the frames of an in-order decode."""
        ...

    def read(self, video_id: str, frame_indices: NDArray[np.int64]) -> FrameLabels:
        """Read the labels of some frames."""
        ...


class FrameSource(Protocol):
    """What a data set reads of its videos: `ClipReader`, or `student.flow_clips.FlowReader`."""

    @property
    def is_flow(self) -> bool:
        """Whether its images are stacks of flow, [T, H, W, 10], and not frames."""
        ...

    def num_frames(self, record: VideoRecord) -> int:
        """Return a video's frames; raises VideoError where it cannot be read."""
        ...

    def read(self, record: VideoRecord, frame_indices: NDArray[np.int64]) -> LabelledFrames:
        """Read images at some frames; raises VideoError likewise, and ShardError where a shard is damaged."""
        ...


class ClipReader:
    """Read frames and labels of the videos of one data set; every loading process has its own copy.

    Args:
        labels: the committed shards; None reads no labels (TSN, evaluation).
        cache_bytes: memory for decoded clips in each process, see `FrameCache`.
    """

    is_flow = False

    def __init__(self, labels: LabelSource | None, *, cache_bytes: int = 0) -> None:
        self._labels = labels
        self._cache = FrameCache(cache_bytes)
        self._probed: dict[str, int] = {}

    def has_labels(self, record: VideoRecord) -> bool:
        """Tell whether a committed shard holds at least one frame of a video."""
        labels = self._labels
        return labels is not None and record.video_id in labels and labels.num_frames(record.video_id) > 0

    def num_frames(self, record: VideoRecord) -> int:
        """Return a video's frames in a full decode: by its shard, else the manifest, else by decoding it now.

        Raises:
            VideoError: the video must be decoded for it and cannot be.
        """
        if self._labels is not None and self.has_labels(record):
            return self._labels.num_frames(record.video_id)
        if record.num_frames:
            return record.num_frames
        if record.video_id not in self._probed:
            self._probed[record.video_id] = probe_video(record.path).num_frames
        return self._probed[record.video_id]

    def read(self, record: VideoRecord, frame_indices: NDArray[np.int64]) -> LabelledFrames:
        """Read frames by their index in a full decode, with their labels.

        A frame whose hash differs from the stored one keeps its pixels and loses its label: it is not the frame that
        stage one saw.

        Raises:
            VideoError: the frames cannot be read.
            ShardError: the video's shard is damaged.
        """
        frames = self._read_frames(record, frame_indices)
        if self._labels is None or not self.has_labels(record):
            return LabelledFrames(frames, None, None, None, np.zeros(len(frames), np.bool_), ())
        labels = self._labels.read(record.video_id, frame_indices)
        same = hash_frames(frames) == labels.frame_hashes
        if labels.conflicting is not None:
            same &= ~labels.conflicting
        return LabelledFrames(
            frames=frames,
            masks=labels.masks,
            scene_indices=None if labels.scene_indices is None else labels.scene_indices.astype(np.int64),
            scene_probs=None if labels.scene_probs is None else labels.scene_probs.astype(np.float32),
            has_label=labels.valid & same,
            mismatched=tuple(int(index) for index in frame_indices[labels.valid & ~same]),
        )

    def _read_frames(self, record: VideoRecord, frame_indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Read frames out of the cache or the file; a whole clip where it will be kept."""
        clip = self._cache.get(record.video_id)
        if clip is not None:
            return clip[frame_indices]
        num_frames = self.num_frames(record)
        keep = self._cache.has_room(num_frames, _FRAME_BYTES)
        wanted = np.arange(num_frames) if keep else frame_indices
        try:
            frames = read_frames(record.path, wanted, seek=not keep and self._may_seek(record))
        except ValueError as error:  # an index past the last frame: the file is not the one that was counted
            raise VideoError(Reason.FRAME_COUNT, f"{record.path}: {num_frames} frames expected; {error}") from error
        if not keep:
            return frames
        self._cache.put(record.video_id, frames)
        return frames[frame_indices]

    def _may_seek(self, record: VideoRecord) -> bool:
        """Seek only where stage one found that it gives the frames of an in-order decode."""
        return self._labels is not None and self.has_labels(record) and self._labels.seek_exact(record.video_id)


def select_records(records: Iterable[VideoRecord], *, dataset: str, split: str, fold: int = 1) -> list[VideoRecord]:
    """Choose the videos of a split.

    Raises:
        ManifestError: no video is in it, or the data set has no such fold; the splits that exist are named.
    """
    try:
        by_split = [(record.split_in_fold(fold), record) for record in records]
    except ValueError as error:
        raise ManifestError(f"data set {dataset}: {error}") from error
    chosen = [record for name, record in by_split if name == split]
    if not chosen:
        known = ", ".join(sorted({name for name, _ in by_split if name})) or "none"
        raise ManifestError(f"data set {dataset}, fold {fold}: no video in split {split!r}; splits there are: {known}")
    return chosen
