"""What ``label``, ``extract-flow``, ``estimate`` and ``verify`` share: options of the workers, and the run itself."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click
from click.core import ParameterSource

from pipeline.errors import OptionError, option_errors
from pipeline.options import require_factory
from pipeline.precisions import PRECISIONS
from pipeline.workspace import Workspace

if TYPE_CHECKING:
    from pipeline.label.job import LabelJob, LabelReport
    from pipeline.label.plan import Plan
    from pipeline.label.product import Product
    from pipeline.label.progress import ProgressDisplay
    from pipeline.label.sets import LabelSet
    from pipeline.label.settings import LabelSettings, TeacherSettings
    from pipeline.label.worker_pool import WorkerPool
    from pipeline.shards.schema import TeacherKind


@dataclass(frozen=True)
class LabellingChoice:
    """The options' values; see their help. Those with a default here are the teachers' alone."""

    address: str | None
    workers: int | None
    recycle_after: int
    decoders: int | None
    stall_sec: float
    teacher_stall_sec: float
    decoder_memory_gib: float
    video_sec: float
    attempts: int
    progress: Literal["auto", "bar", "lines", "none"]
    progress_every: float
    gpus_per_worker: float | None = None
    precision: str = "auto"
    batch_size: int = 16
    compression: Literal["gzip", "zstd"] = "gzip"
    human_teacher: str = "teachers.human:load"
    scene_teacher: str = "teachers.scene:load"
    mask_median: int | None = None


_WORKER_OPTIONS = (
    click.option("--address", metavar="RAY", help="A running Ray cluster, e.g. auto.  [default: one on this machine]"),
    click.option(
        "--workers",
        type=click.IntRange(0),
        help="0 works in this process, without Ray.  [default: one a GPU, else, and for flow, one a node]",
    ),
    click.option(
        "--recycle-after",
        type=click.IntRange(1),
        default=50,
        show_default=True,
        metavar="SHARDS",
        help="A worker makes place for a fresh process after so many shards.",
    ),
    click.option(
        "--decoders", type=click.IntRange(1), help="Decoding processes a worker.  [default: one a CPU, to 16]"
    ),
    click.option(
        "--stall-sec",
        type=click.FloatRange(0, min_open=True),
        default=120.0,
        show_default=True,
        metavar="SEC",
        help="A decoder that gives nothing for so long has hung.",
    ),
    click.option(
        "--teacher-stall-sec",
        type=click.FloatRange(0, min_open=True),
        default=900.0,
        show_default=True,
        metavar="SEC",
        help="A teacher, or flow, that gives nothing for so long has hung; give more to stop it in a debugger.",
    ),
    click.option(
        "--decoder-memory-gib",
        type=click.FloatRange(0, min_open=True),
        default=4.0,
        show_default=True,
        metavar="GIB",
        help="A decoder that takes more is ended.",
    ),
    click.option(
        "--video-sec",
        type=click.FloatRange(0, min_open=True),
        default=21600.0,
        show_default=True,
        metavar="SEC",
        help="A video whose decoding takes longer has no end.",
    ),
    click.option(
        "--attempts",
        type=click.IntRange(1),
        default=3,
        show_default=True,
        metavar="N",
        help="A video whose decoder hung, crashed or was ended so often is quarantined.",
    ),
    click.option(
        "--progress",
        type=click.Choice(["auto", "bar", "lines", "none"]),
        default="auto",
        show_default=True,
        help="On stderr; auto is a bar on a terminal and lines elsewhere.",
    ),
    click.option(
        "--progress-every",
        type=click.FloatRange(0, min_open=True),
        default=30.0,
        show_default=True,
        metavar="SEC",
        help="Between two lines.",
    ),
)

_TEACHER_OPTIONS = (
    click.option("--gpus-per-worker", type=click.FloatRange(0), help="[default: 1 where there are GPUs]"),
    click.option(
        "--precision",
        type=click.Choice(PRECISIONS),
        default=LabellingChoice.precision,
        show_default=True,
        help="Of the teachers; auto is bfloat16 on a GPU.",
    ),
    click.option(
        "--batch-size",
        type=click.IntRange(1),
        default=LabellingChoice.batch_size,
        show_default=True,
        help="Frames a batch.",
    ),
    click.option(
        "--compression",
        type=click.Choice(["gzip", "zstd"]),
        default=LabellingChoice.compression,
        show_default=True,
        help="Of the masks; zstd is smaller and faster, and its readers need hdf5plugin.",
    ),
    click.option(
        "--human-teacher",
        default=LabellingChoice.human_teacher,
        show_default=True,
        callback=require_factory,
        metavar="MODULE:FUNCTION",
    ),
    click.option(
        "--scene-teacher",
        default=LabellingChoice.scene_teacher,
        show_default=True,
        callback=require_factory,
        metavar="MODULE:FUNCTION",
    ),
    click.option(
        "--mask-median",
        type=click.IntRange(1),
        metavar="FRAMES",
        help="Smooth masks in time: the median of so many frames, an odd number; 1 leaves them.  "
        "[default: 1; in retry and verify what the labels were begun with]",
    ),
)


def labelling_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of workers and teachers, passed on together as `choice`, a `LabellingChoice`."""
    return _gather(command, (*_WORKER_OPTIONS, *_TEACHER_OPTIONS))


