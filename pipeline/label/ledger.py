"""Bring the teachers' rows back to their videos, in order, and each video into the shard or out of it."""

from collections import deque
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from manifests import VideoRecord
from pipeline.label.decode_ahead import VideoEnd
from pipeline.label.decoder import DecodedChunk
from pipeline.label.kept import CommittedLabels, KeptVideo
from pipeline.label.product import FrameRows
from pipeline.label.quality import MaskQualityMeter
from pipeline.shards import ShardWriter, VideoOutcome, VideoStatus
from pipeline.shards.columns import pack_masks
from pipeline.shards.receipts import Outcome


class _Identities(NamedTuple):
    """What is known of n frames before the teachers saw them: valid bool [n], hashes uint64 [n]."""

    valid: NDArray[np.bool_]
    hashes: NDArray[np.uint64]


@dataclass
class _VideoRows:
    """A video on its way through the batches: its frames' identities, and how many of its rows are written."""

    record: VideoRecord
    chunks: deque[_Identities]
    end: VideoEnd | None = None
    void: bool = False
    begun: bool = False
    written: int = 0
    quality: MaskQualityMeter = field(default_factory=MaskQualityMeter)


class Ledger:
    """The videos of one shard on their way through the batches.

    Args:
        writer: of the shard.
        committed: the labels that there were, for their attempts; None where there were none.
    """

    def __init__(self, writer: ShardWriter, committed: CommittedLabels | None) -> None:
        self._writer = writer
        self._committed = committed
        self._videos: deque[_VideoRows] = deque()
        self._entries: list[VideoOutcome] = []

    @property
    def in_hand(self) -> list[str]:
        """The videos whose frames are in the batches."""
        return list(dict.fromkeys(video.record.video_id for video in self._videos if video.chunks))

    @property
    def frames_given(self) -> int:
        """Frames of the newest video that went into the batches."""
        newest = self._videos[-1]
        return newest.written + sum(len(chunk.hashes) for chunk in newest.chunks)

    def expect(self, record: VideoRecord, chunk: DecodedChunk) -> None:
        """Note frames that go into the batches now."""
        self._current(record).chunks.append(_Identities(chunk.valid, chunk.hashes))

    def void(self, record: VideoRecord) -> None:
        """Note that what came of a video so far does not count."""
        self._current(record).void = True

    def close(self, record: VideoRecord, end: VideoEnd) -> None:
        """Note a video's end."""
        self._current(record).end = end

    def write(self, rows: FrameRows) -> None:
        """Write the next rows, in the order their frames were expected.

        Raises:
            ValueError: masks that are not bool [n, H, W]; packed, they would tell nobody.
        """
        packed = None if rows.masks is None else self._pack(rows.masks, rows.num_frames)
        start = 0
        while start < rows.num_frames:
            video = self._next_with_frames()
            chunk = video.chunks[0]
            taken = min(len(chunk.hashes), rows.num_frames - start)
            if not video.void:
                self._begin(video)
                part = rows.part(start, start + taken)
                masks = None if packed is None else packed[start : start + taken]
                if masks is not None:
                    video.quality.add(masks[chunk.valid[:taken].astype(bool)])
                self._writer.append(
                    masks,
                    part.scene_indices,
                    part.scene_probs,
                    chunk.hashes[:taken],
                    chunk.valid[:taken],
                    part.flows,
                )
            start += taken
            video.written += taken
            video.chunks.popleft()
            if taken < len(chunk.hashes):
                video.chunks.appendleft(_Identities(chunk.valid[taken:], chunk.hashes[taken:]))

    def keep(self, video: KeptVideo) -> None:
        """Take a video over from where its rows are; no frames may be on their way."""
        entries = self.finish()
        if video.outcome.outcome != "quarantined":
            video.copy_rows(self._writer)
        entries.append(video.outcome)

    def finish(self) -> list[VideoOutcome]:
        """Settle the last videos and return every video's outcome."""
        while self._videos:
            self._settle(self._videos.popleft())
        return self._entries

    def _current(self, record: VideoRecord) -> _VideoRows:
        """Return the newest attempt at a video, begun now where there is none."""
        last = self._videos[-1] if self._videos else None
        if last is None or last.record is not record or last.void or last.end is not None:
            self._videos.append(_VideoRows(record, deque()))
        return self._videos[-1]

    def _pack(self, masks: NDArray[np.bool_], num_frames: int) -> NDArray[np.uint8]:
        header = self._writer.header
        shape = (num_frames, header.height, header.width)
        if masks.dtype != np.bool_ or masks.shape != shape:
            raise ValueError(f"masks must be bool {list(shape)}, not {masks.dtype} {list(masks.shape)}")
        return pack_masks(masks)

    def _next_with_frames(self) -> _VideoRows:
        while not self._videos[0].chunks:
            self._settle(self._videos.popleft())
        return self._videos[0]

    def _begin(self, video: _VideoRows) -> None:
        if not video.begun:
            self._writer.begin_video(video.record.video_id)
            video.begun = True

    def _settle(self, video: _VideoRows) -> None:
        """Every row of the attempt is written: keep the video, or drop it with its reason."""
        if video.void or video.end is None:
            if video.begun:
                self._writer.abort_video()
            return
        done, attempts = video.end.done, video.end.attempts
        quality = video.quality.figures()
        outcome: Outcome
        if done.num_frames == 0:
            if video.begun:
                self._writer.abort_video()
            if (before := self._labelled_before(video.record.video_id)) is not None:
                self._keep_labels(before, attempts)
                return
            outcome = "quarantined"
        else:
            whole = done.reason is None
            self._writer.end_video(VideoStatus.OK if whole else VideoStatus.PARTIAL, seek_exact=done.seek_exact)
            outcome = "ok" if whole else "partial"
        self._entries.append(
            VideoOutcome(
                video_id=video.record.video_id,
                outcome=outcome,
                reason=done.reason,
                message=done.message,
                frames=done.num_frames,
                declared_frames=done.declared_frames,
                attempts=attempts + self._attempts_before(video.record.video_id),
                mask_quality=None if quality is None or outcome == "quarantined" else quality._asdict(),
            )
        )

    def _labelled_before(self, video_id: str) -> VideoOutcome | None:
        """Return what a video that is tried again has in the committed shard; None where it has no labels there."""
        outcome = None if self._committed is None else self._committed.outcomes[video_id]
        return None if outcome is None or outcome.outcome == "quarantined" else outcome

    def _keep_labels(self, before: VideoOutcome, attempts: int) -> None:
        """Leave a video as it was: a file that is gone by now does not make its labels wrong."""
        assert self._committed is not None
        self._committed.copy_rows(before.video_id, self._writer)
        self._entries.append(replace(before, attempts=before.attempts + attempts))

    def _attempts_before(self, video_id: str) -> int:
        return 0 if self._committed is None else self._committed.outcomes[video_id].attempts
