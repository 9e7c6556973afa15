"""The journal of one shard: which videos were in a worker's hands when it died. It survives worker and driver.

A file of JSON lines beside the shard, removed once the shard is committed. An attempt begins with the run it belongs
to; each line with videos replaces the one before: the videos whose frames are in the teachers. What stands last in an
attempt is what its worker died, hung or failed with, unless a line after it says that the attempt blames nobody.

An end says little of a video that shared the teachers with others, or that came to a process after others: what was
gathered before may have ended it, as a leak does. So the next attempt labels each of them alone, and only what is the
first in its process can be held to be the cause. An end says nothing when the driver died as well: machines end, and
videos in hand are not to blame.
"""

import contextlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from pipeline.errors import KinetError, PredictionError, Reason, WorkspaceError
from pipeline.files import disk_fault
from pipeline.label.tasks import ShardTask
from pipeline.store import is_local, remove, write_atomically

JOURNAL_SUFFIX = ".journal"
COPY_JOURNAL_SUFFIX = f".copy{JOURNAL_SUFFIX}"
# Bad ends in a row, alone, first in a fresh process and at the same frame, after which a video is held to be the cause.
MAX_DEATHS = 3
# As many alone, at whatever frames: a video may kill now here, now there. Deaths of a worker that is its own driver do
# not count so: whether its machine was preempted, nobody is left to say.
MAX_DEATHS_ANYWHERE = 6
# The run of a worker that is its own driver: when one dies so does the other.
IN_PROCESS = "in-process"
# What is kept of a teacher's error.
_MAX_MESSAGE = 300


def journal_path_of(shards_dir: Path, task: ShardTask) -> Path:
    """Return the path of a shard's journal; a second worker at the same shard keeps one of its own."""
    return shards_dir / f"{task.name}{COPY_JOURNAL_SUFFIX if task.is_copy else JOURNAL_SUFFIX}"


def forget_journals(shards_dir: Path, shard_name: str) -> None:
    """Remove a shard's journals; call it when the shard is committed, not before: until then they are needed."""
    for suffix in (JOURNAL_SUFFIX, COPY_JOURNAL_SUFFIX):
        remove(shards_dir / f"{shard_name}{suffix}")


@dataclass(frozen=True)
class Condemned:
    """A video that is not to be labelled: in how many attempts it did harm, and which."""

    attempts: int
    reason: Reason
    message: str


@dataclass(frozen=True)
class JournalHistory:
    """What earlier attempts at a shard say of its videos.

    Attributes:
        suspects: videos that an attempt ended badly with, not passed since: to be labelled alone, before all others.
        condemned: videos that are the cause of so many bad ends that they are not to be labelled.
        num_explained: bad ends that condemned videos answer for, or that came after other videos were kept, or will
            come to a verdict: all with one video alone in the teachers.
        ended: the last attempt ended with its machine or by a signal, as it says itself.
        any_passed: the teachers are known to be done with some video.
        in_hand: videos that the last attempt ended with.
    """

    suspects: frozenset[str] = frozenset()
    condemned: dict[str, Condemned] = field(default_factory=dict)
    num_explained: int = 0
    ended: bool = False
    any_passed: bool = False
    in_hand: tuple[str, ...] = field(default=(), compare=False)


@dataclass
class _Attempt:
    run: str
    # Its process had labelled nothing before.
    is_fresh: bool = True
    # The last line: videos in hand, whether the only one was alone on purpose, its frames given to the teachers.
    in_hand: list[str] = field(default_factory=list)
    alone: bool = False
    frames: int = 0
    seen: set[str] = field(default_factory=set)
    blameless: bool = False
    # It was said what ended it: a hang, an error. A death is silent.
    has_spoken: bool = False
    harm: tuple[Reason, str] = (Reason.CRASHED, "a worker died labelling it")

    @property
    def tells(self) -> bool:
        """Whether its bad end says something of the one video in hand, and not of what came before."""
        # An error came right after plain frames that raised none, in the same process.
        is_fresh = self.is_fresh or self.harm[0] is Reason.TEACHER_FAILED
        return self.alone and is_fresh and len(self.seen) == 1


@dataclass
class _Record:
    """The bad ends that tell of one video: those in a row that agree, those that count anywhere, the last one's frame.

    Those count anywhere, at whatever frames they were, of which it is known that the machine was there.
    """

    agreeing: int = 0
    anywhere: int = 0
    place: int | None = None
    harm: tuple[Reason, str] = (Reason.CRASHED, "")

    def add(self, attempt: _Attempt) -> None:
        """Count an attempt that ended badly with the video in hand."""
        self.harm = attempt.harm
        if not attempt.tells:
            return
        self.anywhere += attempt.run != IN_PROCESS or attempt.has_spoken
        # At another frame than the last time, what does the harm may not be there.
        self.agreeing = self.agreeing + 1 if self.place in (None, attempt.frames) else 1
        self.place = attempt.frames

    @property
    def condemned(self) -> Condemned | None:
        """The verdict, where there is one."""
        attempts = self.agreeing if self.agreeing >= MAX_DEATHS else self.anywhere
        if self.agreeing < MAX_DEATHS and self.anywhere < MAX_DEATHS_ANYWHERE:
            return None
        reason, message = self.harm
        return Condemned(attempts, reason, f"{message}, in each of {attempts} attempts")


