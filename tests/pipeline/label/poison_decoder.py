"""A decoding process that does to a video what its file's name says: what poison files do to real decoders."""

import ctypes
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from pipeline.errors import WorkspaceError
from pipeline.label import decoder_process
from pipeline.label.messages import DecodeLimits, Message, OutsideFault, StillSettling, VideoDone


def decode(path: Path, limits: DecodeLimits, slot: decoder_process.Slot) -> Iterator[Message]:
    """Leak, hang in native code, stop in a message, raise, talk without end, settle for long, or decode as ever."""
    if path.stem == "leak":
        held = []
        while True:
            held.append(b"x" * (16 << 20))
    elif path.stem == "hang":
        path.with_suffix(".reached").touch()
        # PyDLL keeps the interpreter's lock: no thread of this process runs again.
        ctypes.PyDLL(None).pause()
    elif path.stem == "half":
        # The length of a message, and not the message.
        os.write(int(sys.argv[1]), b"\0\0\1\0")
        os.kill(os.getpid(), signal.SIGSTOP)
    elif path.stem == "spew":
        # As a library in C does: more than any pipe holds.
        for _ in range(200):
            ctypes.CDLL(None).write(2, b"x" * 1000, 1000)
    elif path.stem == "raise":
        raise KeyError("no such codec parameter")
    elif path.stem == "undecidable":
        yield OutsideFault(WorkspaceError("no second decoder here"))
        return
    elif path.stem == "settling":
        for message in decoder_process.decode_video(path, limits, slot):
            if isinstance(message, VideoDone):
                # As a second decoder that counts a long video.
                for _ in range(5):
                    time.sleep(1)
                    yield StillSettling()
            yield message
        return
    yield from decoder_process.decode_video(path, limits, slot)


if __name__ == "__main__":
    decoder_process.main(decode)
