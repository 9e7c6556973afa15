"""How many videos go into each shard: as many as are about ten minutes of one worker's work.

What is decided here is written into the plan at the first start, and never decided again.
"""

import logging
import statistics
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from manifests import VideoRecord
from pipeline.label.plan import even_sizes
from pipeline.video.headers import count_by_headers

logger = logging.getLogger(__name__)

MAX_VIDEOS_PER_SHARD = 128
# A shard is what a kill can lose.
MAX_SHARD_SEC = 600.0
# What a Kinetics clip has, where nothing else is known.
USUAL_FRAMES_PER_VIDEO = 300
# Headers that are read of a data set whose videos were not probed: some of all, and the largest files.
SAMPLED_HEADERS, LARGEST_HEADERS = 32, 256
HEADERS_SEC = 30.0
# Files whose size is asked for at a time: on a network disk an answer takes a millisecond, whatever the processors.
SIZE_THREADS = 32


def choose_sizes(records: Sequence[VideoRecord], frames_per_sec: float | None) -> dict[str, list[int]]:
    """Cut each split, in manifest order, into shards of ten minutes' work and 128 videos at most.

    A video that is more than that alone has a shard of its own.

    Args:
        records: of the whole manifest.
        frames_per_sec: what one worker labels; None cuts by the number of videos alone.

    Returns:
        The videos of each shard, by split.
    """
    if frames_per_sec is None:
        return even_sizes(records, MAX_VIDEOS_PER_SHARD)
    # A power of two, so that two measurements of one machine mostly give the same shards.
    most_frames = 1 << max(0, int(frames_per_sec * MAX_SHARD_SEC).bit_length() - 1)
    sizes: dict[str, list[int]] = {}
    frames_in_last: dict[str, int] = {}
    for record, num_frames in zip(records, expect_frames(records), strict=True):
        of_split = sizes.setdefault(record.split, [])
        frames = frames_in_last.get(record.split, 0) + num_frames
        if not of_split or of_split[-1] == MAX_VIDEOS_PER_SHARD or frames > most_frames:
            of_split.append(0)
            frames = num_frames
        of_split[-1] += 1
        frames_in_last[record.split] = frames
    return sizes


def expect_frames(records: Sequence[VideoRecord]) -> list[int]:
    """Say how many frames each video should have: the manifest's count, else its header's, else by its size on disk.

    Few headers are read: those of some videos, which tell the frames of a byte, and those of the largest files.
    """
    unknown = [record.path for record in records if record.num_frames is None]
    guessed = _expect_by_size(unknown)
    return [
        guessed.get(record.path, USUAL_FRAMES_PER_VIDEO) if record.num_frames is None else record.num_frames
        for record in records
    ]


def _expect_by_size(paths: Sequence[Path]) -> Mapping[Path, int]:
    """Expect frames of the videos that are there."""
    sizes = _file_sizes(paths)
    if not sizes:
        return {}
    sampled = list(sizes)[:: max(1, len(sizes) // SAMPLED_HEADERS)]
    read = [*sampled, *sorted(sizes, key=sizes.__getitem__)[-LARGEST_HEADERS:]]
    counts = count_by_headers(read, timeout_sec=HEADERS_SEC)
    known = {path: count for path, count in zip(read, counts, strict=True) if count is not None}
    ratios = [known[path] / sizes[path] for path in sampled if path in known]
    if not ratios:
        num_unknown = len(sizes) - len(known)
        if num_unknown:
            logger.warning(
                "no header tells the frames of %d videos; shards are cut as if each had %d",
                num_unknown,
                USUAL_FRAMES_PER_VIDEO,
            )
        return known
    frames_per_byte = statistics.median(ratios)
    return {path: max(1, round(num_bytes * frames_per_byte)) for path, num_bytes in sizes.items()} | known


def _file_sizes(paths: Sequence[Path]) -> dict[Path, int]:
    """Return the bytes of those files that have any, in order."""
    # A part for each thread, and no task for each file: these cost more than a local disk's answer.
    parts = [paths[start::SIZE_THREADS] for start in range(min(SIZE_THREADS, len(paths)))]
    with ThreadPoolExecutor(SIZE_THREADS) as threads:
        found = threads.map(lambda part: [(path, _file_bytes(path)) for path in part], parts)
        sizes = dict(pair for part in found for pair in part)
    return {path: sizes[path] for path in paths if sizes[path]}


def _file_bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
