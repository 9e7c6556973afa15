"""A workspace's files, on a local disk or in a store that fsspec reaches (S3, memory): what is done differently there.

A file in a store is a `UPath`. It has pathlib's interface, and is passed around as a `Path`: what joins names, lists,
reads whole files and removes them need not know where it is. A store has no rename and no fsync, but an object appears
whole or not at all. What a local disk needs stands in `pipeline.files`, which this module is built on.
"""

import contextlib
import errno
import fnmatch
import hashlib
import os
import sys
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import fsspec
from upath import UPath

from pipeline import files
from pipeline.errors import WorkspaceError

_READ_TOGETHER = 256


def locate(text: str) -> Path:
    """Turn a folder or URL into a path; a ``file://`` URL is the local folder.

    Raises:
        WorkspaceError: an unknown kind of URL, a package that it needs is missing, or the store does not answer.
    """
    protocol, separator, rest = text.partition("://")
    if not separator or protocol == "file":
        return Path(rest if separator else text).absolute()
    try:
        fsspec.get_filesystem_class(protocol)
    except (ValueError, ImportError) as error:
        hint = "pip install kinet-pipeline[s3]" if protocol == "s3" else f"install fsspec's package for {protocol}"
        raise WorkspaceError(f"{text}: {error}; {hint}, or give a local folder") from error
    # Listings are never remembered: other processes write here.
    path = UPath(text.rstrip("/"), use_listings_cache=False)
    with _faults_named(path, "reached"):
        _filesystem(path).exists(path.path)
    return cast(Path, path)


def is_local(path: Path) -> bool:
    """Tell whether a path is on a disk of this machine."""
    return _in_store(path) is None


def make_dir(folder: Path) -> None:
    """Make a folder and those above it; a store has none. Raises OSError."""
    if is_local(folder):
        folder.mkdir(parents=True, exist_ok=True)


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write a whole file (text as UTF-8): after a kill at any moment it has its old content or the new one.

    Raises:
        WorkspaceError: the disk is full, or disk or store cannot be written.
    """
    remote = _in_store(path)
    if remote is None:
        files.write_atomically(path, content)
        return
    with _faults_named(remote, "written"):
        _filesystem(remote).pipe_file(remote.path, content.encode() if isinstance(content, str) else content)


def create_exclusively(path: Path, content: str) -> bool:
    """Write a file of a store unless it is there; tell whether it was written. Not for local files."""
    remote = cast(UPath, path)
    with _faults_named(remote, "written"):
        try:
            _filesystem(remote).pipe_file(remote.path, content.encode(), mode="create")
        except FileExistsError:
            return False
        except OSError as error:
            # S3 answers "precondition failed", and "conflict" where two come at once; s3fs has no names for them.
            if _filesystem(remote).exists(remote.path):
                return False
            raise error
    return True


def publish(part_path: Path, path: Path, sha256: str) -> None:
    """Give a file that is on the disk (fsynced) its final name; the part is then gone.

    In a store it is uploaded, read back and compared with `sha256`.

    Raises:
        OSError: the disk fails.
        WorkspaceError: the store refuses, or holds something else afterwards.
    """
    remote = _in_store(path)
    if remote is None:
        files.publish(part_path, path)
        return
    with _faults_named(remote, "written"):
        _filesystem(remote).put_file(str(part_path), remote.path)
        found = sha256_of_file(path)
    if found != sha256:
        raise WorkspaceError(
            f"{path}: the store holds something else than was uploaded (SHA-256 {found[:12]}..., expected "
            f"{sha256[:12]}...); run the same command again"
        )
    part_path.unlink()


def remove(path: Path) -> None:
    """Remove a file; nothing happens where there is none. Raises WorkspaceError."""
    remote = _in_store(path)
    if remote is None:
        with files.faults_named(path, "removed"):
            path.unlink(missing_ok=True)
        return
    with _faults_named(remote, "removed"), contextlib.suppress(FileNotFoundError):
        _filesystem(remote).rm_file(remote.path)


def rename(path: Path, target: Path) -> Path:
    """Move a file within its folder; in a store it is copied, then removed. Raises OSError or WorkspaceError."""
    remote = _in_store(path)
    if remote is None:
        return path.replace(target)
    with _faults_named(remote, "moved"):
        _filesystem(remote).mv(remote.path, cast(UPath, target).path)
    return target


def find_files(folder: Path, pattern: str) -> list[Path]:
    """List a folder's entries by name, with one listing; [] where there is no folder."""
    remote = _in_store(folder)
    if remote is None:
        return sorted(folder.glob(pattern))
    with _faults_named(remote, "listed"):
        try:
            found = _filesystem(remote).ls(remote.path, detail=False)
        except (FileNotFoundError, NotADirectoryError):
            return []
    names = sorted(entry.rstrip("/").rpartition("/")[2] for entry in found)
    return [folder / name for name in names if fnmatch.fnmatch(name, pattern)]


