"""Decode the videos of a shard ahead of the teachers, in processes that may crash or hang without harm."""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from manifests import VideoRecord
from pipeline.errors import Reason, WorkspaceError
from pipeline.label.decoder import DECODER_PROGRAM, DecodedChunk, Decoder
from pipeline.label.decoder_end import Death, EndedFromOutside, pause_after
from pipeline.label.frame_ring import choose_num_slots
from pipeline.label.messages import MAX_ATTEMPTS, DecodeLimits, SightCheck, VideoDone
from pipeline.memory import count_memory_bytes
from pipeline.processors import count_processors
from pipeline.video_disk import NO_WITNESSES, Witnesses

# What a video is called, too, whose disk is not mounted, asks for a password, or does not answer.
NO_SUCH_FILE = frozenset({Reason.MISSING, Reason.UNREADABLE})
LIKE_A_LOST_DISK = NO_SUCH_FILE | {Reason.TIMEOUT}


@dataclass(frozen=True)
class VideoRestarted:
    """The decoder died on the video; what came of it before is void, and it is decoded from its first frame again."""


@dataclass(frozen=True)
class VideoEnd:
    """How a video ended, and in how many attempts."""

    done: VideoDone
    attempts: int


DecodeEvent = tuple[VideoRecord, DecodedChunk | VideoRestarted | VideoEnd]


