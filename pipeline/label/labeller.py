"""Label one shard: decoded frames through both teachers into one file. No Ray here."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from manifests import VideoRecord
from pipeline.label.batches import FrameRows, TeacherBatches
from pipeline.label.decode_ahead import DecodeAhead, DecodedChunk, VideoEnd
from pipeline.label.plan import PlannedShard
from pipeline.label.quality import MaskQualityMeter
from pipeline.label.settings import LabelSettings
from pipeline.label.teacher_loading import Teachers
from pipeline.shards import (
    Receipt,
    ShardHeader,
    ShardWriter,
    VideoOutcome,
    VideoStatus,
    receipt_path_of,
    write_receipt,
)
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
    quality: MaskQualityMeter = field(default_factory=MaskQualityMeter)


class ShardLabeller:
    """Label shards one after another with the same teachers and decoding processes; close it after use.

    Args:
        teachers: on their device.
        settings: batch size, limits of decoding, compression.
        shards_dir: where shards and receipts go.
        num_decoders: decoding processes.
        on_frames: called with the number of frames each time some are labelled.
    """

    def __init__(
        self,
        teachers: Teachers,
        settings: LabelSettings,
        shards_dir: Path,
        num_decoders: int = 1,
        on_frames: Callable[[int], None] = lambda _: None,
    ) -> None:
        self.teachers = teachers
        self._settings = settings
        self._shards_dir = shards_dir
        self._on_frames = on_frames
        self._write_sec = 0.0
        self._decoders = DecodeAhead(num_decoders, stall_sec=settings.stall_sec, limits=settings.decode_limits)

    def close(self) -> None:
        """End the decoding processes."""
        self._decoders.close()

    def label_shard(self, shard: PlannedShard, header: ShardHeader) -> Receipt:
        """Label every video of a shard, commit the file, then its receipt.

        Returns:
            The receipt as written.

        Raises:
            WorkspaceError: the disk is full or cannot be written. Nothing of the shard stays.
        """
        started = time.monotonic()
        waited = self._decoders.wait_sec
        self._write_sec = 0.0
        batches = TeacherBatches(self.teachers, self._settings.batch_size)
        path = self._shards_dir / f"{shard.name}.h5"
        with ShardWriter(path, header, self._settings.compression) as writer:
            ledger = _Ledger(writer)
            for record, event in self._decoders.events(shard.records):
                if isinstance(event, DecodedChunk):
                    ledger.expect(record, event)
                    self._pass_on(ledger, batches.add(event.pixels))
                elif isinstance(event, VideoEnd):
                    ledger.close(record, event)
                else:
                    ledger.void(record)
            self._pass_on(ledger, batches.finish())
            with self._writing():
                entries = ledger.finish()
                summary = writer.commit()
        receipt = Receipt(
            dataset=header.dataset,
            split=header.split,
            shard=shard.name,
            shard_index=shard.index,
            shard_count=shard.count,
            sha256=summary.sha256,
            shard_bytes=summary.shard_bytes,
            frames=summary.frames,
            videos=summary.videos,
            fingerprint=header.fingerprint,
            outcomes=tuple(entries),
            seconds=time.monotonic() - started,
            stage_seconds={
                "decode_wait": self._decoders.wait_sec - waited,
                "teachers": batches.busy_sec,
                "write": self._write_sec,
            },
        )
        write_receipt(receipt_path_of(path), receipt)
        return receipt

    def _pass_on(self, ledger: "_Ledger", all_rows: list[FrameRows]) -> None:
        for rows in all_rows:
            with self._writing():
                ledger.write(rows)
            self._on_frames(rows.num_frames)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Count the time in which the teachers wait for the file."""
        started = time.monotonic()
        yield
        self._write_sec += time.monotonic() - started


class _Ledger:
    """Bring the teachers' rows back to their videos, in order, and each video into the shard or out of it."""

    def __init__(self, writer: ShardWriter) -> None:
        self._writer = writer
        self._videos: deque[_VideoRows] = deque()
        self._entries: list[VideoOutcome] = []

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
        """Write the next rows, in the order their frames were expected."""
        start = 0
        while start < rows.num_frames:
            video = self._next_with_frames()
            chunk = video.chunks[0]
            taken = min(len(chunk.hashes), rows.num_frames - start)
            if not video.void:
                self._begin(video)
                part = rows.part(start, start + taken)
                if part.masks is not None:
                    video.quality.add(part.masks[chunk.valid[:taken].astype(bool)])
                self._writer.append(
                    part.masks,
                    part.scene_indices,
                    part.scene_probs,
                    chunk.hashes[:taken],
                    chunk.valid[:taken],
                )
            start += taken
            video.chunks.popleft()
            if taken < len(chunk.hashes):
                video.chunks.appendleft(_Identities(chunk.valid[taken:], chunk.hashes[taken:]))

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
                attempts=attempts,
                mask_quality=None if quality is None or outcome == "quarantined" else quality._asdict(),
            )
        )
