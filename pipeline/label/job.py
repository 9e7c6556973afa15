"""Stage one as a job: what is left to do, handed to workers shard by shard, until all of it is done."""

import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from manifests import VideoRecord
from pipeline.errors import WorkspaceError
from pipeline.label.goals import Goal, LabelMissing
from pipeline.label.journal import forget_journals
from pipeline.label.placing import place_leftovers, place_pair, sweep
from pipeline.label.plan import (
    PLAN_NAME,
    Plan,
    check_ingredients,
    even_sizes,
    manifest_digest,
    partition,
    read_plan,
    write_plan,
)
from pipeline.label.progress import LabelProgress
from pipeline.label.shard_sizes import choose_sizes
from pipeline.label.sight import require_videos
from pipeline.label.status import LabelStatus, Tally, read_receipts, summarise
from pipeline.label.tasks import ShardTask
from pipeline.label.video_lists import write_video_lists
from pipeline.label.worker_pool import WorkerPool
from pipeline.lock import only_run
from pipeline.shards import Receipt, ShardHeader
from pipeline.store import remove
from pipeline.video import DECODER, FRAME_HEIGHT, FRAME_RESIZE, FRAME_WIDTH
from pipeline.video_disk import NO_WITNESSES, Witnesses

# How old the lists of quarantined and partial videos may be while shards are committed.
QUARANTINE_SEC = 60.0


@dataclass(frozen=True)
class LabelJob:
    """One labelling job.

    Attributes:
        dataset: its name.
        records: every row of its manifest.
        shards_dir: where shards, receipts and the plan go.
        split: the only split to label, or None for all.
        videos_per_shard: at the first start; None chooses at most 128, and about ten minutes of a worker's teachers.
        goal: what it is to do.
        teacher_files: `digest_teacher_files` of the teachers; None where a job must be given to workers to see whether
            something is left of it.
        manifest_file: hex SHA-256 of the manifest's file; None where it is not known.
        rival_dirs: folders of other sets of the same teachers' labels; where one is begun, this job is not.
    """

    dataset: str
    records: Sequence[VideoRecord]
    shards_dir: Path
    split: str | None = None
    videos_per_shard: int | None = None
    goal: Goal = field(default_factory=LabelMissing)
    teacher_files: str | None = None
    manifest_file: str | None = None
    rival_dirs: tuple[Path, ...] = ()


@dataclass(frozen=True)
class LabelReport:
    """How a run ended.

    Attributes:
        status: of the whole job.
        seconds: this run took.
        frames: this run labelled.
        retried: quarantined or partial videos that this run tried again.
    """

    status: LabelStatus
    seconds: float
    frames: int
    retried: int = 0

    @property
    def frames_per_sec(self) -> float:
        """Speed of this run."""
        return self.frames / self.seconds if self.seconds else 0.0

    def as_json(self) -> dict[str, Any]:
        """Return the keys of ``label --json``."""
        speed = {"seconds": round(self.seconds, 3), "frames_per_sec": round(self.frames_per_sec, 3)}
        return {**self.status.as_json(), **speed}

    def as_text(self) -> str:
        """Return a few lines for people."""
        speed = f"{self.frames:,} frames in {self.seconds:.0f} s, {self.frames_per_sec:.1f} a second"
        return f"{self.status.as_text()}\nthis run    {speed}"


def report_if_done(job: LabelJob) -> LabelReport | None:
    """Report a job of which nothing is left, without workers; None where something is left, or only they can tell.

    Raises:
        PlanError: the manifest is not the one that the labels were begun with.
        ShardError: a receipt is damaged.
        WorkspaceError: another run is at work here.
    """
    started = time.monotonic()
    plan = _unchanged_plan(job)
    if plan is None:
        return None
    shards = plan.of_split(job.split)
    with only_run(job.shards_dir):
        # What a killed run left to do, as a run with workers does it.
        place_leftovers(job.shards_dir, plan.fingerprint, {shard.name for shard in plan.shards})
        receipts = read_receipts(job.shards_dir, plan.shards, plan.fingerprint)
        if _find_tasks(job, plan, receipts):
            return None
        sweep(job.shards_dir, ())
        write_video_lists(job.shards_dir, plan.shards, receipts)
    return LabelReport(summarise(shards, receipts, is_flow=plan.is_flow), time.monotonic() - started, 0)


def _unchanged_plan(job: LabelJob) -> Plan | None:
    """Read the plan of a job whose receipts say all; None where its labels might now come out otherwise."""
    if not job.goal.told_by_receipts or job.teacher_files is None:
        return None
    plan = read_plan(job.shards_dir, job.dataset, job.records)
    if plan is None or plan.teacher_files != job.teacher_files:
        return None
    if (plan.ingredients.get("decoder"), plan.ingredients.get("frame_resize")) != (DECODER, FRAME_RESIZE):
        return None
    return plan if job.videos_per_shard in (None, plan.videos_per_shard) else None


