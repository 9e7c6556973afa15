"""Shards of a store, copied to a local folder when they are read: bounded, by content, shared by processes."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from pipeline.errors import ShardError, WorkspaceError
from pipeline.files import disk_fault, sha256_of_file
from pipeline.local_copies import cache_dir, part_path_of, sweep_scratch
from pipeline.shards.repair_hint import repair_hint
from pipeline.store import download, is_local

SIZE_VARIABLE = "KINET_CACHE_GIB"
DEFAULT_GIB = 20.0


class FileDigest(NamedTuple):
    """What a receipt says of its shard's bytes."""

    sha256: str
    num_bytes: int


@contextmanager
def local_shard(path: Path, digest: FileDigest | None) -> Iterator[Path]:
    """Give a local path of a shard that can be opened in the block: itself, or a copy checked against its receipt.

    An open file stays readable when the cache lets go of it.

    Args:
        path: of the shard.
        digest: of its content; not asked for where the path is local.

    Raises:
        ShardError: the store has no such shard, or other bytes than the receipt says.
        WorkspaceError: the cache cannot be written, or the store not be read.
    """
    if is_local(path):
        yield path
        return
    assert digest is not None
    folder = cache_dir() / "shards"
    copy = folder / f"{digest.sha256}.h5"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder, fcntl.LOCK_SH):
            if _has(copy, digest):
                os.utime(copy)
                yield copy
                return
        part = _fetch(path, digest)
        with _locked(folder, fcntl.LOCK_EX):
            part.replace(copy)
            _trim(folder, keep=copy)
            yield copy
    except OSError as error:
        raise disk_fault(folder, error) from error


def cache_bytes() -> int:
    """Return the cache's bound: $KINET_CACHE_GIB, else 20 GiB; raises WorkspaceError where it is no number."""
    text = os.environ.get(SIZE_VARIABLE) or str(DEFAULT_GIB)
    try:
        gib = float(text)
    except ValueError:
        gib = -1.0
    if not gib > 0:
        raise WorkspaceError(f"{SIZE_VARIABLE} is {text!r}; give a number of GiB above 0")
    return int(gib * 2**30)


def _has(copy: Path, digest: FileDigest) -> bool:
    return copy.exists() and copy.stat().st_size == digest.num_bytes


def _fetch(path: Path, digest: FileDigest) -> Path:
    """Download a shard and compare it with its receipt."""
    part = part_path_of(path)
    try:
        download(path, part)
        found = sha256_of_file(part)
    except FileNotFoundError as error:
        raise ShardError(f"shard {path}: does not exist; {repair_hint(path)}") from error
    if found != digest.sha256:
        part.unlink()
        raise ShardError(
            f"shard {path}: damaged (SHA-256 {found[:12]}..., its receipt says {digest.sha256[:12]}...); "
            f"{repair_hint(path)}"
        )
    return part


def _trim(folder: Path, keep: Path) -> None:
    """Remove the copies unused for longest until the rest fits, and what killed processes left."""
    copies = sorted(((path.stat(), path) for path in folder.glob("*.h5") if path != keep), key=lambda c: c[0].st_mtime)
    excess = keep.stat().st_size + sum(stat.st_size for stat, _ in copies) - cache_bytes()
    for stat, path in copies:
        if excess <= 0:
            break
        path.unlink()
        excess -= stat.st_size
    sweep_scratch()


@contextmanager
def _locked(folder: Path, kind: int) -> Iterator[None]:
    with (folder / ".lock").open("a") as stream:
        fcntl.flock(stream, kind)
        yield
