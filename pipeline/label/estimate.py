"""Labelling a sample of a data set to find what labelling all of it would take."""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from manifests import VideoRecord
from pipeline.errors import KinetError
from pipeline.label.bottleneck import Bottleneck, find_bottleneck
from pipeline.label.description import WorkerResources
from pipeline.label.forecast import RANGE_LEVEL, Figure, Forecast, SampleGroup, Whole, forecast
from pipeline.label.job import shard_header
from pipeline.label.plan import Plan, PlannedShard
from pipeline.label.shard_sizes import USUAL_FRAMES_PER_VIDEO, choose_sizes
from pipeline.label.sight import require_videos
from pipeline.label.spoken import BYTE_UNITS, COUNT_UNITS, TIME_UNITS, speak_figure
from pipeline.label.tasks import ShardTask
from pipeline.label.worker_pool import WorkerPool
from pipeline.shards import Receipt, ShardWriter

# Groups at least, so that the bootstrap has something to draw from; two a worker where that is more.
MIN_SAMPLE_GROUPS = 8
# Workers are warmed up (teachers, decoding processes) on a video of their own where one takes no longer than this.
MAX_WARM_UP_SEC = 20.0
SAMPLE_SPLIT = "sample"


@dataclass(frozen=True)
class SampleRequest:
    """How large a sample to label.

    Attributes:
        num_videos: about so many; each split has one at least.
        max_sec: no further group is waited for after so long.
        seed: of the choice of videos, and of the range.
    """

    num_videos: int = 64
    max_sec: float = 300.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.num_videos < 1 or self.max_sec <= 0:
            raise ValueError(f"num_videos and max_sec must be positive, not {self}")


