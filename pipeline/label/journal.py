"""The journal of one shard: which videos were in a worker's hands when it died. It survives worker and driver.

A file of JSON lines beside the shard, removed once the shard is committed. An attempt begins with the run it belongs
to; each line after that replaces the one before: the videos whose frames are in the teachers. What stands last in an
attempt that has no end is what its worker died with.

A death says little of a video that shared the teachers with others, so the next attempt labels each of them alone. It
says nothing when the driver died as well: machines end, and videos in hand are not to blame.
"""

import contextlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from pipeline.errors import WorkspaceError
from pipeline.files import disk_fault
from pipeline.label.tasks import ShardTask
from pipeline.store import is_local, remove, write_atomically

JOURNAL_SUFFIX = ".journal"
# Deaths in a row, the last ones alone and at the same frame, after which a video is held to be their cause.
MAX_DEATHS = 3
# The run of a worker that is its own driver: when one dies so does the other, and each death counts.
IN_PROCESS = "in-process"


def journal_path_of(shards_dir: Path, task: ShardTask) -> Path:
    """Return the path of a shard's journal; a second worker at the same shard keeps one of its own."""
    return shards_dir / f"{task.name}{'.copy' if task.is_copy else ''}{JOURNAL_SUFFIX}"


def forget_journals(shards_dir: Path, shard_name: str) -> None:
    """Remove a shard's journals; call it when the shard is committed, not before: until then they are needed."""
    for suffix in ("", ".copy"):
        remove(shards_dir / f"{shard_name}{suffix}{JOURNAL_SUFFIX}")


@dataclass(frozen=True)
class JournalHistory:
    """What earlier attempts at a shard say of its videos.

    Attributes:
        suspects: videos that a worker died with, not passed since: to be labelled alone.
        condemned: videos that workers died with `MAX_DEATHS` times: not to be labelled, and how often they died.
    """

    suspects: frozenset[str] = frozenset()
    condemned: dict[str, int] = field(default_factory=dict)


@dataclass
class _Attempt:
    run: str
    # The last line: videos in hand, whether the only one was alone on purpose, its labelled frames.
    in_hand: list[str] = field(default_factory=list)
    alone: bool = False
    frames: int = 0
    seen: set[str] = field(default_factory=set)
    ended: bool = False


def read_history(path: Path, run: str) -> JournalHistory:
    """Read what earlier attempts left; nothing where there were none.

    Args:
        path: of the journal.
        run: the run that asks: the death of another run's last attempt came with its driver's.
    """
    attempts = _read_attempts(path)
    deaths: dict[str, int] = {}
    places: dict[str, int] = {}
    for number, attempt in enumerate(attempts):
        for video_id in attempt.seen.difference(attempt.in_hand):
            deaths.pop(video_id, None)
            places.pop(video_id, None)
        if attempt.ended:
            continue
        following = attempts[number + 1].run if number + 1 < len(attempts) else run
        for video_id in attempt.in_hand:
            before = deaths.setdefault(video_id, 0)
            if attempt.run != following:
                continue
            if not attempt.alone:
                deaths[video_id] = max(before, 1)
            elif places.setdefault(video_id, attempt.frames) == attempt.frames:
                deaths[video_id] = before + 1
            else:
                # It got to another frame this time: what kills the workers is not there.
                deaths[video_id], places[video_id] = 1, attempt.frames
    condemned = {video_id: count for video_id, count in deaths.items() if count >= MAX_DEATHS}
    return JournalHistory(frozenset(deaths.keys() - condemned.keys()), condemned)


class ShardJournal:
    """One attempt's entries; a context manager. An exception ends the attempt: its videos are not to blame for that.

    Args:
        path: of the journal.
        run: names the run; `IN_PROCESS` where worker and driver are one process.
    """

    def __init__(self, path: Path, run: str) -> None:
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
        self._write({"run": run})

    def note(self, in_hand: Sequence[str], *, alone: bool = False, frames: int = 0) -> None:
        """Say which videos' frames are with the teachers from now on; call it before they are.

        Args:
            in_hand: their ids.
            alone: it is one video, kept apart from all others.
            frames: of that video, labelled so far.
        """
        self._write({"in_hand": list(in_hand), **({"alone": True, "frames": frames} if alone else {})})

    def __enter__(self) -> "ShardJournal":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # On a full disk the line may be missing; the videos then count as suspects once more, which costs little.
        with contextlib.suppress(OSError, WorkspaceError):
            self._append({"ended": True})
        if self._descriptor >= 0:
            os.close(self._descriptor)

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
            attempts.append(_Attempt(entry["run"]))
        elif attempts and "ended" in entry:
            attempts[-1].ended = True
        elif attempts:
            attempt = attempts[-1]
            attempt.in_hand = entry["in_hand"]
            attempt.alone = entry.get("alone", False)
            attempt.frames = entry.get("frames", 0)
            attempt.seen.update(attempt.in_hand)
    return attempts
