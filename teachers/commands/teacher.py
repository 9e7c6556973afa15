"""`kinet-pipeline teacher`: import, train, score and show the two teachers."""

import json

import click

from pipeline.options import debug_option, json_option, workspace_option
from pipeline.workspace import Workspace
from teachers.commands.cards import card_lines
from teachers.commands.options import kind_choice, read_kind
from teachers.commands.teacher_evaluate import evaluate
from teachers.commands.teacher_import import import_
from teachers.commands.teacher_train import train
from teachers.kinds import Kind


@click.group()
def teacher() -> None:
    """Import, train and score the human and the scene teacher."""


teacher.add_command(import_)
teacher.add_command(train)
teacher.add_command(evaluate)


@teacher.command("show")
@click.argument("kind", type=kind_choice, callback=read_kind, required=False)
@json_option
@workspace_option
@debug_option
def show(workspace: Workspace, as_json: bool, kind: Kind | None) -> None:
    """Say what the workspace's teachers are."""
    from teachers.storage import read_card, side_path

    paths = {name: workspace.teacher_path(name) for name in ([kind] if kind else Kind)}
    cards = {
        name: read_card(path, name) if kind or path.is_file() or side_path(path).is_file() else None
        for name, path in paths.items()
    }
    if as_json:
        click.echo(json.dumps({name: card and card.to_fields() for name, card in cards.items()}))
        return
    for name, card in cards.items():
        click.echo("\n".join(card_lines(card, paths[name])) if card else f"{name}: none")
