"""What a process last wrote to stderr, kept in a little memory: no pipe that could block, no file that could grow."""

import fcntl
import os

_NUM_BYTES = 64 << 10
_LINE_CHARS = 300


class LastWords:
    """A process's stderr: its first 64 KiB since `clear`; what is written beyond is lost. Close it after use.

    Attributes:
        descriptor: to give to the process as its stderr.

    Raises:
        OSError: the system gives no memory, or no more descriptors; none stays open.
    """

    def __init__(self) -> None:
        self.descriptor = os.memfd_create("stderr", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(self.descriptor, _NUM_BYTES)
            # A write beyond the end fails, and the process goes on without its words.
            fcntl.fcntl(self.descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK)
        except OSError:
            self.close()
            raise

    def clear(self) -> None:
        """Forget what was written; the process writes from the start again, since both share one offset."""
        os.pwrite(self.descriptor, bytes(_NUM_BYTES), 0)
        os.lseek(self.descriptor, 0, os.SEEK_SET)

    def last_line(self) -> str | None:
        """Return the last line that is not empty, cut to 300 characters; None where nothing was written."""
        text = os.pread(self.descriptor, _NUM_BYTES, 0).rstrip(b"\0").decode(errors="replace")
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return lines[-1][:_LINE_CHARS] if lines else None

    def close(self) -> None:
        """Give the memory back."""
        os.close(self.descriptor)
