"""Writing files on a local disk so that a kill or a full disk never leaves half of one under its final name.

What may lie in a store instead goes through `pipeline.store`, which is built on this.
"""

import contextlib
import errno
import hashlib
import os
import stat
import uuid
from collections.abc import Iterator
from pathlib import Path

from pipeline.errors import WorkspaceError

# What a disk says when it takes no more: full, over quota, larger than the process may write.
_FULL_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def disk_fault(path: Path, error: OSError, done: str = "written") -> WorkspaceError:
    """Turn an OSError met while `path` was written, or read, or removed, into one clear line; the caller raises it."""
    if error.errno in _FULL_DISK:
        return WorkspaceError(
            f"{path}: the disk takes no more ({os.strerror(error.errno)}); what was finished before is kept: "
            "free some space or move the workspace, then run the same command again"
        )
    return WorkspaceError(
        f"{path}: cannot be {done} ({error.strerror or error}); "
        "see that the folder exists, is writable and its disk healthy, then run the same command again"
    )


@contextlib.contextmanager
def faults_named(path: Path, done: str = "written") -> Iterator[None]:
    """Turn every OSError of the block, which does so with `path`, into a WorkspaceError of one clear line."""
    try:
        yield
    except OSError as error:
        raise disk_fault(path, error, done) from error


@contextlib.contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`, and make its file durable and final when the block ends well.

    When the block raises, the temporary file is removed and `path` keeps its old content. The file has the mode of any
    new file, also where a library made it for its owner alone.

    Raises:
        WorkspaceError: the disk is full or cannot be written.
    """
    part_path = path.with_name(part_name_of(path))
    try:
        yield part_path
        _open_to_umask(part_path)
        fsync_file(part_path)
        publish(part_path, path)
    except OSError as error:
        raise disk_fault(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            part_path.unlink(missing_ok=True)


def _open_to_umask(path: Path) -> None:
    """Give a file that its owner alone may use the mode that a new file has in its folder. Raises OSError.

    Safetensors makes such files. A new file is made to see the mode: the umask cannot be read without changing it for
    all threads, and a folder may have rules of its own.
    """
    if path.stat().st_mode & 0o077:
        return
    probe_path = path.with_name(part_name_of(path))
    try:
        probe_path.touch()
        path.chmod(stat.S_IMODE(probe_path.stat().st_mode))
    finally:
        probe_path.unlink(missing_ok=True)


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write a whole file (text as UTF-8): after a kill at any moment it has its old content or the new one.

    Raises:
        WorkspaceError: the disk is full or cannot be written; the old content stays.
    """
    with writing(path) as part_path:
        part_path.write_bytes(content.encode() if isinstance(content, str) else content)


def part_name_of(path: Path) -> str:
    """Name a new file in which the content of `path` can be made; no other process, on any machine, has the name."""
    return f"{path.name}.{uuid.uuid4().hex[:12]}.part"


def publish(part_path: Path, path: Path) -> None:
    """Give a file that is on the disk (fsynced) its final name: rename, fsync the folder. Raises OSError."""
    part_path.replace(path)
    fsync_dir(path.parent)


def fsync_file(path: Path) -> None:
    """Wait until a closed file's content is on the disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fsync_dir(folder: Path) -> None:
    """Wait until a folder's entries (new names, renames) are on the disk. Raises OSError."""
    fsync_file(folder)


def sha256_of_file(path: Path) -> str:
    """Return the hex SHA-256 of a file's content. Raises OSError."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
