"""``kinet-pipeline verify``: every shard against its receipt and the plan, its labels against common sense."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from pipeline.commands.checking import CheckedSet, check_set, label_sample, repair_bad
from pipeline.commands.labelling_options import LabellingChoice, labelling_options, refuse_teacher_options
from pipeline.options import dataset_option, debug_option, flow_option, json_option, teachers_option, workspace_option
from pipeline.workspace import Workspace

if TYPE_CHECKING:
    from pipeline.shards.schema import TeacherKind


@click.command()
@dataset_option
@click.option("--repair", is_flag=True, help="Label the bad shards again, and only those; they are kept as *.bad.")
@click.option("--jobs", type=click.IntRange(1), help="Checking processes.  [default: one a core]")
@click.option("--strict", is_flag=True, help="Labels that look like a broken teacher's are faults, not warnings.")
@click.option("--sample", type=click.IntRange(1), metavar="N", help="Label N random frames again here, and compare.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the sample.")
@teachers_option
@flow_option
@labelling_options
@json_option
@workspace_option
@debug_option
def verify(
    dataset: str,
    repair: bool,
    jobs: int | None,
    strict: bool,
    sample: int | None,
    seed: int,
    teachers: tuple[TeacherKind, ...] | None,
    flow: bool,
    choice: LabellingChoice,
    as_json: bool,
    workspace: Workspace,
) -> None:
    """Check every shard's bytes, content and place in the plan; exit code 1 where one is bad or missing."""
    from pipeline.datasets import load_dataset
    from pipeline.errors import OptionError, ShardError
    from pipeline.label.sets import meant_set

    labels = meant_set(workspace, dataset, teachers, flow)
    if flow:
        refuse_teacher_options()
        if sample is not None:
            raise OptionError("--sample compares labels, not flow; leave it out")
    checked = CheckedSet(dataset, load_dataset(workspace, dataset), labels, strict, jobs)
    check = check_set(checked, choice)
    if repair and check.shards.bad:
        check = repair_bad(checked, check, workspace, choice)
    if sample is not None:
        check = label_sample(checked, check, workspace, choice, sample, seed)
    click.echo(json.dumps(check.as_json()) if as_json else check.as_text())
    if not check.ok:
        raise ShardError(check.faults_text(dataset, labels))
