"""Tell a fault of the disk that holds the videos from one of a video.

A file that is not there looks the same whether it never was, or its disk is not mounted on this machine. Witnesses tell
the two apart: videos that were read when the run began, on the machine that began it. Where the one next to a missing
file cannot be read either, the disk is what is missing. libav, for its part, takes an error of the disk for the end of
the file or for damage in it; such a file is read through once more, past libav.
"""

import errno
import itertools
import os
import platform
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import SourceError

# Each is opened once when a run begins: some milliseconds on a network disk.
MAX_WITNESSES = 256
# Of those as near to a missing file as any: one may have been removed meanwhile.
NEAREST_WITNESSES = 3
READ_BYTES = 16 << 20

# What says of a name, and not of its disk, that there is no such file, or that this one is not to be read.
ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR})
REFUSED = frozenset({errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENAMETOOLONG})


def source_fault(path: Path, error: OSError) -> SourceError:
    """Turn an OSError met while reading a video into one clear line; the caller raises it."""
    alone = "" if error.errno in ABSENT else ". If it is this file alone, delete it: it then counts as missing"
    return SourceError(
        f"{path}: cannot be read on {platform.node()} ({error.strerror or error}); see that its disk is mounted there "
        f"and healthy, then run the same command again{alone}"
    )


@dataclass(frozen=True)
class Witnesses:
    """Videos that were read when the run began; small, and sent to the workers.

    Attributes:
        paths: of the videos; none where nobody looked, and then no file that is missing is doubted.
    """

    paths: tuple[str, ...] = ()

    def require_sight(self, path: Path) -> None:
        """Make sure that a video which cannot be found, or not be read, has its own self to blame.

        Raises:
            SourceError: the witnesses that are next to it cannot be read either.
        """
        nearest = self._nearest(path)
        reasons = [reason for witness in nearest if (reason := why_unread(witness)) is not None]
        if nearest and len(reasons) == len(nearest):
            raise SourceError(
                f"{nearest[0]}: was read when the run began, and cannot be read on {platform.node()} ({reasons[0]}); "
                "mount the disk of the videos there, then run the same command again"
            )

    def _nearest(self, path: Path) -> list[str]:
        """Choose the witnesses that share the most folders with a path; a link lies on its target's disk."""
        folders = _real_folders(path)
        shared = {witness: _num_shared(folders, _real_folders(witness)) for witness in self.paths}
        most = max(shared.values(), default=0)
        return [witness for witness, num in shared.items() if num == most][:NEAREST_WITNESSES]


# Where nobody looked.
NO_WITNESSES = Witnesses()


def find_witnesses(paths: Sequence[str]) -> Witnesses:
    """Read the first byte of some videos, of every folder one as far as they go, and keep those that are there."""
    by_folder: dict[str, str] = {}
    for path in paths:
        by_folder.setdefault(os.path.dirname(path), path)  # noqa: PTH120 - 260,000 of them
    chosen = dict.fromkeys(_spread(list(by_folder.values()), MAX_WITNESSES))
    chosen.update(dict.fromkeys(_spread(paths, MAX_WITNESSES - len(chosen))))
    return Witnesses(tuple(path for path in chosen if why_unread(path) is None))


def why_unread(path: str) -> str | None:
    """Say why not even the first byte of a video can be read; None where it can, or the file is empty."""
    try:
        # Opened so, a FIFO does not wait for its other end.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return "not a file"
            os.read(descriptor, 1)
        finally:
            os.close(descriptor)
    except OSError as error:
        return error.strerror or str(error)
    return None


def read_through(path: Path) -> Iterator[None]:
    """Read a file to its end, a part for each step; one that is none, or may not be read, is passed over.

    Raises:
        SourceError: the disk gives an error, or the file is gone.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return
        with path.open("rb", buffering=0) as stream:
            while stream.read(READ_BYTES):
                yield
    except OSError as error:
        if error.errno not in REFUSED:
            raise source_fault(path, error) from error


def _real_folders(path: str | Path) -> tuple[str, ...]:
    return Path(os.path.realpath(path)).parent.parts


def _num_shared(folders: Sequence[str], others: Sequence[str]) -> int:
    """Count the folders from the root on that two paths have in common."""
    pairs = zip(folders, others, strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


def _spread(paths: Sequence[str], num: int) -> list[str]:
    """Choose so many, evenly."""
    num = min(num, len(paths))
    return [paths[index * len(paths) // num] for index in range(num)]
