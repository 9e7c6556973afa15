"""The sample of an estimate: which videos, in which groups, and their labelling until it is done or time is up."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from manifests import VideoRecord
from pipeline.errors import KinetError
from pipeline.label.forecast import SampleGroup
from pipeline.label.job import shard_header
from pipeline.label.plan import Plan, PlannedShard
from pipeline.label.shard_queue import ShardRun
from pipeline.label.tasks import ShardTask
from pipeline.label.worker_pool import WorkerPool
from pipeline.shards import Receipt
from pipeline.shards.schema import MASK_CHUNK_FRAMES

# Workers are warmed up (teachers, decoding processes) on a video of their own where one takes no longer than this.
MAX_WARM_UP_SEC = 20.0
# What a frame has in a shard beside mask and flow; an unfinished file lacks it.
COLUMN_BYTES = 29
SAMPLE_SPLIT = "sample"


@dataclass(frozen=True)
class SampleRequest:
    """How large a sample to label.

    Attributes:
        num_videos: about so many; each split has one at least.
        max_sec: the sample ends after so long, in the middle of a video if need be, but not before a frame is labelled.
        seed: of the choice of videos, and of the range.
    """

    num_videos: int = 64
    max_sec: float = 300.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.num_videos < 1 or self.max_sec <= 0:
            raise ValueError(f"num_videos and max_sec must be positive, not {self}")


class _TimeIsUp(KinetError):
    """Ends the labelling of the sample, wherever it is; any other kind of error would be laid to the teachers."""


class SampledVideos(NamedTuple):
    """A group of so many videos, and what was done of it."""

    num_videos: int
    group: SampleGroup


class LabelledSample(NamedTuple):
    """What became of the sample."""

    receipts: list[Receipt]
    open_groups: list[SampledVideos]
    seconds: float
    time_was_up: bool


def choose_sample(records: Sequence[VideoRecord], num_videos: int, seed: int) -> list[VideoRecord]:
    """Choose videos at random, from each split its share and one at least, in random order."""
    generator = random.Random(seed)
    by_split: dict[str, list[VideoRecord]] = {}
    for record in records:
        by_split.setdefault(record.split, []).append(record)
    chosen = []
    for members in by_split.values():
        share = max(1, round(num_videos * len(members) / len(records)))
        chosen += generator.sample(members, min(share, len(members)))
    generator.shuffle(chosen)
    return chosen


def label_sample(
    pool: WorkerPool,
    tasks: Sequence[ShardTask],
    sample_dir: Path,
    empty_bytes: int,
    request: SampleRequest,
    on_videos: Callable[[int, int], None],
    clock: Callable[[], float],
) -> LabelledSample:
    """Label the sample until it is done or time is up; nothing is labelled with the pool afterwards."""
    receipts: list[Receipt] = []
    open_groups: list[SampledVideos] = []
    num_videos = sum(len(task.shard.records) for task in tasks)
    started = clock()

    def tick(_: int) -> None:
        on_videos(sum(len(done.outcomes) for done in receipts), num_videos)
        if (now := clock()) - started < request.max_sec:
            return
        runs = pool.open_runs()
        if any(run.frames for run in runs) or any(receipt.frames for receipt in receipts):
            # Now: when the workers are stopped, their files are gone.
            open_groups.extend(_as_open_group(run, now, sample_dir, empty_bytes) for run in runs)
            raise _TimeIsUp

    try:
        for receipt in pool.label_all(tasks, tick):
            receipts.append(receipt)
    except _TimeIsUp:
        pass
    return LabelledSample(receipts, open_groups, clock() - started, len(receipts) < len(tasks))


def _as_open_group(run: ShardRun, now: float, sample_dir: Path, empty_bytes: int) -> SampledVideos:
    """Count what a run has done: up to its last frame, since what was begun behind that has given nothing yet."""
    seconds = (run.told_sec if run.frames else now) - run.started_sec
    # In a store there is no unfinished file, and a worker that died may have left one.
    num_bytes = max((path.stat().st_size for path in sample_dir.glob(f"{run.task.name}.*.part")), default=None)
    # Masks are written in whole chunks; the last one is held back.
    written = run.frames // MASK_CHUNK_FRAMES * MASK_CHUNK_FRAMES
    shard_bytes = None
    if num_bytes is not None and written:
        shard_bytes = round(max(0, num_bytes - empty_bytes) * run.frames / written) + COLUMN_BYTES * run.frames
    return SampledVideos(len(run.task.shard.records), SampleGroup(run.frames, seconds, shard_bytes))


def group_sample(chosen: Sequence[VideoRecord], num_groups: int) -> tuple[PlannedShard, ...]:
    """Cut a sample into so many groups of one size, and the rest, half as many videos at least, into single ones.

    The single ones tell what a shard costs beside its frames. A sample too small for both is all single.
    """
    size = max(1, (len(chosen) - num_groups // 2) // num_groups)
    num_grouped = num_groups * size if size > 1 else 0
    parts = [chosen[start : start + size] for start in range(0, num_grouped, size)]
    parts += [[record] for record in chosen[num_grouped:]]
    return tuple(PlannedShard(SAMPLE_SPLIT, index, len(parts), tuple(part)) for index, part in enumerate(parts))


def warm_up(
    pool: WorkerPool,
    plan: Plan,
    chosen: Sequence[VideoRecord],
    frame_counts: dict[str, int],
    num_workers: int,
    frames_per_sec: float | None,
) -> None:
    """Give each worker the shortest video, so that no start of a process is taken for labelling.

    Skipped where that takes long, or no video is known to be short.
    """
    known = [record for record in chosen if frame_counts.get(record.video_id)]
    if frames_per_sec is None or not known:
        return
    shortest = min(known, key=lambda record: frame_counts[record.video_id])
    if frame_counts[shortest.video_id] / frames_per_sec > MAX_WARM_UP_SEC:
        return
    split = "warmup"
    shards = [PlannedShard(split, index, num_workers, (shortest,)) for index in range(num_workers)]
    for _ in pool.label_all([ShardTask(shard, shard_header(plan, split)) for shard in shards], lambda _: None):
        pass
