"""The journal of one shard: which videos were in a worker's hands when it died. It survives worker and driver.

A file of JSON lines beside the shard, removed once the shard is committed. An attempt begins with the run it belongs
to; each line with videos replaces the one before: the videos whose frames are in the teachers. What stands last in an
attempt is what its worker died, hung or failed with, unless a line after it says that the attempt blames nobody.

A store cannot append: there each note uploads the whole journal. So a line of which only the number of frames changes
is replaced, and beyond a video's first frames that number goes in steps: a long video takes one line and few uploads.

What the attempts say of the videos stands in `pipeline.label.blame`.
"""

import contextlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from pipeline.errors import KinetError, PredictionError, Reason, WorkspaceError
from pipeline.files import faults_named
from pipeline.label.blame import Attempt, JournalHistory, judge
from pipeline.label.tasks import ShardTask
from pipeline.store import is_local, read_present_files, remove, write_atomically

JOURNAL_SUFFIX = ".journal"
COPY_JOURNAL_SUFFIX = f".copy{JOURNAL_SUFFIX}"
# What is kept of a teacher's error.
_MAX_MESSAGE = 300
# In a store, a video's frames are noted chunk by chunk up to so many, then each time so many more are given: about 550
# uploads for 500,000 frames. Ends in the same step count as ends at the same frame.
STORE_STEP_FRAMES = 1024


def journal_path_of(shards_dir: Path, task: ShardTask) -> Path:
    """Return the path of a shard's journal; a second worker at the same shard keeps one of its own."""
    return shards_dir / f"{task.name}{COPY_JOURNAL_SUFFIX if task.is_copy else JOURNAL_SUFFIX}"


def forget_journals(shards_dir: Path, shard_name: str) -> None:
    """Remove a shard's journals; call it when the shard is committed, or what they say is not to be believed."""
    for suffix in (JOURNAL_SUFFIX, COPY_JOURNAL_SUFFIX):
        remove(shards_dir / f"{shard_name}{suffix}")


def read_history(path: Path, run: str) -> JournalHistory:
    """Read what earlier attempts left; nothing where there were none.

    Args:
        path: of the journal.
        run: the run that asks: the death of another run's last attempt came with its driver's.

    Raises:
        WorkspaceError: disk or store cannot be read.
    """
    return judge(_read_attempts(path), run)


def fold_copy(shards_dir: Path, shard_name: str) -> None:
    """Add what a second worker's journal says to the shard's own; call it when nobody is at work on the shard."""
    own, copy = (shards_dir / f"{shard_name}{suffix}" for suffix in (JOURNAL_SUFFIX, COPY_JOURNAL_SUFFIX))
    if content := _read(copy):
        _append_bytes(own, b"\n" + content)
        remove(copy)


def excuse_attempt(path: Path, attempt: str) -> None:
    """Say, as the driver, that an attempt ended with its machine, which is no video's doing."""
    _append_line(path, {"attempt": attempt, "ended": True})


def note_hang(path: Path, attempt: str, seconds: float) -> None:
    """Say, as the driver, that an attempt was ended because a teacher came to no end."""
    message = f"a teacher, or flow, gave nothing for {seconds:.0f} s"
    _append_line(path, {"attempt": attempt, "harm": Reason.TIMEOUT, "message": message})


class ShardJournal:
    """One attempt's entries; a context manager.

    A fault of data or environment and a signal end the attempt without blame. Any other error is the teachers', raised
    or found in their labels: it counts against the videos in hand as a death does, and goes on as a PredictionError.

    Args:
        path: of the journal.
        run: names the run; `IN_PROCESS` where worker and driver are one process.
        attempt: names the attempt.
        is_fresh: this process has labelled nothing before.
    """

    def __init__(self, path: Path, run: str, attempt: str = "", *, is_fresh: bool = True) -> None:
        self._path = path
        self._attempt = attempt
        self._last: dict[str, Any] = {}
        self.history = read_history(path, run)
        self._descriptor = -1
        # In a store: the whole journal, and where its last line begins.
        self._content = b""
        self._last_start = 0
        if is_local(path):
            with faults_named(path):
                self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        else:
            self._content = _read(path)
        self._write({"run": run, "fresh": is_fresh})

    def note(self, in_hand: Sequence[str], *, alone: bool = False, frames: int = 0) -> None:
        """Say which videos' frames are with the teachers from now on; call it before they are.

        Args:
            in_hand: their ids.
            alone: it is one video, kept apart from all others.
            frames: of that video, given to the teachers so far.
        """
        if self._descriptor < 0 and frames > STORE_STEP_FRAMES:
            frames -= frames % STORE_STEP_FRAMES
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
        only_frames_differ = "frames" in entry and {**self._last, "frames": entry["frames"]} == entry
        self._last = entry
        with faults_named(self._path):
            self._append(entry, replaces_last=only_frames_differ)

    def _append(self, entry: dict[str, Any], *, replaces_last: bool = False) -> None:
        """Add a line; in a store it may replace the last one."""
        line = json.dumps({"attempt": self._attempt, **entry}).encode() + b"\n"
        if self._descriptor >= 0:
            # One write, not fsynced: it must outlive processes, and a machine that dies blames nobody.
            os.write(self._descriptor, line)
        else:
            if not replaces_last:
                self._last_start = len(self._content)
            self._content = self._content[: self._last_start] + line
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
    with faults_named(path), path.open("ab") as stream:
        stream.write(lines)


def _read(path: Path) -> bytes:
    """Read a journal, empty where there is none. Raises WorkspaceError."""
    with faults_named(path, "read"):
        return next((content for _, content in read_present_files([path])), b"")


def _read_attempts(path: Path) -> list[Attempt]:
    attempts: list[Attempt] = []
    for line in _read(path).splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            # The line that a dying machine left half written.
            continue
        if "run" in entry:
            attempts.append(Attempt(entry["run"], entry.get("attempt", ""), entry.get("fresh", True)))
            continue
        # The driver may speak of one that ended before its first line, and a worker that was out of reach may come back
        # when another has begun.
        spoken_of = [attempt for attempt in attempts if attempt.name == entry.get("attempt", attempt.name)]
        if spoken_of:
            _take_up(spoken_of[-1], entry)
    return attempts


def _take_up(attempt: Attempt, entry: Mapping[str, Any]) -> None:
    """Note what a line says of an attempt."""
    if "ended" in entry:
        attempt.blameless = True
    elif "harm" in entry:
        attempt.harm = Reason(entry["harm"]), entry["message"]
        attempt.has_spoken = True
    else:
        attempt.in_hand = entry["in_hand"]
        attempt.alone = entry.get("alone", False)
        attempt.frames = entry.get("frames", 0)
        attempt.seen.update(attempt.in_hand)
