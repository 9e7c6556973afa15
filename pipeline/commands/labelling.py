"""What ``label``, ``extract-flow``, ``estimate``, ``retry`` and ``verify`` share: workers, and a run of them."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import PlanError, option_errors
from pipeline.workspace import Workspace

if TYPE_CHECKING:
    from pipeline.commands.labelling_options import LabellingChoice
    from pipeline.label.job import LabelJob, LabelReport
    from pipeline.label.plan import Plan
    from pipeline.label.product import Product
    from pipeline.label.progress import ProgressDisplay
    from pipeline.label.sets import LabelSet
    from pipeline.label.settings import LabelSettings, TeacherSettings
    from pipeline.label.worker_pool import WorkerPool
    from pipeline.shards.schema import TeacherKind


def run_labelling(job: LabelJob, product: Product, choice: LabellingChoice) -> LabelReport:
    """Run a job with progress on stderr; signals end it cleanly."""
    from pipeline.label.job import report_if_done, run_label_job
    from pipeline.signals import interruptible

    job = dataclasses.replace(job, teacher_files=product.digest_files())
    if done := report_if_done(job):
        return done

    way_out = "committed shards are kept; run the same command again to go on"
    with (
        # Twice: while the workers start, and again once Ray has put its own handlers in place.
        interruptible(way_out),
        open_workers(job.shards_dir, product, choice) as pool,
        watch(f"{'label' if product.uses_gpu else 'flow of'} {job.dataset}", "videos", choice, way_out) as display,
    ):
        return run_label_job(job, pool, display.update)


@contextlib.contextmanager
def watch(
    title: str, unit: str, choice: LabellingChoice, way_out: str = "nothing was changed"
) -> Iterator[ProgressDisplay]:
    """Show progress on stderr as the options ask for; signals end what runs inside with one line and a way out."""
    from pipeline.label.progress import ProgressSettings, show_progress
    from pipeline.signals import interruptible

    settings = ProgressSettings(choice.progress, choice.progress_every)
    with interruptible(way_out), show_progress(title, unit, settings) as display:
        yield display


def open_workers(
    shards_dir: Path, product: Product, choice: LabellingChoice
) -> contextlib.AbstractContextManager[WorkerPool]:
    """Open the workers that the options ask for; they write the product to `shards_dir`."""
    from pipeline.label.pools import open_pool
    from pipeline.label.settings import ClusterSettings

    cluster = None
    if choice.workers != 0:
        gpus_per_worker = choice.gpus_per_worker if product.uses_gpu else 0.0
        cluster = ClusterSettings(
            choice.address,
            choice.workers,
            gpus_per_worker,
            choice.recycle_after,
            cpus_per_worker=choice.cpus_per_worker,
        )
    return open_pool(product, choose_settings(choice, shards_dir), shards_dir, cluster)


def choose_product(workspace: Workspace, choice: LabellingChoice, labels: LabelSet, plan: Plan) -> Product:
    """Return what a set that was begun is made by: flow as its plan says, labels as `choose_begun_teachers` says."""
    from pipeline.flow.settings import FlowSettings

    if labels.is_flow:
        return FlowSettings.of_plan(plan.ingredients)
    return choose_begun_teachers(workspace, choice, labels, plan)


def choose_begun_teachers(
    workspace: Workspace, choice: LabellingChoice, labels: LabelSet, plan: Plan
) -> TeacherSettings:
    """Return the teachers that the options ask for, made as those of the plan where they say nothing."""
    return choose_teachers(workspace, _as_begun(choice, plan.ingredients), labels.kinds)


def choose_teachers(workspace: Workspace, choice: LabellingChoice, kinds: tuple[TeacherKind, ...]) -> TeacherSettings:
    """Return the teachers that the options ask for."""
    from pipeline.label.settings import NO_MASK_MEDIAN, TeacherSettings

    human_path, scene_path = workspace.teacher_path("human"), workspace.teacher_path("scene")
    with option_errors():
        return TeacherSettings(
            human_path,
            scene_path,
            choice.human_teacher,
            choice.scene_teacher,
            choice.precision,
            kinds,
            choice.mask_median or NO_MASK_MEDIAN,
            compiled=bool(choice.compile),
        )


def as_begun(choice: LabellingChoice, shards_dir: Path) -> LabellingChoice:
    """Let the options that say nothing of the teachers be those that the labels were begun with, if they were."""
    from pipeline.label.plan import read_plan_file

    begun = read_plan_file(shards_dir)
    return choice if begun is None else _as_begun(choice, begun.ingredients)


def _as_begun(choice: LabellingChoice, ingredients: Mapping[str, str]) -> LabellingChoice:
    from pipeline.label.settings import COMPILED, mask_median_of

    if choice.mask_median is None:
        choice = dataclasses.replace(choice, mask_median=mask_median_of(ingredients))
    begun = ingredients["precision"]
    if choice.precision not in ("auto", begun):
        raise PlanError(
            f"the labels were begun in another precision ({begun} then, {choice.precision} now); leave --precision "
            "away, or label into another workspace"
        )
    # What "auto" comes to depends on the machine.
    choice = dataclasses.replace(choice, precision=begun)
    if choice.compile is None:
        choice = dataclasses.replace(choice, compile=COMPILED in ingredients)
    return choice


def choose_settings(choice: LabellingChoice, shards_dir: Path) -> LabelSettings:
    """Return how a worker labels, as the options ask for, and where they say nothing as the labels were begun."""
    from pipeline.label.messages import DecodeLimits
    from pipeline.label.plan import read_plan_file
    from pipeline.label.settings import CPU_BATCH_SIZE, LabelSettings

    batch_size = choice.batch_size
    if batch_size is None and (begun := read_plan_file(shards_dir)) is not None:
        # An older program's plan does not say; this was the default then, wherever it ran.
        batch_size = begun.batch_size or CPU_BATCH_SIZE
    memory_gib = choice.decoder_memory_gib
    return LabelSettings(
        batch_size=batch_size,
        num_decoders=choice.decoders,
        stall_sec=choice.stall_sec,
        decode_limits=DecodeLimits(video_sec=choice.video_sec),
        decoder_memory_bytes=None if memory_gib is None else round(memory_gib * (1 << 30)),
        compression=choice.compression,
        max_attempts=choice.attempts,
        teacher_stall_sec=choice.teacher_stall_sec,
    )
