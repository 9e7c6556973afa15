"""The file below HDF5 while a shard is being written; it keeps a failing disk away from HDF5.

HDF5 (tried: 2.0) does not survive a failed write: the file cannot be closed any more, and the process may end in a
segmentation fault minutes later. So every write succeeds for HDF5, the first fault is kept, and the writer looks for it
after each call. What HDF5 does after a fault reaches no disk.
"""

import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path

import h5py

from pipeline.local_copies import hold

# Fixed by number, not "latest": the same bytes whatever HDF5 is installed, and checksummed metadata (since 1.10).
FILE_FORMAT = ("v110", "v110")


def create_file(path: Path) -> tuple["PartFile", h5py.File]:
    """Create an HDF5 file above a `PartFile`; leave none where that fails, with OSError as a rule."""
    part = PartFile(path)
    try:
        return part, h5py.File(path, "w", libver=FILE_FORMAT, driver="fileobj", fileobj=part)
    except BaseException:
        part.close()
        path.unlink(missing_ok=True)
        raise


class PartFile:
    """A new file with the methods that h5py asks of a Python file object.

    Attributes:
        fault: the first error of the disk, or None. The file's content is of no use after one.
    """

    def __init__(self, path: Path) -> None:
        """Create or empty the file, held (`hold`) until it is closed; raises OSError."""
        self.path = path
        self.fault: OSError | None = None
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        hold(path, self._descriptor)
        os.ftruncate(self._descriptor, 0)
        self._position = 0
        self._end = 0
        self._abandoned = False

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to an offset from the start, the position or the end."""
        self._position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._end}[whence]
        return self._position

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def readinto(self, buffer: memoryview) -> int:
        """Fill the buffer; what was never written reads as zeros."""
        content = b""
        with self._fault_kept():
            content = os.pread(self._descriptor, len(buffer), self._position)
        buffer[:] = content.ljust(len(buffer), b"\0")
        self._position += len(buffer)
        return len(buffer)

    def write(self, content: memoryview) -> int:
        """Write all of it, or keep the fault; either way it counts as written."""
        with self._fault_kept():
            done = 0
            while done < len(content) and self._is_sound():
                done += os.pwrite(self._descriptor, content[done:], self._position + done)
        self._position += len(content)
        self._end = max(self._end, self._position)
        return len(content)

    def truncate(self, size: int) -> int:
        """Set the file's size."""
        with self._fault_kept():
            if self._is_sound():
                os.ftruncate(self._descriptor, size)
        self._end = size
        return size

    def flush(self) -> None:
        """Do nothing: `finish` makes the file durable."""

    def finish(self) -> None:
        """Fsync and close, after HDF5 closed the file; raises the fault that was kept, if any, as OSError."""
        if self.fault is not None:
            raise self.fault
        os.fsync(self._descriptor)
        self.close()

    def abandon(self) -> None:
        """Write nothing from now on, so that HDF5 can close the file whatever the state of the disk."""
        self._abandoned = True

    def close(self) -> None:
        """Release the file; a second call does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _is_sound(self) -> bool:
        return self.fault is None and not self._abandoned

    @contextlib.contextmanager
    def _fault_kept(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.fault = self.fault or error
