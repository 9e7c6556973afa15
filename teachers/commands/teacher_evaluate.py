"""`kinet-pipeline teacher evaluate`: scores on held-out images, with published figures beside them."""

import dataclasses
import json
from pathlib import Path

import click

from pipeline.errors import option_errors
from pipeline.options import debug_option, json_option, require_factory, workspace_option
from pipeline.precisions import PRECISIONS
from pipeline.workspace import Workspace
from teachers.commands.cards import LEFT_OUT, evaluation_lines, score_lines
from teachers.commands.options import check_layout, data_option, kind_argument, layout_option, max_val_option
from teachers.commands.progress import show_progress
from teachers.kinds import Kind


@click.command("evaluate")
@kind_argument
@data_option
@layout_option
@max_val_option
@click.option("--crops", type=click.Choice(("1", "10")), default="1", show_default=True, help="Scene: centre, or ten.")
@click.option("--precision", type=click.Choice(PRECISIONS), default="float32", show_default=True)
@click.option(
    "--factory",
    metavar="MODULE:FUNCTION",
    callback=require_factory,
    help="A teacher of your own, made as `label` makes it.",
)
@click.option("--weights", "weights_path", type=click.Path(path_type=Path), metavar="FILE", help="With --factory.")
@json_option
@workspace_option
@debug_option
def evaluate(
    workspace: Workspace,
    as_json: bool,
    kind: Kind,
    data_dirs: tuple[Path, ...],
    layout: str | None,
    max_val_images: int | None,
    crops: str,
    precision: str,
    factory: str | None,
    weights_path: Path | None,
) -> None:
    """Score a teacher on the held-out images of data sets, and write the scores into its card.

    With --factory the teacher is your own and nothing is written.
    """
    from teachers.published import PUBLISHED
    from teachers.scoring import ScoringRequest, score_factory, score_teacher_file

    show_progress()
    check_layout(kind, layout)
    if weights_path is not None and factory is None:
        raise click.UsageError("--weights goes with --factory; the workspace's teacher is scored without it")
    with option_errors():
        request = ScoringRequest(data_dirs, layout, max_val_images, int(crops), precision)
    path = workspace.teacher_path(kind)
    if factory is None:
        evaluation = score_teacher_file(kind, path, request).evaluations[-1]
    else:
        evaluation = score_factory(kind, factory, weights_path or path, request)
    published = PUBLISHED[kind]
    if as_json:
        left_out = {name: getattr(evaluation, name) for name in LEFT_OUT}
        others = {"published": [dataclasses.asdict(result) for result in published]}
        click.echo(json.dumps(evaluation.scores | left_out | others))
        return
    lines = evaluation_lines(evaluation)
    for result in published:
        lines.append(f"published for {result.architecture} on {result.data} ({result.source}):")
        lines += score_lines(result.scores)
    click.echo("\n".join(lines))