def worker_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of workers without teachers, passed on likewise."""
    return _gather(command, _WORKER_OPTIONS)


def refuse_teacher_options() -> None:
    """Raise OptionError where the command was given an option of the teachers, for work that has none."""
    context = click.get_current_context()
    teachers_alone = [field.name for field in dataclasses.fields(LabellingChoice) if field.default is not MISSING]
    given = [
        f"--{name.replace('_', '-')}"
        for name in teachers_alone
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    ]
    if given:
        raise OptionError(f"--flow and {', '.join(given)}: flow has no teachers; leave one of the two out")


def _gather(command: Callable[..., Any], options: Sequence[Callable[[Any], Any]]) -> Callable[..., Any]:
    @functools.wraps(command)
    def gathered(**values: Any) -> Any:
        names = LabellingChoice.__dataclass_fields__.keys() & values.keys()
        choice = LabellingChoice(**{name: values.pop(name) for name in names})
        return command(choice=choice, **values)

    for option in reversed(options):
        gathered = option(gathered)
    return gathered


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
        cluster = ClusterSettings(choice.address, choice.workers, gpus_per_worker, choice.recycle_after)
    return open_pool(product, choose_settings(choice), shards_dir, cluster)


def choose_product(workspace: Workspace, choice: LabellingChoice, labels: LabelSet, plan: Plan) -> Product:
    """Return what a set that was begun is made by: flow as its plan says, labels as `choose_begun_teachers` says."""
    from pipeline.flow.settings import FlowSettings

    if labels.is_flow:
        return FlowSettings.of_plan(plan.ingredients)
    return choose_begun_teachers(workspace, choice, labels, plan)


def choose_begun_teachers(
    workspace: Workspace, choice: LabellingChoice, labels: LabelSet, plan: Plan
) -> TeacherSettings:
    """Return the teachers that the options ask for, with the plan's mask median where they name none."""
    from pipeline.label.settings import mask_median_of

    mask_median = mask_median_of(plan.ingredients) if choice.mask_median is None else choice.mask_median
    return choose_teachers(workspace, dataclasses.replace(choice, mask_median=mask_median), labels.kinds)


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
        )


def choose_settings(choice: LabellingChoice) -> LabelSettings:
    """Return how a worker labels, as the options ask for."""
    from pipeline.label.messages import DecodeLimits
    from pipeline.label.settings import LabelSettings

    limits = DecodeLimits(memory_bytes=round(choice.decoder_memory_gib * (1 << 30)), video_sec=choice.video_sec)
    return LabelSettings(
        batch_size=choice.batch_size,
        num_decoders=choice.decoders,
        stall_sec=choice.stall_sec,
        decode_limits=limits,
        compression=choice.compression,
        max_attempts=choice.attempts,
        teacher_stall_sec=choice.teacher_stall_sec,
    )
