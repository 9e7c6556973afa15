"""``kinet-pipeline verify``: every shard against its receipt and the plan."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from pipeline.commands.labelling import LabellingChoice, labelling_options, run_labelling
from pipeline.options import dataset_option, debug_option, json_option, teachers_option, workspace_option
from pipeline.workspace import Workspace

if TYPE_CHECKING:
    from pipeline.shards.schema import TeacherKind


@click.command()
@dataset_option
@click.option("--repair", is_flag=True, help="Label the bad shards again, and only those; they are kept as *.bad.")
@click.option("--jobs", type=click.IntRange(1), help="Checking processes.  [default: one a core]")
@teachers_option
@labelling_options
@json_option
@workspace_option
@debug_option
def verify(
    dataset: str,
    repair: bool,
    jobs: int | None,
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
    report = check_shards(labels.shards_dir, dataset, records, jobs=jobs)
    if repair and report.bad:
        for shard in report.bad:
            click.echo(f"{shard.name}: {shard.faults[0].message}; to be labelled again", err=True)
        names = frozenset(shard.name for shard in report.bad)
        run_labelling(LabelJob(dataset, records, labels.shards_dir, redo=names), workspace, choice, labels.kinds)
        report = check_shards(labels.shards_dir, dataset, records, jobs=jobs)
    if as_json:
        bad = [{"shard": shard.name, "faults": [fault.message for fault in shard.faults]} for shard in report.bad]
        click.echo(json.dumps({"shards": report.shards, "bad": bad, "missing": report.missing, "ok": report.ok}))
    else:
        for shard in report.bad:
            click.echo(f"bad      {shard.name}: {'; '.join(fault.message for fault in shard.faults)}")
        for name in report.missing:
            click.echo(f"missing  {name}")
        click.echo(f"{report.shards} shards planned, {len(report.bad)} bad, {len(report.missing)} missing")
    if not report.ok:
        way_out = "verify --repair" if report.bad else f"label --dataset {dataset}"
        counts = f"{len(report.bad)} shards bad, {len(report.missing)} missing"
        raise ShardError(f"{dataset}: {counts}; run kinet-pipeline {way_out}")
