"""``kinet-pipeline extract-flow``: optical flow for the temporal stream."""

from __future__ import annotations

import json

import click

from pipeline.commands.flow_options import flow_options
from pipeline.commands.labelling import run_labelling
from pipeline.commands.labelling_options import LabellingChoice, worker_options
from pipeline.options import dataset_option, debug_option, json_option, require_name, workspace_option
from pipeline.workspace import Workspace


@click.command("extract-flow")
@dataset_option
@click.option("--split", metavar="S", callback=require_name, help="Of this split only.  [default: all]")
@click.option(
    "--videos-per-shard",
    type=click.IntRange(1),
    help="Fixed at the first start.  [default: 128, or fewer: about ten minutes of a worker's flow, without decoding]",
)
@flow_options
@worker_options
@json_option
@workspace_option
@debug_option
def extract_flow(
    dataset: str,
    split: str | None,
    videos_per_shard: int | None,
    method: str,
    quality: int,
    choice: LabellingChoice,
    as_json: bool,
    workspace: Workspace,
) -> None:
    """Write the optical flow of every frame to shards; run it again to go on after a kill.

    See it by `status --flow`, check it by `verify --flow`, try quarantined videos again by `retry --flow`.
    """
    from pipeline.datasets import digest_manifest_file, load_dataset, require_split
    from pipeline.flow.settings import FlowSettings
    from pipeline.label.job import LabelJob

    # Before the rows: a file that changes meanwhile is then another one, not the one that was read.
    manifest_file = digest_manifest_file(workspace, dataset)
    records = load_dataset(workspace, dataset)
    require_split(dataset, records, split)
    job = LabelJob(
        dataset,
        records,
        workspace.flow_shards_dir(dataset),
        split,
        videos_per_shard,
        manifest_file=manifest_file,
    )
    report = run_labelling(job, FlowSettings(method, quality), choice)
    if as_json:
        click.echo(json.dumps(report.as_json()))
        return
    click.echo(report.as_text())
    if report.status.partial:
        click.echo(f"with flow in part, and why: {job.shards_dir / 'partial.csv'}")
    if report.status.quarantined:
        click.echo(f"without flow, and why: {job.shards_dir / 'quarantine.csv'}")
