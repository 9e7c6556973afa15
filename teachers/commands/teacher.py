"""`kinet-pipeline teacher`: import, train and score the two teachers."""

import dataclasses
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from pipeline.options import debug_option, json_option, workspace_option
from pipeline.workspace import Workspace

KINDS = ("human", "scene")
DEFAULT_ARCHITECTURES = {"human": "pspnet_densenet121", "scene": "resnet152"}
LAYOUTS = {"human": ("lip", "folders"), "scene": ("places365", "file-list")}
DEFAULT_CLASSES = {"human": 20, "scene": 365}

Command = Callable[..., Any]


class InputSize(click.ParamType):
    """Height and width, written ``128x168``."""

    name = "HxW"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        height, separator, width = str(value).partition("x")
        if not (separator and height.isdecimal() and width.isdecimal()):
            self.fail(f"{value!r} is not a height and a width such as 128x168", param, ctx)
        return int(height), int(width)


kind_argument = click.argument("kind", type=click.Choice(KINDS))
data_option = click.option(
    "--data",
    "data_dirs",
    multiple=True,
    required=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="A data set's folder; repeat for several.",
)
layout_option = click.option(
    "--layout",
    type=click.Choice((*LAYOUTS["human"], *LAYOUTS["scene"])),
    help="How the images lie.  [default: seen from the folder]",
)
max_val_option = click.option(
    "--max-val-images", type=click.IntRange(min=1), help="Score on this many held-out images.  [default: all]"
)


@click.group()
def teacher() -> None:
    """Import, train and score the human and the scene teacher."""


