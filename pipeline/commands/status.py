"""``kinet-pipeline status``: what became of every planned video."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

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
    from pipeline.label.outline import PlanOutline
    from pipeline.label.plan import Plan
    from pipeline.shards.schema import TeacherKind


@click.command()
@dataset_option
@click.option("--split", metavar="S", callback=require_name, help="Count this split only.  [default: all]")
@teachers_option
@flow_option
@json_option
@workspace_option
@debug_option
def status(
    dataset: str,
    split: str | None,
    teachers: tuple[TeacherKind, ...] | None,
    flow: bool,
    as_json: bool,
    workspace: Workspace,
) -> None:
    """Say which videos are done, partial, quarantined and missing, and why; the figures sum to the planned videos."""
    from pipeline.datasets import digest_manifest_file, load_dataset, require_split
    from pipeline.label.outline import read_outline
    from pipeline.label.sets import meant_set, require_plan
    from pipeline.label.status import read_receipts, summarise

    labels = meant_set(workspace, dataset, teachers, flow)
    manifest_file = digest_manifest_file(workspace, dataset)
    plan: Plan | PlanOutline | None = read_outline(labels.shards_dir, dataset, manifest_file)
    if plan is None:
        records = load_dataset(workspace, dataset)
        require_split(dataset, records, split)
        plan = require_plan(labels, dataset, records)
    shards = plan.of_split(split)
    receipts = read_receipts(labels.shards_dir, shards, plan.fingerprint)
    state = summarise(shards, receipts, is_flow=labels.is_flow)
    click.echo(json.dumps(state.as_json()) if as_json else state.as_text())
