"""What ``label`` and ``verify --repair`` share: the options that say where and how to label, and the run itself."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import click

from pipeline.workspace import Workspace

if TYPE_CHECKING:
    from pipeline.label.job import LabelJob, LabelReport


@dataclass(frozen=True)
class LabellingChoice:
    """The options' values; see their help."""

    address: str | None
    workers: int | None
    gpus_per_worker: float | None
    precision: str
    batch_size: int
    decoders: int
    compression: Literal["gzip", "zstd"]
    human_teacher: str
    scene_teacher: str


def _require_factory(ctx: click.Context, param: click.Parameter, value: str) -> str:
    module, _, function = value.partition(":")
    if not module or not function:
        raise click.BadParameter(f"{value!r} is no MODULE:FUNCTION, such as teachers.human:load")
    return value


_OPTIONS = (
    click.option("--address", metavar="RAY", help="A running Ray cluster, e.g. auto.  [default: one on this machine]"),
    click.option(
        "--workers",
        type=click.IntRange(0),
        help="Labelling workers; 0 labels in this process, without Ray.  [default: one a GPU, else one a node]",
    ),
    click.option("--gpus-per-worker", type=click.FloatRange(0), help="[default: 1 where there are GPUs]"),
    click.option(
        "--precision",
        type=click.Choice(["auto", "float32", "bfloat16"]),
        default="auto",
        show_default=True,
        help="Of the teachers; auto is bfloat16 on a GPU.",
    ),
    click.option("--batch-size", type=click.IntRange(1), default=16, show_default=True, help="Frames a batch."),
    click.option(
        "--decoders", type=click.IntRange(1), default=1, show_default=True, help="Decoding processes a worker."
    ),
    click.option(
        "--compression",
        type=click.Choice(["gzip", "zstd"]),
        default="gzip",
        show_default=True,
        help="Of the masks; zstd is smaller and faster, and its readers need hdf5plugin.",
    ),
    click.option(
        "--human-teacher",
        default="teachers.human:load",
        show_default=True,
        callback=_require_factory,
        metavar="MODULE:FUNCTION",
    ),
    click.option(
        "--scene-teacher",
        default="teachers.scene:load",
        show_default=True,
        callback=_require_factory,
        metavar="MODULE:FUNCTION",
    ),
)


def labelling_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options, passed on together as `choice`, a `LabellingChoice`."""

    @functools.wraps(command)
    def gathered(**values: Any) -> Any:
        names = LabellingChoice.__dataclass_fields__
        choice = LabellingChoice(**{name: values.pop(name) for name in names})
        return command(choice=choice, **values)

    for option in reversed(_OPTIONS):
        gathered = option(gathered)
    return gathered


def run_labelling(job: LabelJob, workspace: Workspace, choice: LabellingChoice) -> LabelReport:
    """Run a job with progress on stderr; signals end it cleanly."""
    from pipeline.label.job import run_label_job
    from pipeline.label.pools import open_pool
    from pipeline.label.progress import show_progress
    from pipeline.label.settings import ClusterSettings, LabelSettings, TeacherSettings
    from pipeline.signals import interruptible

    teachers = TeacherSettings(
        workspace.teacher_path("human"),
        workspace.teacher_path("scene"),
        choice.human_teacher,
        choice.scene_teacher,
        choice.precision,
    )
    settings = LabelSettings(choice.batch_size, choice.decoders, compression=choice.compression)
    cluster = None if choice.workers == 0 else ClusterSettings(choice.address, choice.workers, choice.gpus_per_worker)
    way_out = "committed shards are kept; run the same command again to go on"
    with (
        open_pool(teachers, settings, job.shards_dir, cluster) as pool,
        interruptible(way_out),
        show_progress(job.dataset) as display,
    ):
        return run_label_job(job, pool, display.update)