def run_label_job(job: LabelJob, pool: WorkerPool, on_progress: Callable[[LabelProgress], None]) -> LabelReport:
    """Label what is not labelled yet; a second call after a kill goes on where the first was.

    Raises:
        PlanError: the manifest or the teachers are not those that the labels were begun with.
        WorkspaceError: another run is at work here, the disk is full, or that of the videos is not mounted.
        SourceError: no worker is left that sees the videos.
        KinetError: a shard could not be labelled.
    """
    started = time.monotonic()
    with only_run(job.shards_dir) as hold:
        witnesses = require_videos(job.dataset, job.records)
        plan = _settle_plan(job, pool)
        shards = plan.of_split(job.split)
        place_leftovers(job.shards_dir, plan.fingerprint, {shard.name for shard in plan.shards})
        job.goal.make_way(job.shards_dir, plan)
        receipts = read_receipts(job.shards_dir, plan.shards, plan.fingerprint)
        tasks = _find_tasks(job, plan, receipts, witnesses)
        sweep(job.shards_dir, tasks)
        num_again = {task.name: len(task.again) for task in tasks if task.again}
        tally = Tally(shards, receipts, num_again)
        listed, listed_sec = (tally.quarantined, tally.partial), time.monotonic()
        own_frames, retried = 0, sum(num_again.values())

        def tick(frames: int) -> None:
            hold.check()
            on_progress(LabelProgress(tally.settled, tally.planned, tally.quarantined, frames))

        tick(0)
        try:
            paces = [receipt.seconds / receipt.frames for receipt in receipts.values() if receipt.frames]
            for receipt in pool.label_all(tasks, tick, paces):
                before = receipts.get(receipt.shard)
                hold.check()
                place_pair(job.shards_dir, receipt)
                forget_journals(job.shards_dir, receipt.shard)
                receipts[receipt.shard] = receipt
                tally.add(receipt, before)
                own_frames += receipt.frames - (before.frames if before else 0)
                if (tally.quarantined, tally.partial) != listed and time.monotonic() - listed_sec > QUARANTINE_SEC:
                    write_video_lists(job.shards_dir, plan.shards, receipts)
                    listed, listed_sec = (tally.quarantined, tally.partial), time.monotonic()
            sweep(job.shards_dir, ())
        finally:
            write_video_lists(job.shards_dir, plan.shards, receipts)
        return LabelReport(
            summarise(shards, receipts, is_flow=plan.is_flow), time.monotonic() - started, own_frames, retried
        )


def _settle_plan(job: LabelJob, pool: WorkerPool) -> Plan:
    """Read the plan and hold it against what the workers have, or make it at the first start."""
    plan = read_plan(job.shards_dir, job.dataset, job.records)
    unsized = plan is None and job.videos_per_shard is None
    expected = None
    if plan is not None:
        expected = {name: value for name, value in plan.ingredients.items() if name != "manifest"}
    description = pool.describe(measure=unsized, expected=expected)
    # A plan that could be read has the digest of this very manifest.
    manifest = plan.ingredients["manifest"] if plan else manifest_digest(job.records)
    ingredients = {"manifest": manifest, **description.ingredients}
    if plan is not None:
        check_ingredients(plan, ingredients, job.shards_dir)
        if job.videos_per_shard not in (None, plan.videos_per_shard):
            begun = f"{plan.videos_per_shard} videos" if plan.videos_per_shard else "about ten minutes' work"
            raise WorkspaceError(
                f"{job.shards_dir} was begun with {begun} a shard; leave --videos-per-shard away, or start in "
                "another workspace"
            )
        files = job.manifest_file or plan.manifest_file, job.teacher_files or plan.teacher_files
        if files != (plan.manifest_file, plan.teacher_files):
            # The same videos and teachers in other files: a manifest that was probed since, say.
            plan = dataclasses.replace(plan, manifest_file=files[0], teacher_files=files[1])
            write_plan(job.shards_dir, plan)
        return plan
    if job.videos_per_shard is None:
        sizes = choose_sizes(job.records, description.frames_per_sec)
    else:
        sizes = even_sizes(job.records, job.videos_per_shard)
    shards = partition(job.records, sizes)
    plan = Plan(
        job.dataset,
        job.videos_per_shard,
        ingredients,
        shards,
        job.teacher_files,
        job.manifest_file,
        description.batch_size,
    )
    plan.of_split(job.split)
    write_plan(job.shards_dir, plan)
    _require_no_rival(job)
    return plan


def _require_no_rival(job: LabelJob) -> None:
    """Refuse a first start where another set of these labels was begun; each looks once its own plan is written."""
    for folder in job.rival_dirs:
        if (folder / PLAN_NAME).exists():
            remove(job.shards_dir / PLAN_NAME)
            raise WorkspaceError(
                f"labels of {job.dataset} that these would clash with were begun at the same time, in {folder}; run "
                "label again, with the --teachers of the set that you want, or into another workspace"
            )


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
        flow=plan.ingredients.get("flow"),
    )


def _find_tasks(
    job: LabelJob, plan: Plan, receipts: dict[str, Receipt], witnesses: Witnesses = NO_WITNESSES
) -> list[ShardTask]:
    """List what the job has to do."""
    shards = plan.of_split(job.split)
    headers = {split: shard_header(plan, split) for split in {shard.split for shard in shards}}
    return [
        ShardTask(shard, headers[shard.split], again, witnesses) for shard, again in job.goal.choose(shards, receipts)
    ]
