"""A disk of this machine beside a store: where files are made that it then gets, and copies of those that it has."""

import contextlib
import fcntl
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pipeline import files
from pipeline.store import download, is_local, publish, remove, write_atomically

logger = logging.getLogger(__name__)

CACHE_VARIABLE = "KINET_CACHE_DIR"
# What lies in the scratch folder for longer, and is held by nobody, was left by a kill.
STALE_SEC = 24 * 3600.0


def cache_dir() -> Path:
    """Return the local folder for copies of a store's files: $KINET_CACHE_DIR, else in the user's cache folder."""
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kinet-pipeline"


def part_path_of(path: Path) -> Path:
    """Name a new local file in which the content of `path` can be made: beside it, or in the cache folder."""
    name = files.part_name_of(path)
    return path.with_name(name) if is_local(path) else _scratch_dir() / name


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Give a temporary local path, and make its file durable and final as `path` when the block ends well.

    Raises:
        WorkspaceError: the disk is full, or disk or store cannot be written.
    """
    if is_local(path):
        with files.writing(path) as part_path:
            yield part_path
        return
    part_path = part_path_of(path)
    try:
        yield part_path
        publish(part_path, path, files.sha256_of_file(part_path))
    except OSError as error:
        raise files.disk_fault(part_path, error) from error
    finally:
        part_path.unlink(missing_ok=True)


@contextmanager
def local_copy(path: Path, *beside: str) -> Iterator[Path]:
    """Give a local path of a file: itself, or for the time of the block a copy under the same name.

    Args:
        path: of the file; where there is none, neither is one at the path that is given.
        beside: suffixes of files with the same stem that are to lie beside it, where they exist.
    """
    if is_local(path):
        yield path
        return
    with _held_folder() as folder:
        for wanted in (path, *(path.with_suffix(suffix) for suffix in beside)):
            if wanted.exists():
                download(wanted, folder / wanted.name)
        yield folder / path.name


@contextmanager
def local_edit(folder: Path, names: Sequence[str]) -> Iterator[Path]:
    """Give a local folder in which some of a folder's files can be written; a store gets them when the block ends."""
    if is_local(folder):
        yield folder
        return
    with _held_folder() as scratch:
        yield scratch
        for name in names:
            made = scratch / name
            if made.exists():
                write_atomically(folder / name, made.read_bytes())
            else:
                remove(folder / name)


def sweep_scratch() -> None:
    """Remove what killed processes left in the cache folder: half files and copies, a day old and held by nobody.

    A folder of `local_copy` or `local_edit` is held by a lock until its block ends, a shard's file until the last of it
    is written (`hold`); the kernel lets go of a lock when its process ends, however that comes. What is being
    downloaded or uploaded has no lock: it was changed within the day. Where machines share the folder, another one's
    locks may not be seen. What cannot be removed, another user's say, is logged and stays.
    """
    for path in sorted((cache_dir() / "scratch").glob("*")):
        try:
            if time.time() - path.stat().st_mtime > STALE_SEC:
                _remove_unless_held(path)
        except FileNotFoundError:
            continue  # another process finished or removed it just now
        except OSError as error:
            logger.info("%s: cannot be removed (%s)", path, error.strerror or error)


def hold(path: Path, descriptor: int) -> None:
    """Keep `sweep_scratch` from an open file or folder until the descriptor is closed or its process ends.

    What does not lie in the scratch folder is never swept: nothing is done.
    """
    if path.parent != cache_dir() / "scratch":
        return
    # Where a file system knows no locks, `sweep_scratch` gets none either, and removes nothing.
    with contextlib.suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_SH)


def _remove_unless_held(path: Path) -> None:
    is_folder = path.is_dir()
    # A file is opened for writing too: NFS gives no exclusive lock without.
    descriptor = os.open(path, os.O_RDONLY if is_folder else os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if is_folder:
            shutil.rmtree(path)
        else:
            path.unlink()
    except BlockingIOError:
        return
    finally:
        os.close(descriptor)


@contextmanager
def _held_folder() -> Iterator[Path]:
    """Make a folder in the scratch folder, held for the time of the block."""
    with tempfile.TemporaryDirectory(dir=_scratch_dir()) as folder:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            hold(Path(folder), descriptor)
            yield Path(folder)
        finally:
            os.close(descriptor)


def _scratch_dir() -> Path:
    folder = cache_dir() / "scratch"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
