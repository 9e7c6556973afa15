"""Labelling a sample of a data set to find what labelling all of it would take."""

import dataclasses
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from manifests import VideoRecord
from pipeline.errors import KinetError
from pipeline.label.bottleneck import find_bottleneck
from pipeline.label.estimate_report import Estimate
from pipeline.label.forecast import SampleGroup, Whole, forecast
from pipeline.label.job import shard_header
from pipeline.label.plan import Plan, PlannedShard
from pipeline.label.sampled_frames import complete_frame_counts, read_frame_counts
from pipeline.label.shard_queue import ShardRun
from pipeline.label.shard_sizes import choose_sizes
from pipeline.label.sight import require_videos
from pipeline.label.tasks import ShardTask
from pipeline.label.worker_pool import WorkerPool
from pipeline.shards import Receipt, ShardWriter, VideoOutcome
from pipeline.shards.receipts import count_receipt_bytes
from pipeline.shards.schema import MASK_CHUNK_FRAMES

# Groups at least, so that the bootstrap has something to draw from; two a worker where that is more.
MIN_SAMPLE_GROUPS = 8
# Workers are warmed up (teachers, decoding processes) on a video of their own where one takes no longer than this.
MAX_WARM_UP_SEC = 20.0
# Videos beside the sample whose headers are read, so that the frames of all are known better than by the sample.
MORE_HEADERS = 192
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


class _OpenGroup(NamedTuple):
    """A group that was not done when time was up."""

    num_videos: int
    group: SampleGroup


class _Labelled(NamedTuple):
    """What became of the sample."""

    receipts: list[Receipt]
    open_groups: list[_OpenGroup]
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


def estimate_labelling(
    dataset: str,
    records: Sequence[VideoRecord],
    pool: WorkerPool,
    sample_dir: Path,
    request: SampleRequest,
    on_videos: Callable[[int, int], None] = lambda _done, _of: None,
    clock: Callable[[], float] = time.monotonic,
) -> Estimate:
    """Label a sample into a folder of its own and forecast the whole.

    Which videos count does not depend on how long they take: what a group had done when time was up counts by its
    frames, and the frames of videos that were not reached by their headers.

    Args:
        dataset: its name.
        records: the videos to forecast for.
        pool: workers that write to `sample_dir`.
        sample_dir: an empty folder; on the disk that the shards will go to, and seen by every worker.
        request: how large a sample.
        on_videos: called with the videos labelled so far, and the sample's.
        clock: gives seconds, by the same clock as the pool's runs.

    Raises:
        WorkspaceError: the videos are not there.
        KinetError: not one frame of the sample could be labelled, or nothing tells how many there are.
    """
    witnesses = require_videos(dataset, records)
    description = pool.describe(measure=True)
    resources = pool.resources
    chosen = choose_sample(records, request.num_videos, request.seed)
    ids = {record.video_id for record in chosen}
    others = [record for record in records if record.num_frames is None and record.video_id not in ids]
    counted = [*chosen, *choose_sample(others, MORE_HEADERS, request.seed)]
    read = read_frame_counts(counted)
    num_groups = max(MIN_SAMPLE_GROUPS, 2 * resources.num_workers)
    plan = Plan(dataset, None, description.ingredients, _group(chosen, num_groups))
    _warm_up(pool, plan, chosen, read, resources.num_workers, description.frames_per_sec)
    header = shard_header(plan, SAMPLE_SPLIT)
    with ShardWriter(sample_dir / "empty.h5", header) as writer:
        empty_bytes = writer.commit().shard_bytes
    tasks = [ShardTask(shard, header, witnesses=witnesses) for shard in plan.shards]
    # Groups and single videos in no order, so that both are begun before time is up.
    random.Random(request.seed).shuffle(tasks)
    sample = _label_sample(pool, tasks, sample_dir, empty_bytes, request, on_videos, clock)

    most_videos = max(len(shard.records) for shard in plan.shards)
    groups, singles = _sort_groups(sample, most_videos, empty_bytes)
    if not any(group.frames for group in groups):
        raise KinetError(
            f"{dataset}: not one frame of {len(chosen)} sampled videos could be labelled; "
            f"run kinet-pipeline manifest check {dataset} to see why"
        )
    outcomes = {outcome.video_id: outcome for receipt in sample.receipts for outcome in receipt.outcomes}
    labelled = {video_id: outcome.frames for video_id, outcome in outcomes.items()}
    unprobed = [record for record in counted if record.num_frames is None]
    frame_counts = complete_frame_counts(unprobed, read, labelled)
    if frame_counts is None:
        raise KinetError(
            f"{dataset}: neither headers nor videos labelled to their end tell how many frames there are; run "
            f"kinet-pipeline manifest check {dataset}, or give more --sample-sec"
        )
    # As label will choose them.
    num_shards = sum(map(len, choose_sizes(records, description.frames_per_sec).values()))
    whole = Whole(
        known_frames=sum(record.num_frames for record in records if record.num_frames is not None),
        unprobed_videos=sum(record.num_frames is None for record in records),
        sampled_frames=frame_counts,
        workers=resources.num_workers,
        shards=num_shards,
        other_bytes=num_shards * empty_bytes + _receipt_bytes(plan, outcomes, num_shards, len(records)),
    )
    busy_sec = sum(receipt.seconds for receipt in sample.receipts)
    stages = {name for receipt in sample.receipts for name in receipt.stage_seconds}
    return Estimate(
        videos=len(records),
        unprobed_videos=whole.unprobed_videos,
        sample_videos=len(outcomes),
        sample_frames=sum(group.frames for group in (*groups, *singles)),
        sample_groups=len(groups),
        sample_sec=sample.seconds,
        time_was_up=sample.time_was_up,
        resources=resources,
        forecast=forecast(groups, whole, seed=request.seed, singles=singles),
        bottleneck=find_bottleneck(
            busy_sec,
            {name: sum(receipt.stage_seconds.get(name, 0.0) for receipt in sample.receipts) for name in stages},
        ),
        too_high=None if singles else _why_too_high(records, len(chosen), num_groups),
    )


