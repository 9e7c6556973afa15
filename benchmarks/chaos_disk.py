"""A small disk for the chaos program, and filling it up to the last byte."""

import contextlib
import errno
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

DISK_MIB = 128
_BALLAST_NAME = "ballast"


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """Mount a file system of `DISK_MIB` at a folder; say whether that could be done (it takes root)."""
    folder.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", str(folder)]
    mounted = bool(shutil.which("mount")) and subprocess.run(command, capture_output=True, check=False).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            # Lazily: a process that outlives the program may hold a file.
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextlib.contextmanager
def filled(folder: Path) -> Iterator[None]:
    """Take all the space that is left on a disk, until the block ends."""
    ballast = folder / _BALLAST_NAME
    try:
        with ballast.open("wb", buffering=0) as stream:
            size = 1 << 20
            while size:
                try:
                    stream.write(b"\0" * size)
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    size //= 2
        yield
    finally:
        ballast.unlink(missing_ok=True)