def read_history(path: Path, run: str) -> JournalHistory:
    """Read what earlier attempts left; nothing where there were none.

    Args:
        path: of the journal.
        run: the run that asks: the death of another run's last attempt came with its driver's.
    """
    attempts = _read_attempts(path)
    records: dict[str, _Record] = {}
    any_passed = False
    ended_badly: list[_Attempt] = []
    for number, attempt in enumerate(attempts):
        passed = attempt.seen.difference(attempt.in_hand)
        any_passed |= bool(passed)
        for video_id in passed:
            records.pop(video_id, None)
        if attempt.blameless:
            continue
        following = attempts[number + 1].run if number + 1 < len(attempts) else run
        if attempt.run == following:
            ended_badly.append(attempt)
        for video_id in attempt.in_hand:
            record = records.setdefault(video_id, _Record())
            if attempt.run == following:
                record.add(attempt)
    condemned = {video_id: verdict for video_id, record in records.items() if (verdict := record.condemned)}
    return JournalHistory(
        suspects=frozenset(records.keys() - condemned.keys()),
        condemned=condemned,
        num_explained=sum(attempt.alone or not condemned.keys().isdisjoint(attempt.in_hand) for attempt in ended_badly),
        ended=bool(attempts) and attempts[-1].blameless,
        any_passed=any_passed,
        in_hand=tuple(attempts[-1].in_hand) if attempts else (),
    )


def fold_copy(shards_dir: Path, shard_name: str) -> None:
    """Add what a second worker's journal says to the shard's own; call it when nobody is at work on the shard."""
    own, copy = (shards_dir / f"{shard_name}{suffix}" for suffix in (JOURNAL_SUFFIX, COPY_JOURNAL_SUFFIX))
    if content := _read(copy):
        _append_bytes(own, b"\n" + content)
        remove(copy)


def excuse_attempt(path: Path) -> None:
    """Say, as the driver, that the last attempt ended with its machine, which is no video's doing."""
    _append_line(path, {"ended": True})


def note_hang(path: Path, seconds: float) -> None:
    """Say, as the driver, that the last attempt was ended because a teacher came to no end."""
    _append_line(path, {"harm": Reason.TIMEOUT, "message": f"a teacher, or flow, gave nothing for {seconds:.0f} s"})


class ShardJournal:
    """One attempt's entries; a context manager.

    A fault of data or environment and a signal end the attempt without blame. Any other error is the teachers', raised
    or found in their labels: it counts against the videos in hand as a death does, and goes on as a PredictionError.

    Args:
        path: of the journal.
        run: names the run; `IN_PROCESS` where worker and driver are one process.
        is_fresh: this process has labelled nothing before.
    """

    def __init__(self, path: Path, run: str, *, is_fresh: bool = True) -> None:
        self._path = path
        self._last: dict[str, Any] = {}
        self.history = read_history(path, run)
        self._descriptor = -1
        # A store cannot append: there the whole journal is written each time. It is small.
        self._content = b""
        if is_local(path):
            try:
                self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
            except OSError as error:
                raise disk_fault(path, error) from error
        else:
            self._content = _read(path)
        self._write({"run": run} if is_fresh else {"run": run, "fresh": False})

    def note(self, in_hand: Sequence[str], *, alone: bool = False, frames: int = 0) -> None:
        """Say which videos' frames are with the teachers from now on; call it before they are.

        Args:
            in_hand: their ids.
            alone: it is one video, kept apart from all others.
            frames: of that video, given to the teachers so far.
        """
        self._write({"in_hand": list(in_hand), **({"alone": True, "frames": frames} if alone else {})})

    def __enter__(self) -> "ShardJournal":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        of_teachers = isinstance(error, Exception) and not isinstance(error, KinetError | OSError)
        entry: dict[str, Any] = {"ended": True}
        if of_teachers:
            entry = {"harm": Reason.TEACHER_FAILED, "message": _describe(error)}
        # On a full disk the line may be missing; the videos then count as suspects once more, which costs little.
        with contextlib.suppress(OSError, WorkspaceError):
            self._append(entry)
        if self._descriptor >= 0:
            os.close(self._descriptor)
        if error is not None and of_teachers:
            raise PredictionError(_describe(error), with_videos=bool(self._last.get("in_hand"))) from error

    def _write(self, entry: dict[str, Any]) -> None:
        if entry == self._last:
            return
        self._last = entry
        try:
            self._append(entry)
        except OSError as error:
            raise disk_fault(self._path, error) from error

    def _append(self, entry: dict[str, Any]) -> None:
        line = json.dumps(entry).encode() + b"\n"
        if self._descriptor >= 0:
            # One write, not fsynced: it must outlive processes, and a machine that dies blames nobody.
            os.write(self._descriptor, line)
        else:
            self._content += line
            write_atomically(self._path, self._content)


def _describe(error: BaseException | None) -> str:
    """Put an error into one line of bounded length."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:_MAX_MESSAGE]


def _append_line(path: Path, entry: dict[str, Any]) -> None:
    """Add a line to the journal of a worker that is gone; it may have left half a line."""
    _append_bytes(path, b"\n" + json.dumps(entry).encode() + b"\n")


def _append_bytes(path: Path, lines: bytes) -> None:
    if not is_local(path):
        write_atomically(path, _read(path) + lines)
        return
    try:
        with path.open("ab") as stream:
            stream.write(lines)
    except OSError as error:
        raise disk_fault(path, error) from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def _read_attempts(path: Path) -> list[_Attempt]:
    attempts: list[_Attempt] = []
    for line in _read(path).splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            # The line that a dying machine left half written.
            continue
        if "run" in entry:
            attempts.append(_Attempt(entry["run"], entry.get("fresh", True)))
        elif attempts and "ended" in entry:
            attempts[-1].blameless = True
        elif attempts and "harm" in entry:
            attempts[-1].harm = Reason(entry["harm"]), entry["message"]
            attempts[-1].has_spoken = True
        elif attempts:
            attempt = attempts[-1]
            attempt.in_hand = entry["in_hand"]
            attempt.alone = entry.get("alone", False)
            attempt.frames = entry.get("frames", 0)
            attempt.seen.update(attempt.in_hand)
    return attempts
