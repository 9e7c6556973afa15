"""Stage one as a job: what is left to do, handed to workers shard by shard, until all of it is done."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

from manifests import VideoRecord
from pipeline.errors import ManifestError, WorkspaceError
from pipeline.label.description import WorkerDescription, WorkerResources
from pipeline.label.plan import (
    MAX_VIDEOS_PER_SHARD,
    Plan,
    PlannedShard,
    check_ingredients,
    manifest_digest,
    partition,
    read_plan,
    write_plan,
)
from pipeline.label.progress import LabelProgress
from pipeline.label.status import LabelStatus, read_receipts, summarise, write_quarantine
from pipeline.lock import only_run
from pipeline.shards import Receipt, ShardHeader
from pipeline.shards.verification import set_aside
from pipeline.store import find_files, remove
from pipeline.video import FRAME_HEIGHT, FRAME_WIDTH

# A shard is what a kill can lose: about ten minutes of one worker.
MAX_SHARD_SEC = 600.0
# What a Kinetics clip has, for data sets whose videos were not probed.
USUAL_FRAMES_PER_VIDEO = 300


class WorkerPool(Protocol):
    """Workers that label shards: one in this process, or many on Ray."""

    @property
    def resources(self) -> WorkerResources:
        """How many workers there are, and what each holds."""
        ...

    def describe(self, *, measure: bool) -> WorkerDescription:
        """Say what the workers label with; all of them alike."""
        ...

    def label_all(
        self, shards: Sequence[PlannedShard], headers: dict[str, ShardHeader], on_tick: Callable[[int], None]
    ) -> Iterator[Receipt]:
        """Label shards in any order; yield each receipt when its shard is committed.

        Args:
            shards: what to label.
            headers: of their files, by split.
            on_tick: called now and then with the frames labelled so far, open shards included.

        Raises:
            KinetError: a shard could not be labelled; those committed stay.
        """
        ...


@dataclass(frozen=True)
class LabelJob:
    """One labelling job.

    Attributes:
        dataset: its name.
        records: every row of its manifest.
        shards_dir: where shards, receipts and the plan go.
        split: the only split to label, or None for all.
        redo: names of committed shards that are bad: they are set aside and labelled again, and nothing else is.
        videos_per_shard: at the first start; None chooses at most 128, and about ten minutes of one worker's work.
    """

    dataset: str
    records: Sequence[VideoRecord]
    shards_dir: Path
    split: str | None = None
    videos_per_shard: int | None = None
    redo: frozenset[str] = frozenset()


@dataclass(frozen=True)
class LabelReport:
    """How a run ended.

    Attributes:
        status: of the whole job.
        seconds: this run took.
        frames: this run labelled.
    """

    status: LabelStatus
    seconds: float
    frames: int

    @property
    def frames_per_sec(self) -> float:
        """Speed of this run."""
        return self.frames / self.seconds if self.seconds else 0.0


def run_label_job(job: LabelJob, pool: WorkerPool, on_progress: Callable[[LabelProgress], None]) -> LabelReport:
    """Label what is not labelled yet; a second call after a kill goes on where the first was.

    Raises:
        PlanError: the manifest or the teachers are not those that the labels were begun with.
        WorkspaceError: another run is at work here, or the disk is full.
        KinetError: a shard could not be labelled.
    """
    started = time.monotonic()
    with only_run(job.shards_dir) as hold:
        plan = _settle_plan(job, pool)
        shards = plan.of_split(job.split)
        for name in job.redo:
            set_aside(job.shards_dir, name)
        receipts = read_receipts(job.shards_dir, plan.shards, plan.fingerprint)
        wanted = [shard for shard in shards if not job.redo or shard.name in job.redo]
        todo = [shard for shard in wanted if shard.name not in receipts]
        _sweep(job.shards_dir, todo)
        headers = {split: shard_header(plan, split) for split in {shard.split for shard in todo}}
        own_frames = 0

        def tick(frames: int) -> None:
            hold.check()
            status = summarise(shards, receipts)
            done = status.planned - status.missing
            on_progress(LabelProgress(done, status.planned, status.quarantined, frames))

        tick(0)
        try:
            for receipt in pool.label_all(todo, headers, tick):
                receipts[receipt.shard] = receipt
                own_frames += receipt.frames
        finally:
            write_quarantine(job.shards_dir, plan.shards, receipts)
        return LabelReport(summarise(shards, receipts), time.monotonic() - started, own_frames)


def _settle_plan(job: LabelJob, pool: WorkerPool) -> Plan:
    """Read the plan and hold it against what the workers have, or make it at the first start."""
    _require_videos(job)
    plan = read_plan(job.shards_dir, job.dataset, job.records)
    unsized = plan is None and job.videos_per_shard is None
    description = pool.describe(measure=unsized)
    ingredients = {"manifest": manifest_digest(job.records), **description.ingredients}
    if plan is not None:
        check_ingredients(plan, ingredients, job.shards_dir)
        if job.videos_per_shard not in (None, plan.videos_per_shard):
            raise WorkspaceError(
                f"{job.shards_dir} was begun with {plan.videos_per_shard} videos a shard; leave --videos-per-shard "
                "away, or label into another workspace"
            )
        return plan
    size = job.videos_per_shard or choose_videos_per_shard(job.records, description.frames_per_sec)
    plan = Plan(job.dataset, size, ingredients, partition(job.records, size))
    plan.of_split(job.split)
    write_plan(job.shards_dir, plan)
    return plan


def _require_videos(job: LabelJob) -> None:
    """Refuse to settle a whole data set as missing because a disk is not mounted, or an empty one as done."""
    if not job.records:
        raise ManifestError(f"the manifest of {job.dataset} lists no video; run kinet-pipeline manifest build")
    folder = os.path.commonpath([record.path.parent for record in job.records])
    if not os.path.isdir(folder):  # noqa: PTH112 - commonpath gives text
        raise WorkspaceError(f"the folder of the videos, {folder}, does not exist; is its disk mounted?")


def choose_videos_per_shard(records: Sequence[VideoRecord], frames_per_sec: float | None) -> int:
    """Choose the largest power of two up to 128 that keeps a shard near ten minutes of one worker's work."""
    probed = [record.num_frames for record in records if record.num_frames is not None]
    frames_per_video = sum(probed) / len(probed) if probed else USUAL_FRAMES_PER_VIDEO
    size = MAX_VIDEOS_PER_SHARD
    while frames_per_sec is not None and size > 1 and size * frames_per_video / frames_per_sec > MAX_SHARD_SEC:
        size //= 2
    return size


def shard_header(plan: Plan, split: str) -> ShardHeader:
    """Return the root attributes of a split's shards."""
    return ShardHeader(
        dataset=plan.dataset,
        split=split,
        height=FRAME_HEIGHT,
        width=FRAME_WIDTH,
        fingerprint=plan.fingerprint,
        frame_resize=plan.ingredients["frame_resize"],
        decoder=plan.ingredients["decoder"],
        human_teacher=plan.ingredients.get("human_teacher"),
        scene_teacher=plan.ingredients.get("scene_teacher"),
        created_by=f"kinet-pipeline {version('kinet-pipeline')}",
    )


def _sweep(shards_dir: Path, todo: Sequence[PlannedShard]) -> None:
    """Remove what a killed run left of the shards that are to be made: half files, and files without a receipt."""
    unfinished = {f"{shard.name}.h5" for shard in todo}
    for path in find_files(shards_dir, "*"):
        if path.suffix == ".part" or path.name in unfinished:
            remove(path)
