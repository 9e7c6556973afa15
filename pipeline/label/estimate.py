"""Labelling a sample of a data set to find what labelling all of it would take."""

import dataclasses
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from manifests import VideoRecord
from pipeline.errors import KinetError
from pipeline.label.bottleneck import find_bottleneck
from pipeline.label.estimate_report import Estimate
from pipeline.label.forecast import SampleGroup, Whole, forecast
from pipeline.label.job import shard_header
from pipeline.label.plan import Plan
from pipeline.label.sample import (
    SAMPLE_SPLIT,
    LabelledSample,
    SampledVideos,
    SampleRequest,
    choose_sample,
    group_sample,
    label_sample,
    warm_up,
)
from pipeline.label.sampled_frames import complete_frame_counts, read_frame_counts
from pipeline.label.shard_sizes import choose_sizes
from pipeline.label.sight import require_videos
from pipeline.label.tasks import ShardTask
from pipeline.label.worker_pool import WorkerPool
from pipeline.shards import Receipt, ShardWriter, VideoOutcome
from pipeline.shards.receipts import count_receipt_bytes
from pipeline.shards.schema import shard_name

# Groups at least, so that the bootstrap has something to draw from; two a worker where that is more.
MIN_SAMPLE_GROUPS = 8
# Videos beside the sample whose headers are read, so that the frames of all are known better than by the sample.
MORE_HEADERS = 192


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
    plan = Plan(dataset, None, description.ingredients, group_sample(chosen, num_groups))
    warm_up(pool, plan, chosen, read, resources.num_workers, description.frames_per_sec)
    header = shard_header(plan, SAMPLE_SPLIT)
    with ShardWriter(sample_dir / "empty.h5", header) as writer:
        empty_bytes = writer.commit().shard_bytes
    tasks = [ShardTask(shard, header, witnesses=witnesses) for shard in plan.shards]
    # Groups and single videos in no order, so that both are begun before time is up.
    random.Random(request.seed).shuffle(tasks)
    sample = label_sample(pool, tasks, sample_dir, empty_bytes, request, on_videos, clock)

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


def _sort_groups(
    sample: LabelledSample, most_videos: int, empty_bytes: int
) -> tuple[list[SampleGroup], list[SampleGroup]]:
    """Sort what was labelled into groups of so many videos, and single ones; all are groups where those lack frames."""
    done = [
        SampledVideos(
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
        shard=shard_name(SAMPLE_SPLIT, 0, 1),
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
