"""A disk of this machine beside a store: where files are made that it then gets, and copies of those that it has."""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pipeline import files
from pipeline.store import download, is_local, publish, remove, write_atomically

CACHE_VARIABLE = "KINET_CACHE_DIR"


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
    with tempfile.TemporaryDirectory(dir=_scratch_dir()) as folder:
        for wanted in (path, *(path.with_suffix(suffix) for suffix in beside)):
            if wanted.exists():
                download(wanted, Path(folder) / wanted.name)
        yield Path(folder) / path.name


@contextmanager
def local_edit(folder: Path, names: Sequence[str]) -> Iterator[Path]:
    """Give a local folder in which some of a folder's files can be written; a store gets them when the block ends."""
    if is_local(folder):
        yield folder
        return
    with tempfile.TemporaryDirectory(dir=_scratch_dir()) as scratch:
        yield Path(scratch)
        for name in names:
            made = Path(scratch) / name
            if made.exists():
                write_atomically(folder / name, made.read_bytes())
            else:
                remove(folder / name)


def _scratch_dir() -> Path:
    folder = cache_dir() / "scratch"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
