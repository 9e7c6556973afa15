"""`kinet-pipeline teacher train`: from folders of images to a teacher with scores."""

import json
from pathlib import Path
from typing import Literal

import click

from pipeline.errors import option_errors
from pipeline.options import debug_option, json_option, require_name, workspace_option
from pipeline.workspace import Workspace
from teachers.commands.cards import card_lines
from teachers.commands.options import (
    check_layout,
    data_option,
    input_size_option,
    kind_argument,
    layout_option,
    license_option,
    max_val_option,
    replace_option,
    source_option,
)
from teachers.commands.progress import show_progress
from teachers.kinds import Kind

DEFAULT_ARCHITECTURES = {Kind.HUMAN: "pspnet_densenet121", Kind.SCENE: "resnet152"}
DEFAULT_SCHEDULES: dict[Kind, Literal["poly", "cosine"]] = {Kind.HUMAN: "poly", Kind.SCENE: "cosine"}


@click.command("train")
@kind_argument
@data_option
@layout_option
@click.option("--architecture", metavar="NAME", help="[default: pspnet_densenet121, resnet152]")
@click.option("--init", "init_path", type=click.Path(path_type=Path), metavar="FILE", help="Local ImageNet weights.")
@click.option("--classes", type=click.Choice(("20", "2")), help="Human: LIP parts, or person alone.  [default: 20]")
@click.option("--merge-parts", is_flag=True, help="Human: the same as --classes 2.")
@input_size_option
@click.option("--epochs", type=click.IntRange(min=1), default=30, show_default=True)
@click.option(
    "--batch-size", type=click.IntRange(min=1), default=16, show_default=True, help="Of all workers together."
)
@click.option("--lr", "learning_rate", type=float, default=0.01, show_default=True, help="At the start.")
@click.option("--schedule", type=click.Choice(("poly", "cosine")), help="[default: human poly, scene cosine]")
@click.option("--weight-decay", type=float, default=1e-4, show_default=True)
@click.option("--max-minutes", type=float, help="End after this time, if not before.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--precision", type=click.Choice(("float32", "bfloat16")), default="float32", show_default=True)
@click.option("--run", metavar="NAME", callback=require_name, help="The run's name.  [default: teacher-KIND]")
@click.option("--resume", is_flag=True, help="Go on with the run from its last checkpoint.")
@click.option(
    "--checkpoint-every", type=click.IntRange(min=1), default=500, show_default=True, metavar="STEPS", help="Save."
)
@click.option("--loader-workers", type=click.IntRange(min=0), default=0, show_default=True, help="Reading processes.")
@click.option(
    "--workers",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Processes that train together by Ray Train; 0 trains in this one, without Ray.",
)
@click.option("--address", metavar="RAY", help="A running Ray cluster, e.g. auto.  [default: one on this machine]")
@click.option("--gpus-per-worker", type=click.FloatRange(0), help="[default: 1 where the cluster has enough]")
@max_val_option
@source_option
@license_option
@replace_option
@json_option
@workspace_option
@debug_option
def train(
    workspace: Workspace,
    as_json: bool,
    kind: Kind,
    data_dirs: tuple[Path, ...],
    layout: str | None,
    architecture: str | None,
    init_path: Path | None,
    classes: str | None,
    merge_parts: bool,
    input_size: tuple[int, int] | None,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    schedule: Literal["poly", "cosine"] | None,
    weight_decay: float,
    max_minutes: float | None,
    seed: int,
    precision: str,
    run: str | None,
    resume: bool,
    checkpoint_every: int,
    loader_workers: int,
    workers: int,
    address: str | None,
    gpus_per_worker: float | None,
    max_val_images: int | None,
    source: str | None,
    license: str | None,
    replace: bool,
) -> None:
    """Train a teacher on images and write it into the workspace, with its scores on the held-out images.

    Checkpoints, metrics and TensorBoard go to the run's folder. After a kill the same command with --resume goes on.
    """
    from teachers.jobs import TeacherRequest, train_teacher
    from teachers.runs import TrainingRequest
    from teachers.settings import TrainingSettings

    show_progress()
    check_layout(kind, layout)
    with option_errors():
        settings = TrainingSettings(
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            schedule=schedule or DEFAULT_SCHEDULES[kind],
            weight_decay=weight_decay,
            max_minutes=max_minutes,
            seed=seed,
            precision=precision,
        )
        training = TrainingRequest(
            kind=kind,
            data_dirs=data_dirs,
            architecture=architecture or DEFAULT_ARCHITECTURES[kind],
            classes=_choose_classes(kind, classes, merge_parts),
            input_size=input_size,
            init_path=init_path,
            layout=layout,
            settings=settings,
        )
        request = TeacherRequest(
            training,
            max_val_images=max_val_images,
            source=source,
            license=license,
            replace=replace,
            resume=resume,
            loader_workers=loader_workers,
            checkpoint_every=checkpoint_every,
            workers=workers,
            address=address,
            gpus_per_worker=gpus_per_worker,
        )
    path, run_dir = workspace.teacher_path(kind), workspace.run_dir(run or f"teacher-{kind}")
    card, summary = train_teacher(request, run_dir, path)
    if as_json:
        extra = {"scores": card.scores, "training": summary._asdict(), "path": str(path), "run_dir": str(run_dir)}
        click.echo(json.dumps(card.to_fields() | extra))
        return
    click.echo("\n".join(card_lines(card, path)))


def _choose_classes(kind: Kind, classes: str | None, merge_parts: bool) -> int:
    """Read the head's width from the two options that say it."""
    if kind == Kind.SCENE:
        if classes or merge_parts:
            raise click.UsageError(
                "--classes and --merge-parts belong to the human teacher; a scene teacher has 365 classes"
            )
        return 365
    if merge_parts and classes == "20":
        raise click.UsageError("--merge-parts gives 2 classes, --classes says 20")
    return 2 if merge_parts else int(classes or 20)
