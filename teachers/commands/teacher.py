"""`kinet-pipeline teacher`: import, train and score the two teachers."""

import json
from pathlib import Path
from typing import Any

import click

from pipeline.options import debug_option, json_option, workspace_option
from pipeline.workspace import Workspace
from teachers.commands.cards import card_lines
from teachers.commands.options import (
    KINDS,
    check_layout,
    data_option,
    input_size_option,
    kind_argument,
    layout_option,
    max_val_option,
)
from teachers.commands.progress import show_progress
from teachers.commands.teacher_evaluate import evaluate
from teachers.commands.teacher_import import import_

DEFAULT_ARCHITECTURES = {"human": "pspnet_densenet121", "scene": "resnet152"}
DEFAULT_CLASSES = {"human": 20, "scene": 365}


@click.group()
def teacher() -> None:
    """Import, train and score the human and the scene teacher."""


teacher.add_command(import_)
teacher.add_command(evaluate)


@teacher.command("train")
@kind_argument
@data_option
@layout_option
@click.option("--architecture", metavar="NAME", help="[default: pspnet_densenet121, resnet152]")
@click.option("--init", "init_path", type=click.Path(path_type=Path), metavar="FILE", help="Local ImageNet weights.")
@click.option("--classes", type=click.Choice(("20", "2")), help="Human: LIP parts, or person alone.  [default: 20]")
@click.option("--merge-parts", is_flag=True, help="Human: the same as --classes 2.")
@input_size_option
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
    from teachers.architectures import Kind
    from teachers.jobs import TeacherRequest, train_teacher
    from teachers.training import TrainingSettings

    show_progress()
    check_layout(kind, layout)
    try:
        request = TeacherRequest(
            kind=Kind(kind),
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
    result = train_teacher(request, workspace.teacher_path(kind))
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


@teacher.command("show")
@click.argument("kind", type=click.Choice(KINDS), required=False)
@json_option
@workspace_option
@debug_option
def show(workspace: Workspace, as_json: bool, kind: str | None) -> None:
    """Say what the workspace's teachers are."""
    from teachers.architectures import Kind
    from teachers.storage import read_card, side_path

    paths = {name: workspace.teacher_path(name) for name in ([kind] if kind else KINDS)}
    cards = {
        name: read_card(path, Kind(name)) if kind or path.is_file() or side_path(path).is_file() else None
        for name, path in paths.items()
    }
    if as_json:
        click.echo(json.dumps({name: card and card.to_fields() for name, card in cards.items()}))
        return
    for name, card in cards.items():
        click.echo("\n".join(card_lines(card, paths[name])) if card else f"{name}: none")


def _show(card: Any, as_json: bool, weights_path: Path, training: dict[str, Any]) -> None:
    """Print the card of a teacher that was just trained, for machines with what its training did."""
    if as_json:
        click.echo(
            json.dumps(card.to_fields() | {"scores": card.scores, "training": training, "path": str(weights_path)})
        )
        return
    click.echo("\n".join(card_lines(card, weights_path)))