def read_files(paths: Sequence[Path]) -> Iterator[bytes]:
    """Read many small files of one folder, in order; from a store many at once. Raises OSError or WorkspaceError."""
    for path, content in _read_each(paths):
        if content is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        yield content


def read_present_files(paths: Sequence[Path]) -> Iterator[tuple[Path, bytes]]:
    """Read those of many small files of one folder that are there, as `read_files` does; give each with its path."""
    for path, content in _read_each(paths):
        if content is not None:
            yield path, content


def _read_each(paths: Sequence[Path]) -> Iterator[tuple[Path, bytes | None]]:
    """Read files in order; None stands for one that is not there."""
    if not paths or is_local(paths[0]):
        for path in paths:
            try:
                yield path, path.read_bytes()
            except FileNotFoundError:
                yield path, None
        return
    for start in range(0, len(paths), _READ_TOGETHER):
        block = paths[start : start + _READ_TOGETHER]
        names = [cast(UPath, path).path for path in block]
        remote = cast(UPath, block[0])
        with _faults_named(remote, "read"):
            contents = _filesystem(remote).cat(names, on_error="return")
            faults = [found for found in contents.values() if isinstance(found, Exception)]
            for fault in faults:
                if not isinstance(fault, FileNotFoundError):
                    raise fault
        for path, name in zip(block, names, strict=True):
            found = contents[name]
            yield path, None if isinstance(found, Exception) else found


def sha256_of_file(path: Path) -> str:
    """Return the hex SHA-256 of a file's content. Raises OSError, and WorkspaceError from a store."""
    remote = _in_store(path)
    if remote is None:
        return files.sha256_of_file(path)
    with _faults_named(remote, "read"), _filesystem(remote).open(remote.path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def download(path: Path, target: Path) -> None:
    """Copy a file of a store to a local one. Raises FileNotFoundError where there is none, WorkspaceError else."""
    remote = cast(UPath, path)
    with _faults_named(remote, "read"):
        _filesystem(remote).get_file(remote.path, str(target))


@contextmanager
def temporary_folder(parent: Path, prefix: str) -> Iterator[Path]:
    """Make a folder, and remove it with the files in it when the block ends."""
    if is_local(parent):
        with tempfile.TemporaryDirectory(prefix=prefix, dir=parent, ignore_cleanup_errors=True) as folder:
            yield Path(folder)
        return
    in_store = cast(UPath, parent / f"{prefix}{uuid.uuid4().hex[:12]}")
    try:
        yield cast(Path, in_store)
    finally:
        with _faults_named(in_store, "removed"), contextlib.suppress(FileNotFoundError):
            _filesystem(in_store).rm(in_store.path, recursive=True)


def _in_store(path: object) -> UPath | None:
    return path if isinstance(path, UPath) and not isinstance(path, Path) else None


def _filesystem(path: UPath) -> Any:
    """Return a path's file system, made by this process: the one that a path remembers does not survive a fork."""
    return fsspec.filesystem(path.protocol, **path.storage_options)


@contextmanager
def _faults_named(path: UPath, done: str) -> Iterator[None]:
    """Turn what a store's client raises into one line; a file that is not there stays a FileNotFoundError."""
    botocore = sys.modules.get("botocore.exceptions")
    client_faults = (OSError, botocore.BotoCoreError) if botocore else (OSError,)
    try:
        yield
    except (FileNotFoundError, FileExistsError, NotADirectoryError):
        raise
    except client_faults as error:
        raise WorkspaceError(
            f"{path}: cannot be {done} ({type(error).__name__}: {' '.join(str(error).split())[:200]}); see that "
            "address, credentials and network are right, then run the same command again"
        ) from error