class DecodeAhead:
    """A few decoding processes that work through lists of videos; close it after use.

    The thread that calls `events` must live as long as the processes shall: the kernel ends them with it.

    Args:
        num_processes: how many decode side by side.
        slots_ahead: chunks of 16 frames that each may decode before they are asked for; None goes by the memory.
        stall_sec: a decoder that sends nothing for so long while its video is waited for has hung.
        limits: of one process and one video.
        max_attempts: a video whose decoder died or hung so often is given up.
        program: the module that decodes; another one than ours in tests.

    Attributes:
        wait_sec: how long `events` waited for decoders that were at work together.
        alone_sec: how long it waited for one while the others had nothing to do, or no room.
    """

    def __init__(
        self,
        num_processes: int,
        *,
        slots_ahead: int | None = None,
        stall_sec: float = 120.0,
        limits: DecodeLimits | None = None,
        max_attempts: int = MAX_ATTEMPTS,
        program: str = DECODER_PROGRAM,
    ) -> None:
        if num_processes < 1 or max_attempts < 1:
            raise ValueError(f"num_processes is {num_processes}, max_attempts {max_attempts}; give 1 or more")
        self._max_attempts = max_attempts
        self.wait_sec = 0.0
        self.alone_sec = 0.0
        num_slots = slots_ahead or choose_num_slots(
            num_processes, memory_bytes=count_memory_bytes(), num_processors=count_processors()
        )
        self._all = [Decoder(program, limits or DecodeLimits(), stall_sec, num_slots) for _ in range(num_processes)]
        self._idle = list(self._all)
        # Videos of the present list, and of the next one, and who decodes them: those first that began first.
        self._at_work: deque[tuple[VideoRecord, Decoder]] = deque()
        self._begun: deque[tuple[VideoRecord, Decoder]] = deque()

    def close(self) -> None:
        """End the processes."""
        for decoder in self._all:
            decoder.close()

    def events(
        self,
        records: Sequence[VideoRecord],
        witnesses: Witnesses = NO_WITNESSES,
        then: Sequence[VideoRecord] = (),
    ) -> Iterator[DecodeEvent]:
        """Yield the events of all videos, video after video in the order given; each ends in one VideoEnd.

        Args:
            records: the videos.
            witnesses: of their disk; without any, every file that is not there is missing.
            then: the videos that will most likely be asked for next: processes that have nothing else to do begin with
                them. Where others are asked for, they have worked in vain.

        Raises:
            SourceError: the disk of the videos fails, or is not there.
            WorkspaceError: a video's decoder was ended from outside again and again, or the system gives none.
            KinetError: decoding processes end as soon as they start.
        """
        waiting, following = deque(records), deque(then)
        # What an earlier call left, if it was not closed yet.
        self._abandon(self._at_work)
        at_work = self._at_work = self._take_over(waiting)
        try:
            while waiting or at_work:
                self._begin(waiting, following)
                record, decoder = at_work[0]
                for event in self._read_video(record, decoder, witnesses):
                    if isinstance(event, VideoEnd):
                        # Before it is passed on: who asks no more after the last end leaves no process at this work.
                        at_work.popleft()
                        self._idle.append(decoder)
                        self._begin(waiting, following)
                    yield record, event
        except Exception:
            # What was begun may have met the same trouble, and would tell of it when it is over.
            self._abandon(self._begun)
            raise
        finally:
            # Left early: what the others were sending belongs to nobody.
            self._abandon(at_work)

    def _take_over(self, waiting: deque[VideoRecord]) -> deque[tuple[VideoRecord, Decoder]]:
        """Return what was begun of this list, which waits no longer; where other videos were foreseen, end that."""
        taken: deque[tuple[VideoRecord, Decoder]] = deque()
        while self._begun and waiting and self._begun[0][0] == waiting[0]:
            taken.append(self._begun.popleft())
            waiting.popleft()
        self._abandon(self._begun)
        return taken

    def _begin(self, waiting: deque[VideoRecord], following: deque[VideoRecord]) -> None:
        """Give idle processes the videos that wait, and when there are none, those that follow."""
        while waiting and self._idle:
            self._idle[0].start(waiting[0].path)
            self._at_work.append((waiting.popleft(), self._idle.pop(0)))
        while following and self._idle:
            try:
                self._idle[0].start(following[0].path)
            except WorkspaceError:
                # No process to be had: nobody has asked for these yet.
                following.clear()
                return
            self._begun.append((following.popleft(), self._idle.pop(0)))

    def _abandon(self, at_work: deque[tuple[VideoRecord, Decoder]]) -> None:
        """End the processes of videos that nobody asks for any more."""
        while at_work:
            _, decoder = at_work.popleft()
            decoder.close()
            self._idle.append(decoder)

    def _read_video(
        self, record: VideoRecord, decoder: Decoder, witnesses: Witnesses
    ) -> Iterator[DecodedChunk | VideoRestarted | VideoEnd]:
        attempt, num_outside = 1, 0
        has_frames = has_looked = False
        while True:
            started = time.monotonic()
            received = decoder.receive()
            if isinstance(received, EndedFromOutside):
                pause_after(received, record.path, num_outside)
                num_outside += 1
            waited_sec = time.monotonic() - started
            if len(self._all) > 1 and not any(other.is_at_work for other in self._all if other is not decoder):
                self.alone_sec += waited_sec
            else:
                self.wait_sec += waited_sec
            if isinstance(received, DecodedChunk):
                has_frames = True
                yield received
                continue
            if not isinstance(received, EndedFromOutside) and received.reason in LIKE_A_LOST_DISK:
                decoder.require_sight(SightCheck(str(record.path), witnesses))
                if isinstance(received, VideoDone) and received.reason in NO_SUCH_FILE and not has_looked:
                    # It may have been found while the disk was away, long before it was asked for.
                    has_looked = True
                    if has_frames:
                        yield VideoRestarted()
                    decoder.start(record.path)
                    continue
            if isinstance(received, VideoDone) and not (received.read_failed and attempt < self._max_attempts):
                yield VideoEnd(received, attempt)
                return
            if isinstance(received, Death) and attempt == self._max_attempts:
                message = f"{record.path}: {received.message}, in each of {attempt} attempts"
                yield VideoEnd(VideoDone(0, None, received.reason, message, False), attempt)
                return
            attempt += not isinstance(received, EndedFromOutside)
            yield VideoRestarted()
            decoder.start(record.path)
