"""Files that appear whole or not at all."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from manifests.errors import ManifestError


@contextmanager
def publish(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; sync and rename it when the block ends, remove it when the block raises.

    The temporary name is new each time: no two threads, processes or machines that write the same file share it.

    Raises:
        ManifestError: the folder cannot be made, or the disk is full or read-only.
    """
    part_path = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part_path
        with part_path.open("rb+") as part_file:
            os.fsync(part_file.fileno())
        part_path.replace(path)
        _sync_dir(path.parent)
    except OSError as error:
        raise ManifestError(
            f"{path}: cannot be written ({error.strerror or error}); the file that was there, if any, is unchanged"
        ) from error
    finally:
        part_path.unlink(missing_ok=True)


def _sync_dir(folder: Path) -> None:
    """Make a rename last through a power cut, where the system lets a folder be synced."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