@teacher.command("train")
@kind_argument
@data_option
@layout_option
@click.option("--architecture", metavar="NAME", help="[default: pspnet_densenet121, resnet152]")
@click.option("--init", "init_path", type=click.Path(path_type=Path), metavar="FILE", help="Local ImageNet weights.")
@click.option("--classes", type=click.Choice(("20", "2")), help="Human: LIP parts, or person alone.  [default: 20]")
@click.option("--merge-parts", is_flag=True, help="Human: the same as --classes 2.")
@click.option("--input-size", type=InputSize(), help="Of the network.  [default: 256x256, scene 224x224]")
@click.option("--epochs", type=click.IntRange(min=1), default=30, show_default=True)
@click.option("--batch-size", type=click.IntRange(min=1), default=16, show_default=True)
@click.option("--lr", "learning_rate", type=float, default=0.01, show_default=True, help="At the start.")
@click.option("--schedule", type=click.Choice(("poly", "cosine")), help="[default: human poly, scene cosine]")
@click.option("--weight-decay", type=float, default=1e-4, show_default=True)
@click.option("--max-minutes", type=float, help="End after this time, if not before.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--precision", type=click.Choice(("float32", "bfloat16")), default="float32", show_default=True)
@click.option("--loader-workers", type=click.IntRange(min=0), default=0, show_default=True, help="Reading processes.")
@max_val_option
@json_option
@workspace_option
@debug_option
def train(
    workspace: Workspace,
    as_json: bool,
    kind: str,
    data_dirs: tuple[Path, ...],
    layout: str | None,
    architecture: str | None,
    init_path: Path | None,
    classes: str | None,
    merge_parts: bool,
    input_size: tuple[int, int] | None,
    max_val_images: int | None,
    schedule: str | None,
    **settings: Any,
) -> None:
    """Train a teacher on images and write it into the workspace, with its scores on the held-out images."""
    from teachers.architectures import Kind, default_preprocessing
    from teachers.jobs import TeacherRequest, train_teacher
    from teachers.training import TrainingSettings

    _log_to_stderr()
    _check_layout(kind, layout)
    try:
        default_preprocessing(Kind(kind), input_size)
        request = TeacherRequest(
            data_dirs=data_dirs,
            architecture=architecture or DEFAULT_ARCHITECTURES[kind],
            classes=_choose_classes(kind, classes, merge_parts),
            input_size=input_size,
            init_path=init_path,
            layout=layout,
            max_val_images=max_val_images,
            settings=TrainingSettings(schedule=schedule or ("poly" if kind == "human" else "cosine"), **settings),  # type: ignore[arg-type]
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    result = train_teacher(Kind(kind), request, workspace.teacher_path(kind))
    _show(result.card, as_json, workspace.teacher_path(kind), training=result.summary._asdict())


def _choose_classes(kind: str, classes: str | None, merge_parts: bool) -> int:
    """Read the head's width from the two options that say it."""
    if kind == "scene" and (classes or merge_parts):
        raise click.UsageError(
            "--classes and --merge-parts belong to the human teacher; a scene teacher has 365 classes"
        )
    if merge_parts and classes == "20":
        raise click.UsageError("--merge-parts gives 2 classes, --classes says 20")
    return 2 if merge_parts else int(classes or DEFAULT_CLASSES[kind])


def _check_layout(kind: str, layout: str | None) -> None:
    if layout is not None and layout not in LAYOUTS[kind]:
        raise click.UsageError(f"--layout {layout}: a {kind} teacher has {' or '.join(LAYOUTS[kind])}")


@teacher.command("import")
@kind_argument
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--architecture", metavar="NAME", help="Needed where no side file says it.")
@click.option("--classes", type=click.Choice(("20", "2")), help="Human: LIP parts, or person alone.  [default: 20]")
@click.option("--input-size", type=InputSize(), help="Of the network.  [default: 256x256, scene 224x224]")
@click.option("--source", metavar="TEXT", help="Where the weights come from.  [default: the file's name]")
@json_option
@workspace_option
@debug_option
def import_(
    workspace: Workspace,
    as_json: bool,
    kind: str,
    file: Path,
    architecture: str | None,
    classes: str | None,
    input_size: tuple[int, int] | None,
    source: str | None,
) -> None:
    """Check a checkpoint and write it into the workspace; code in a checkpoint is refused, never executed."""
    from teachers.architectures import Kind, default_preprocessing
    from teachers.importing import import_teacher

    try:
        preprocessing = default_preprocessing(Kind(kind), input_size) if input_size else None
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    card = import_teacher(
        Kind(kind),
        file,
        workspace.teacher_path(kind),
        architecture=architecture,
        classes=_choose_classes(kind, classes, False) if classes else None,
        preprocessing=preprocessing,
        source=source,
    )
    _show(card, as_json, workspace.teacher_path(kind))


@teacher.command("evaluate")
@kind_argument
@data_option
@layout_option
@max_val_option
@json_option
@workspace_option
@debug_option
def evaluate(
    workspace: Workspace,
    as_json: bool,
    kind: str,
    data_dirs: tuple[Path, ...],
    layout: str | None,
    max_val_images: int | None,
) -> None:
    """Score the workspace's teacher on the held-out images of data sets."""
    from teachers.architectures import Kind
    from teachers.jobs import evaluate_teacher

    _check_layout(kind, layout)
    scores = evaluate_teacher(
        Kind(kind), workspace.teacher_path(kind), data_dirs, layout=layout, max_images=max_val_images
    )
    click.echo(json.dumps(scores) if as_json else _score_lines(scores))


@teacher.command("show")
@click.argument("kind", type=click.Choice(KINDS), required=False)
@json_option
@workspace_option
@debug_option
def show(workspace: Workspace, as_json: bool, kind: str | None) -> None:
    """Say what the workspace's teachers are."""
    from teachers.architectures import Kind
    from teachers.storage import read_card

    cards = {name: read_card(workspace.teacher_path(name), Kind(name)) for name in ([kind] if kind else KINDS)}
    if as_json:
        click.echo(json.dumps({name: dataclasses.asdict(card) for name, card in cards.items()}))
        return
    for name, card in cards.items():
        _show(card, False, workspace.teacher_path(name))


def _show(card: Any, as_json: bool, weights_path: Path, training: dict[str, Any] | None = None) -> None:
    """Print a teacher's card, with what its training did where it was just trained."""
    if as_json:
        extra = {} if training is None else {"training": training}
        click.echo(json.dumps(dataclasses.asdict(card) | extra | {"path": str(weights_path)}))
        return
    click.echo(f"{card.kind} teacher {card.architecture}, {card.classes} classes: {weights_path}")
    click.echo(f"  input   {card.preprocessing}")
    click.echo(f"  source  {card.source}")
    click.echo(f"  sha256  {card.sha256}")
    if card.scores:
        click.echo(_score_lines(card.scores))


def _score_lines(scores: dict[str, float]) -> str:
    counts = {"images", "unreadable"}
    return "\n".join(
        f"  {name}  {value:.0f}" if name in counts else f"  {name}  {value:.4f}" for name, value in scores.items()
    )


def _log_to_stderr() -> None:
    """Send the teachers' progress to stderr."""
    logger = logging.getLogger("teachers")
    logger.setLevel(logging.INFO)
    if not logger.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(message)s"))
        logger.addHandler(handler)
