"""One run at a time at a folder: a lock on a local disk, a lease with a heartbeat in a store."""

import dataclasses
import fcntl
import json
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import WorkspaceError
from pipeline.store import create_exclusively, is_local, make_dir, read_files, remove, write_atomically

logger = logging.getLogger(__name__)

LEASE_NAME = "lease.json"
HEARTBEAT_SEC = 15.0
# A run that gave no sign of life for so long has ended; longer than clocks differ.
EXPIRY_SEC = 90.0


@dataclass(frozen=True)
class Holder:
    """Who holds a folder: a process, its own token, and its last sign of life (seconds since 1970)."""

    pid: int
    host: str
    token: str
    alive_at: float

    @classmethod
    def myself(cls) -> "Holder":
        """Name this process, now."""
        return cls(os.getpid(), socket.gethostname(), uuid.uuid4().hex, time.time())

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"

    def has_ended(self) -> bool:
        """Tell whether the holder is gone: no such process on this machine, or no sign of life from another one."""
        if self.host == socket.gethostname():
            try:
                os.kill(self.pid, 0)
            except ProcessLookupError:
                return True
            except PermissionError:
                pass
        return time.time() - self.alive_at > EXPIRY_SEC


class Hold:
    """What a run has while it holds a folder."""

    def __init__(self) -> None:
        self.lost_to: Holder | None = None

    def check(self) -> None:
        """Raise WorkspaceError where another run has taken the folder over; call it now and then."""
        if self.lost_to is not None:
            raise WorkspaceError(
                f"another label run took over ({self.lost_to}), since this one could not give a sign of life for "
                f"{EXPIRY_SEC:.0f} s; what it finished is kept"
            )


@contextmanager
def only_run(folder: Path) -> Iterator[Hold]:
    """Hold a folder for this run; raise WorkspaceError where another one does, or the folder cannot be written."""
    with _flock(folder) if is_local(folder) else _lease(folder) as hold:
        yield hold


@contextmanager
def _flock(folder: Path) -> Iterator[Hold]:
    """Lock a file; the lock goes with the process, however it ends."""
    path = folder / ".lock"
    try:
        make_dir(folder)
        stream = path.open("a+")
    except OSError as error:
        raise WorkspaceError(f"{path}: {error.strerror}; give a workspace that can be written") from error
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            stream.seek(0)
            raise _taken(folder, stream.read().strip() or "unknown") from error
        except OSError as error:
            raise WorkspaceError(
                f"{path}: cannot be locked ({error.strerror}); mount its file system with locks, or give a workspace "
                "on another one"
            ) from error
        stream.truncate(0)
        stream.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        stream.flush()
        yield Hold()


@contextmanager
def _lease(folder: Path) -> Iterator[Hold]:
    """Keep an object with this run's name in a store and renew it; it is removed at the end.

    Two runs that take over an ended one's lease at the same moment may both begin; the one that was overwritten finds
    out at its next heartbeat. Should both place one shard in between, readers find that its receipt does not fit.
    """
    path, me, hold, ended = folder / LEASE_NAME, Holder.myself(), Hold(), threading.Event()
    if not create_exclusively(path, _as_text(me)):
        holder = _read(path)
        if holder is not None and not holder.has_ended():
            raise _taken(folder, f"{holder}, alive {max(0, time.time() - holder.alive_at):.0f} s ago")
        write_atomically(path, _as_text(me))
        holder = _read(path)
        if holder is not None and holder.token != me.token:
            raise _taken(folder, str(holder))
    heart = threading.Thread(target=_beat, args=(path, me, hold, ended), daemon=True)
    heart.start()
    try:
        yield hold
    finally:
        ended.set()
        heart.join()
        holder = _read(path)
        if holder is not None and holder.token == me.token:
            remove(path)


def _beat(path: Path, me: Holder, hold: Hold, ended: threading.Event) -> None:
    """Renew the lease until the run ends or another one has taken it."""
    while not ended.wait(HEARTBEAT_SEC):
        try:
            holder = _read(path)
            if holder is not None and holder.token != me.token:
                hold.lost_to = holder
                return
            write_atomically(path, _as_text(dataclasses.replace(me, alive_at=time.time())))
        except WorkspaceError as error:
            logger.warning("no sign of life could be given: %s", error)


def _read(path: Path) -> Holder | None:
    """Read a lease; None where there is none, or no sense in it."""
    try:
        return Holder(**json.loads(next(read_files([path]))))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def _as_text(holder: Holder) -> str:
    return json.dumps(dataclasses.asdict(holder)) + "\n"


def _taken(folder: Path, holder: str) -> WorkspaceError:
    return WorkspaceError(f"{folder}: another label run is at work here ({holder}); wait for it, or end it")
