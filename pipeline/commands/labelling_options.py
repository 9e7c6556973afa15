"""The options of workers and teachers: of ``label``, ``extract-flow``, ``estimate``, ``retry`` and ``verify``."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from dataclasses import MISSING, dataclass
from typing import Any, Literal

import click
from click.core import ParameterSource

from pipeline.errors import OptionError
from pipeline.options import require_factory
from pipeline.precisions import PRECISIONS


@dataclass(frozen=True)
class LabellingChoice:
    """The options' values; see their help. Those with a default here are the teachers' alone."""

    address: str | None
    workers: int | None
    recycle_after: int
    decoders: int | None
    stall_sec: float
    teacher_stall_sec: float
    decoder_memory_gib: float | None
    video_sec: float
    attempts: int
    progress: Literal["auto", "bar", "lines", "none"]
    progress_every: float
    cpus_per_worker: int | None
    gpus_per_worker: float | None = None
    precision: str = "auto"
    batch_size: int | None = None
    compression: Literal["gzip", "zstd"] = "gzip"
    human_teacher: str = "teachers.human:load"
    scene_teacher: str = "teachers.scene:load"
    mask_median: int | None = None
    compile: bool | None = None


_WORKER_OPTIONS = (
    click.option("--address", metavar="RAY", help="A running Ray cluster, e.g. auto.  [default: one on this machine]"),
    click.option(
        "--workers",
        type=click.IntRange(0),
        help="0 works in this process, without Ray.  [default: one a GPU, else, and for flow, one a node]",
    ),
    click.option(
        "--cpus-per-worker",
        type=click.IntRange(1),
        help="Processors that a worker reserves and uses.  [default: its GPU's share of the node, else of all]",
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
        metavar="GIB",
        help="A decoder that takes more is ended.  [default: all together half of the worker's memory; each 1 to 4]",
    ),
    click.option(
        "--video-sec",
        type=click.FloatRange(0, min_open=True),
        default=21600.0,
        show_default=True,
        metavar="SEC",
        help="A video has no end if decoding takes longer of what it holds beyond the frames that its header declares.",
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
        help="Between two lines, whatever the run does.",
    ),
)

_TEACHER_OPTIONS = (
    click.option("--gpus-per-worker", type=click.FloatRange(0), help="[default: 1 where there are GPUs]"),
    click.option(
        "--precision",
        type=click.Choice(PRECISIONS),
        default=LabellingChoice.precision,
        show_default=True,
        help="Of the teachers; auto is what the labels were begun with, at first bfloat16 where the GPU or CPU has it.",
    ),
    click.option(
        "--batch-size",
        type=click.IntRange(1),
        help="Frames a batch.  [default: what the labels were begun with; at first 64 on a GPU, 16 elsewhere]",
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
        "[default: what the labels were begun with; at first 1]",
    ),
    click.option(
        "--compile/--no-compile",
        default=None,
        help="Let torch compile the teachers, for minutes at each worker's start; see what it brings with estimate.  "
        "[default: as the labels were begun; at first no]",
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
        for name in ("teachers", *teachers_alone)
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
