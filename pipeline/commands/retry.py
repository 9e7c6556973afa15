"""``kinet-pipeline retry``: quarantined or partial videos once more."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from pipeline.commands.labelling import choose_product, run_labelling
from pipeline.commands.labelling_options import LabellingChoice, labelling_options, refuse_teacher_options
from pipeline.errors import Reason
from pipeline.options import (
    dataset_option,
    debug_option,
    flow_option,
    json_option,
    require_name,
    teachers_option,
    workspace_option,
)
from pipeline.workspace import Workspace

if TYPE_CHECKING:
    from pipeline.shards.schema import TeacherKind


@click.command()
@dataset_option
@click.option("--split", metavar="S", callback=require_name, help="Of this split only.  [default: all]")
@click.option(
    "--reason",
    "reasons",
    multiple=True,
    type=click.Choice([reason.value for reason in Reason]),
    help="Videos quarantined or partial for this reason; may be given again.  [default: all that are quarantined]",
)
@click.option("--partial", "only_partial", is_flag=True, help="Partial videos only: all, or those with a --reason.")
@teachers_option
@flow_option
@labelling_options
@json_option
@workspace_option
@debug_option
def retry(
    dataset: str,
    split: str | None,
    reasons: tuple[str, ...],
    only_partial: bool,
    teachers: tuple[TeacherKind, ...] | None,
    flow: bool,
    choice: LabellingChoice,
    as_json: bool,
    workspace: Workspace,
) -> None:
    """Try quarantined or partial videos again, in committed shards; the labels of all others are kept as they are.

    A partial video that gives nothing any more keeps the labels that it has.
    """
    from pipeline.datasets import load_dataset, require_split
    from pipeline.label.goals import RetryVideos
    from pipeline.label.job import LabelJob
    from pipeline.label.sets import meant_set, require_plan

    records, labels = load_dataset(workspace, dataset), meant_set(workspace, dataset, teachers, flow)
    require_split(dataset, records, split)
    if flow:
        refuse_teacher_options()
    plan = require_plan(labels, dataset, records)
    goal = RetryVideos(frozenset(reasons), only_partial)
    job = LabelJob(dataset, records, labels.shards_dir, split, goal=goal)
    report = run_labelling(job, choose_product(workspace, choice, labels, plan), choice)
    if as_json:
        run = {"retried": report.retried, "seconds": round(report.seconds, 3)}
        click.echo(json.dumps({**report.status.as_json(), **run}))
        return
    click.echo(report.status.as_text())
    if not report.retried:
        kind = "partial" if only_partial else "quarantined or partial" if reasons else "quarantined"
        click.echo(f"this run    nothing to try again: no {kind} video{' of these reasons' if reasons else ''}")
        return
    click.echo(f"this run    {report.retried:,} videos tried again, {report.frames:,} {report.status.frames_word}")
