"""A process that reads headers and does to a file what its name says: what poison files do to libav."""

import os
import time
from pathlib import Path

from pipeline.video import headers


def count(path: Path) -> int | None:
    """Crash, hang, or read as ever."""
    if path.stem == "crash":
        os.abort()
    elif path.stem == "hang":
        time.sleep(3600)
    return headers.read_header_frames(path)


if __name__ == "__main__":
    headers.main(count)
