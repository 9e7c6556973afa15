"""Ask decord how many frames a video has, where the first decoder and the container's header disagree.

decord trusts the container's packet count and fills what does not decode with repeats of the last frame, so its own
count says nothing. What it says is how many frames come before that tail.

Run as ``python second_opinion.py PATH``, in a process of its own: decord can hang or crash on the very files that it is
asked about. By its path, since the package would load PyAV, which it does not need.
"""

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

TIMEOUT_SEC = 60.0
_HEIGHT, _WIDTH = 96, 128


class SecondCount(NamedTuple):
    """What decord gives in order: `total` frames, of which the first `distinct` end where the last picture begins."""

    distinct: int
    total: int


def count_with_decord(path: Path) -> SecondCount | None:
    """Count a video's frames with decord; None where it cannot read the video, or not within a minute."""
    try:
        ended = subprocess.run(
            [sys.executable, "-P", __file__, str(path)],
            capture_output=True,
            timeout=TIMEOUT_SEC,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None
    words = ended.stdout.split()
    if ended.returncode != 0 or len(words) != 2:
        return None
    return SecondCount(int(words[0]), int(words[1]))


def _count(path: str) -> SecondCount:
    import decord
    import numpy as np

    reader = decord.VideoReader(path, width=_WIDTH, height=_HEIGHT, num_threads=1)
    distinct = total = 0
    last = None
    for total in range(1, len(reader) + 1):
        frame = reader.next().asnumpy()
        if last is None or not np.array_equal(frame, last):
            distinct = total
        last = frame
    return SecondCount(distinct, total)


if __name__ == "__main__":
    sys.stdout.write("{} {}".format(*_count(sys.argv[1])))
