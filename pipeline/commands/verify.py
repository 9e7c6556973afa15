"""``kinet-pipeline verify``: every shard against its receipt and the plan, its labels against common sense."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

import click

from pipeline.commands.labelling import LabellingChoice, labelling_options, recheck_labels, run_labelling, watch
from pipeline.options import dataset_option, debug_option, json_option, teachers_option, workspace_option
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
    choice: LabellingChoice,
    as_json: bool,
    workspace: Workspace,
) -> None:
    """Check every shard's bytes, content and place in the plan; exit code 1 where one is bad or missing."""
    from pipeline.datasets import load_dataset
    from pipeline.errors import ShardError
    from pipeline.label.check import check_shards
    from pipeline.label.job import LabelJob
    from pipeline.label.sets import existing_set

    records, labels = load_dataset(workspace, dataset), existing_set(workspace, dataset, teachers)
    with watch(f"verify {dataset}", "shards", choice) as display:
        check = check_shards(labels.shards_dir, dataset, records, strict=strict, jobs=jobs, on_shard=display.show)
    if repair and check.shards.bad:
        for shard in check.shards.bad:
            click.echo(f"{shard.name}: {shard.faults[0].message}; to be labelled again", err=True)
        names = frozenset(shard.name for shard in check.shards.bad)
        run_labelling(LabelJob(dataset, records, labels.shards_dir, redo=names), workspace, choice, labels.kinds)
        check = check_shards(labels.shards_dir, dataset, records, strict=strict, jobs=jobs)
    if sample is not None and not check.shards.bad:
        again = recheck_labels(dataset, records, labels, workspace, choice, num_frames=sample, seed=seed)
        check = dataclasses.replace(check, sample=again)
    click.echo(json.dumps(check.as_json()) if as_json else check.as_text())
    if not check.ok:
        raise ShardError(check.faults_text(dataset))
