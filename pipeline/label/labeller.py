"""Make one shard: decoded frames through the teachers, or another product, into one file. No Ray here."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import NamedTuple

import numpy as np

from manifests import VideoRecord
from pipeline.label.blame import IN_PROCESS
from pipeline.label.decode_ahead import DecodeAhead, VideoEnd, VideoRestarted
from pipeline.label.decoder import DecodedChunk
from pipeline.label.journal import ShardJournal, journal_path_of
from pipeline.label.kept import CommittedLabels, KeptVideo
from pipeline.label.ledger import Ledger
from pipeline.label.messages import VideoDone
from pipeline.label.pieces import Pieces
from pipeline.label.placing import attempt_paths, final_paths
from pipeline.label.product import FrameRows, LoadedProduct, RowMaker
from pipeline.label.settings import LabelSettings
from pipeline.label.tasks import ShardTask
from pipeline.shards import Receipt, ShardSummary, ShardWriter, VideoOutcome, write_receipt
from pipeline.video import FRAME_HEIGHT, FRAME_WIDTH


class ShardLabeller:
    """Label shards one after another with the same product and decoding processes; close it after use.

    Args:
        product: loaded: the teachers on their device.
        settings: limits of decoding, compression.
        shards_dir: where shards and receipts go.
        num_decoders: decoding processes.
        on_frames: called with the number of frames each time some are labelled.
        run: names the driver's run in the journals.
    """

    def __init__(
        self,
        product: LoadedProduct,
        settings: LabelSettings,
        shards_dir: Path,
        num_decoders: int = 1,
        on_frames: Callable[[int], None] = lambda _: None,
        *,
        run: str = IN_PROCESS,
    ) -> None:
        self._product = product
        self._run = run
        self._settings = settings
        self._shards_dir = shards_dir
        self._on_frames = on_frames
        self._is_fresh = True
        self._write_sec = 0.0
        self._batches: RowMaker | None = None
        self._decoders = DecodeAhead(
            num_decoders,
            stall_sec=settings.stall_sec,
            limits=settings.decode_limits,
            max_attempts=settings.max_attempts,
        )

    @property
    def teacher_sec(self) -> float:
        """How long the product has been at the present frames; 0 where the labeller does something else."""
        return 0.0 if self._batches is None else self._batches.present_sec

    def close(self) -> None:
        """End the decoding processes."""
        self._decoders.close()

    def label_shard(self, task: ShardTask) -> Receipt:
        """Label every video of a shard; leave the file, then its receipt, for `placing.place_pair` to commit.

        Returns:
            The receipt as written.

        Raises:
            SourceError: the disk of the videos fails, or is not there.
            WorkspaceError: the disk is full or cannot be written. Nothing of the shard stays.
            PredictionError: a teacher raised an error, or gave labels that are none; the journal says where.
        """
        shard, header = task.shard, task.header
        self._write_sec = 0.0
        batches = self._batches = self._product.make_rows()
        began = self._lap(batches)
        made = attempt_paths(self._shards_dir, shard.name, task.attempt)
        old_path = final_paths(self._shards_dir, shard.name).shard
        journal_path = journal_path_of(self._shards_dir, task)
        is_fresh, self._is_fresh = self._is_fresh, False
        with (
            CommittedLabels(old_path) if task.again is not None else nullcontext() as committed,
            ShardJournal(journal_path, self._run, task.attempt, is_fresh=is_fresh) as journal,
        ):
            pieces = Pieces(self._shards_dir, task)
            if journal.history.any_passed:
                pieces.find()
            earlier = list(pieces.receipts.values())
            settled = self._settled(task, committed, journal)
            if journal.history.suspects:
                self._label_apart(task, settled.keys(), committed, journal, pieces, batches)
            with ShardWriter(made.shard, header, self._settings.compression) as writer:
                ledger = Ledger(writer, committed)
                self._label_videos(task, {**pieces.kept(), **settled}, journal, batches, ledger)
                with self._writing():
                    entries = ledger.finish()
                    summary = writer.commit()
        lap = self._lap(batches).since(began)
        for piece in earlier:
            # What an earlier attempt took for it is part of what the shard took.
            lap = lap.plus(_Lap(piece.seconds, piece.stage_seconds))
        receipt = _receipt(task, summary, entries, task.attempt, lap)
        write_receipt(made.receipt, receipt)
        pieces.remove()
        return receipt

    def _settled(
        self, task: ShardTask, committed: CommittedLabels | None, journal: ShardJournal
    ) -> dict[str, VideoEnd | KeptVideo]:
        """Return the videos whose end is known before they begin."""
        settled: dict[str, VideoEnd | KeptVideo] = {}
        for video_id, verdict in journal.history.condemned.items():
            done = VideoDone(0, None, verdict.reason, f"{video_id}: {verdict.message}", False)
            settled[video_id] = VideoEnd(done, verdict.attempts)
        if committed is not None and task.again is not None:
            settled.update(committed.kept(task.again))
        return settled

    def _label_apart(
        self,
        task: ShardTask,
        settled: Set[str],
        committed: CommittedLabels | None,
        journal: ShardJournal,
        pieces: Pieces,
        batches: RowMaker,
    ) -> None:
        """Label every video that is neither settled nor there yet by itself, suspects first, and keep each."""
        # Teachers that die of any frames at all do so here, with no video in hand to take the blame.
        batches.add(np.zeros((self._product.trial_frames, FRAME_HEIGHT, FRAME_WIDTH, 3), np.uint8))
        batches.finish()
        suspects = journal.history.suspects
        records = [record for record in pieces.missing(task.shard.records) if record.video_id not in settled]
        # The last suspect first: it was the one that came to the teachers when they died.
        records = [record for record in reversed(records) if record.video_id in suspects] + [
            record for record in records if record.video_id not in suspects
        ]
        decoded = self._decoders.events(records, task.witnesses)
        for record in records:
            began = self._lap(batches)
            with ShardWriter(pieces.shard_path(record.video_id), task.header, self._settings.compression) as writer:
                ledger = Ledger(writer, committed)
                for _, event in decoded:
                    self._take(record, event, journal, batches, ledger, alone=True)
                    if isinstance(event, VideoEnd):
                        break
                self._pass_on(ledger, batches.finish())
                journal.note(())
                with self._writing():
                    entries = ledger.finish()
                    summary = writer.commit()
            pieces.add(_receipt(task, summary, entries, "", self._lap(batches).since(began)))

    def _label_videos(
        self,
        task: ShardTask,
        settled: Mapping[str, VideoEnd | KeptVideo],
        journal: ShardJournal,
        batches: RowMaker,
        ledger: Ledger,
    ) -> None:
        """Bring every video of the shard through the product, or past it, to the ledger."""
        for record, event in self._events(task, settled):
            if isinstance(event, KeptVideo):
                self._pass_on(ledger, batches.finish())
                journal.note(())
                with self._writing():
                    ledger.keep(event)
            else:
                self._take(record, event, journal, batches, ledger)
        self._pass_on(ledger, batches.finish())
        journal.note(())

    def _take(
        self,
        record: VideoRecord,
        event: DecodedChunk | VideoRestarted | VideoEnd,
        journal: ShardJournal,
        batches: RowMaker,
        ledger: Ledger,
        *,
        alone: bool = False,
    ) -> None:
        """Pass on what came of a video that is being decoded."""
        if isinstance(event, DecodedChunk):
            ledger.expect(record, event)
            journal.note(ledger.in_hand, alone=alone, frames=ledger.frames_given if alone else 0)
            self._pass_on(ledger, batches.add(event.pixels))
            return
        self._pass_on(ledger, batches.end_video())
        if isinstance(event, VideoEnd):
            ledger.close(record, event)
        else:
            ledger.void(record)

    def _events(
        self, task: ShardTask, settled: Mapping[str, VideoEnd | KeptVideo]
    ) -> Iterator[tuple[VideoRecord, DecodedChunk | VideoRestarted | VideoEnd | KeptVideo]]:
        """Decode the videos in order, but those whose end is settled before they begin."""
        wanted = [record for record in task.shard.records if record.video_id not in settled]
        decoded = self._decoders.events(wanted, task.witnesses, task.then)
        for record in task.shard.records:
            if record.video_id in settled:
                yield record, settled[record.video_id]
                continue
            for decoding, event in decoded:
                yield decoding, event
                if isinstance(event, VideoEnd):
                    break

    def _pass_on(self, ledger: Ledger, all_rows: list[FrameRows]) -> None:
        for rows in all_rows:
            with self._writing():
                ledger.write(rows)
            self._on_frames(rows.num_frames)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Count the time in which the product waits for the file."""
        started = time.monotonic()
        yield
        self._write_sec += time.monotonic() - started

    def _lap(self, batches: RowMaker) -> "_Lap":
        """Read the clocks."""
        stage_seconds = {
            "decode_wait": self._decoders.wait_sec,
            "decode_alone": self._decoders.alone_sec,
            self._product.stage: batches.busy_sec,
            "write": self._write_sec,
        }
        return _Lap(time.monotonic(), stage_seconds)


class _Lap(NamedTuple):
    """Seconds in all, and by stage."""

    seconds: float
    stage_seconds: dict[str, float]

    def since(self, began: "_Lap") -> "_Lap":
        """Return what went by between two readings of the clocks."""
        stages = {stage: seconds - began.stage_seconds[stage] for stage, seconds in self.stage_seconds.items()}
        return _Lap(self.seconds - began.seconds, stages)

    def plus(self, other: "_Lap") -> "_Lap":
        """Return both together."""
        stages = {stage: seconds + other.stage_seconds.get(stage, 0) for stage, seconds in self.stage_seconds.items()}
        return _Lap(self.seconds + other.seconds, stages)


def _receipt(
    task: ShardTask, summary: ShardSummary, entries: Sequence[VideoOutcome], attempt: str, lap: _Lap
) -> Receipt:
    header, shard = task.header, task.shard
    return Receipt(
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
        attempt=attempt,
        seconds=lap.seconds,
        stage_seconds=lap.stage_seconds,
    )