def _label_sample(
    pool: WorkerPool,
    tasks: Sequence[ShardTask],
    sample_dir: Path,
    empty_bytes: int,
    request: SampleRequest,
    on_videos: Callable[[int, int], None],
    clock: Callable[[], float],
) -> _Labelled:
    """Label the sample until it is done or time is up; nothing is labelled with the pool afterwards."""
    receipts: list[Receipt] = []
    open_groups: list[_OpenGroup] = []
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
    return _Labelled(receipts, open_groups, clock() - started, len(receipts) < len(tasks))


def _as_open_group(run: ShardRun, now: float, sample_dir: Path, empty_bytes: int) -> _OpenGroup:
    """Count what a run has done: up to its last frame, since what was begun behind that has given nothing yet."""
    seconds = (run.told_sec if run.frames else now) - run.started_sec
    # In a store there is no unfinished file, and a worker that died may have left one.
    num_bytes = max((path.stat().st_size for path in sample_dir.glob(f"{run.task.name}.*.part")), default=None)
    # Masks are written in whole chunks; the last one is held back.
    written = run.frames // MASK_CHUNK_FRAMES * MASK_CHUNK_FRAMES
    shard_bytes = None
    if num_bytes is not None and written:
        shard_bytes = round(max(0, num_bytes - empty_bytes) * run.frames / written) + COLUMN_BYTES * run.frames
    return _OpenGroup(len(run.task.shard.records), SampleGroup(run.frames, seconds, shard_bytes))


def _sort_groups(sample: _Labelled, most_videos: int, empty_bytes: int) -> tuple[list[SampleGroup], list[SampleGroup]]:
    """Sort what was labelled into groups of so many videos, and single ones; all are groups where those lack frames."""
    done = [
        _OpenGroup(
            len(receipt.outcomes),
            SampleGroup(receipt.frames, receipt.seconds, max(0, receipt.shard_bytes - empty_bytes)),
        )
        for receipt in sample.receipts
    ]
    all_groups = [*done, *sample.open_groups]
    groups = [found.group for found in all_groups if found.num_videos == most_videos]
    singles = [found.group for found in all_groups if found.num_videos < most_videos]
    return (groups, singles) if any(group.frames for group in groups) else ([*groups, *singles], [])


def _receipt_bytes(plan: Plan, outcomes: dict[str, VideoOutcome], num_shards: int, num_videos: int) -> int:
    """Say how many bytes the receipts of the whole have, from what those of the sample say of their videos."""
    usual = VideoOutcome(video_id="", outcome="ok", frames=300, declared_frames=300)
    if "human_teacher" in plan.ingredients:
        usual = dataclasses.replace(usual, mask_quality={"coverage": 0.1234, "empty_share": 0.1234, "flicker": 0.1234})
    records = [record for shard in plan.shards for record in shard.records]
    found = tuple(
        outcomes.get(record.video_id, dataclasses.replace(usual, video_id=record.video_id)) for record in records
    )
    labelled = [outcome for outcome in found if outcome.outcome != "quarantined"]
    full = Receipt(
        dataset=plan.dataset,
        split=SAMPLE_SPLIT,
        shard=f"{SAMPLE_SPLIT}-{0:05d}-of-{1:05d}",
        shard_index=0,
        shard_count=1,
        sha256="0" * 64,
        shard_bytes=10**8,
        frames=sum(outcome.frames for outcome in labelled),
        videos=len(labelled),
        fingerprint=plan.fingerprint,
        outcomes=found,
        seconds=100.0 / 3,
        stage_seconds=dict.fromkeys(("decode_wait", "teachers", "write"), 100.0 / 3),
        attempt="0" * 12,
    )
    empty = count_receipt_bytes(dataclasses.replace(full, outcomes=(), frames=0, videos=0))
    return num_shards * empty + round(num_videos * (count_receipt_bytes(full) - empty) / len(found))


def _group(chosen: Sequence[VideoRecord], num_groups: int) -> tuple[PlannedShard, ...]:
    """Cut a sample into so many groups of one size, and the rest, half as many videos at least, into single ones.

    The single ones tell what a shard costs beside its frames. A sample of fewer than `_videos_for` is all single.
    """
    size = max(1, (len(chosen) - num_groups // 2) // num_groups)
    num_grouped = num_groups * size if size > 1 else 0
    parts = [chosen[start : start + size] for start in range(0, num_grouped, size)]
    parts += [[record] for record in chosen[num_grouped:]]
    return tuple(PlannedShard(SAMPLE_SPLIT, index, len(parts), tuple(part)) for index, part in enumerate(parts))


def _videos_for(num_groups: int) -> int:
    """Return how many videos make so many groups of two, and single ones beside them."""
    return 2 * num_groups + num_groups // 2


def _why_too_high(records: Sequence[VideoRecord], num_chosen: int, num_groups: int) -> str | None:
    """Say what a sample lacks in which no single videos were labelled beside groups of them."""
    needed = _videos_for(num_groups)
    if num_chosen >= needed:
        return "time was up before a shard's own cost could be told from its frames'; give more by --sample-sec"
    found = f"{num_chosen} videos are too few to tell a shard's own cost from its frames'"
    if len(records) < needed:
        return f"{found}, and there are {len(records)}"
    # Each split's share is rounded.
    return f"{found}; give --sample-videos {needed + len({record.split for record in records})}"


def _warm_up(
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