@dataclass(frozen=True)
class Estimate:
    """What a sample says of the whole.

    Attributes:
        videos, unprobed_videos: of the whole; of those that were not probed, the frames are the sample's average.
        sample_videos, sample_frames, sample_groups, sample_sec: what was labelled, in how many small shards, how long.
        resources: the workers.
        forecast: for the whole.
        bottleneck: what bounded the sample's speed.
        too_high: why the forecast of hours is, and the way out; None where the sample told a shard's own cost.
    """

    videos: int
    unprobed_videos: int
    sample_videos: int
    sample_frames: int
    sample_groups: int
    sample_sec: float
    resources: WorkerResources
    forecast: Forecast
    bottleneck: Bottleneck | None
    too_high: str | None

    @property
    def device_hours(self) -> tuple[str, Figure]:
        """GPU-hours where the workers hold GPUs, else CPU-hours: what stands reserved, not what is busy."""
        num_gpus, num_cpus = self.resources.gpus_per_worker, self.resources.cpus_per_worker
        unit, each = ("gpu_hours", num_gpus) if num_gpus else ("cpu_hours", float(num_cpus))
        return unit, Figure(*(None if hours is None else hours * each for hours in self.forecast.worker_hours))  # type: ignore[arg-type]

    def as_json(self) -> dict[str, Any]:
        """Return the keys of ``estimate --json``."""
        unit, device_hours = self.device_hours
        return {
            "videos": self.videos,
            "unprobed_videos": self.unprobed_videos,
            "workers": self.resources.num_workers,
            "frames": _rounded(self.forecast.frames, 0),
            "hours": _rounded(self.forecast.hours, 4),
            unit: _rounded(device_hours, 4),
            "bytes": _rounded(self.forecast.shard_bytes, 0),
            "range_level": RANGE_LEVEL,
            "bottleneck": None if self.bottleneck is None else vars(self.bottleneck),
            "too_high": self.too_high,
            "sample": {
                "videos": self.sample_videos,
                "frames": self.sample_frames,
                "groups": self.sample_groups,
                "seconds": round(self.sample_sec, 3),
            },
        }

    def as_text(self) -> str:
        """Return a few lines for people."""
        unit, device_hours = self.device_hours
        device = unit.removesuffix("_hours").upper()
        unprobed = f"{self.unprobed_videos:,} videos not probed" if self.unprobed_videos else "probed"
        share = self.sample_videos / self.videos
        too_high = [f"too high   {self.too_high}"] if self.too_high else []
        return "\n".join(
            [
                f"time       {speak_figure(self.forecast.hours, TIME_UNITS)}, workers: {self.resources.num_workers}",
                f"{device} time   {speak_figure(device_hours, TIME_UNITS, of=f'{device}-')}",
                f"on disk    {speak_figure(self.forecast.shard_bytes, BYTE_UNITS)}",
                f"frames     {speak_figure(self.forecast.frames, COUNT_UNITS)}, {unprobed}",
                f"bound by   {self.bottleneck.text if self.bottleneck else 'unknown'}",
                f"from       {self.sample_videos:,} of {self.videos:,} videos ({share:.2%}), {self.sample_frames:,} "
                f"frames, in {self.sample_groups} groups and {self.sample_sec:.0f} s",
                f"ranges     {_range_text(self.sample_groups, self.forecast)}",
                *too_high,
            ]
        )


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
) -> Estimate:
    """Label a sample into a folder of its own and forecast the whole.

    Args:
        dataset: its name.
        records: the videos to forecast for.
        pool: workers that write to `sample_dir`.
        sample_dir: an empty folder; on the disk that the shards will go to, and seen by every worker.
        request: how large a sample.
        on_videos: called with the videos labelled so far, and the sample's.

    Raises:
        WorkspaceError: the videos are not there.
        KinetError: not one frame of the sample could be labelled.
    """
    witnesses = require_videos(dataset, records)
    description = pool.describe(measure=True)
    resources = pool.resources
    chosen = choose_sample(records, request.num_videos, request.seed)
    num_groups = max(MIN_SAMPLE_GROUPS, 2 * resources.num_workers)
    shards = _group(chosen, num_groups)
    plan = Plan(dataset, None, description.ingredients, shards)
    header = shard_header(plan, SAMPLE_SPLIT)
    _warm_up(pool, plan, resources.num_workers, description.frames_per_sec)
    with ShardWriter(sample_dir / "empty.h5", header) as writer:
        empty_bytes = writer.commit().shard_bytes
    receipts: list[Receipt] = []
    started = time.monotonic()
    tasks = [ShardTask(shard, header, witnesses=witnesses) for shard in plan.shards]
    for receipt in pool.label_all(tasks, lambda _: None):
        receipts.append(receipt)
        on_videos(sum(len(done.outcomes) for done in receipts), len(chosen))
        if time.monotonic() - started > request.max_sec:
            break
    sample_sec = time.monotonic() - started
    most_videos = max(len(done.outcomes) for done in receipts)
    grouped = [done for done in receipts if len(done.outcomes) == most_videos]
    groups, singles = (
        [
            SampleGroup(len(done.outcomes), done.frames, done.seconds, max(0, done.shard_bytes - empty_bytes))
            for done in kind
        ]
        for kind in (grouped, [done for done in receipts if len(done.outcomes) < most_videos])
    )
    if not any(group.frames for group in groups):
        raise KinetError(
            f"{dataset}: not one frame of {sum(group.videos for group in groups)} sampled videos could be labelled; "
            f"run kinet-pipeline manifest check {dataset} to see why"
        )
    probed = [record.num_frames for record in records if record.num_frames is not None]
    # As label will choose them.
    sizes = choose_sizes(records, description.frames_per_sec)
    whole = Whole(
        known_frames=sum(probed),
        unprobed_videos=len(records) - len(probed),
        workers=resources.num_workers,
        shards=sum(len(of_split) for of_split in sizes.values()),
        bytes_per_empty_shard=empty_bytes,
    )
    stages = {stage: sum(done.stage_seconds.get(stage, 0.0) for done in grouped) for stage in grouped[0].stage_seconds}
    return Estimate(
        videos=len(records),
        unprobed_videos=whole.unprobed_videos,
        sample_videos=sum(group.videos for group in (*groups, *singles)),
        sample_frames=sum(group.frames for group in (*groups, *singles)),
        sample_groups=len(groups),
        sample_sec=sample_sec,
        resources=resources,
        forecast=forecast(groups, whole, seed=request.seed, singles=singles),
        bottleneck=find_bottleneck(sum(group.seconds for group in groups), stages),
        too_high=None if singles else _why_too_high(records, len(chosen), num_groups),
    )


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


def _warm_up(pool: WorkerPool, plan: Plan, num_workers: int, frames_per_sec: float | None) -> None:
    """Give each worker a video, so that no start of a process is taken for labelling; skipped where that takes long."""
    records = plan.shards[0].records
    frames = max(record.num_frames or USUAL_FRAMES_PER_VIDEO for record in records)
    if frames_per_sec is None or frames / frames_per_sec > MAX_WARM_UP_SEC:
        return
    split = "warmup"
    shards = [PlannedShard(split, index, num_workers, records[:1]) for index in range(num_workers)]
    for _ in pool.label_all([ShardTask(shard, shard_header(plan, split)) for shard in shards], lambda _: None):
        pass


def _rounded(figure: Figure, digits: int) -> dict[str, float | None]:
    return {name: None if value is None else round(value, digits) for name, value in figure._asdict().items()}


def _range_text(num_groups: int, whole: Forecast) -> str:
    if whole.hours.low is None:
        return f"none: {num_groups} groups are too few; label a larger sample"
    return (
        f"the middle {RANGE_LEVEL:.0%} of a bootstrap over the {num_groups} groups: what other samples of this size "
        "would say on these machines, not what faults or a busier cluster add"
    )
