"""``kinet-pipeline label``: stage one."""

import json

import click

from pipeline.commands.labelling import LabellingChoice, labelling_options, run_labelling
from pipeline.options import dataset_option, debug_option, json_option, require_name, workspace_option
from pipeline.workspace import Workspace


@click.command()
@dataset_option
@click.option("--split", metavar="S", callback=require_name, help="Label this split only.  [default: all]")
@click.option(
    "--videos-per-shard",
    type=click.IntRange(1),
    help="Fixed at the first start.  [default: 128, or fewer: about ten minutes of one worker's work]",
)
@labelling_options
@json_option
@workspace_option
@debug_option
def label(
    dataset: str,
    split: str | None,
    videos_per_shard: int | None,
    choice: LabellingChoice,
    as_json: bool,
    workspace: Workspace,
) -> None:
    """Run both teachers over every frame and write shards; run it again to go on after a kill."""
    from pipeline.datasets import load_dataset
    from pipeline.label.job import LabelJob

    job = LabelJob(dataset, load_dataset(workspace, dataset), workspace.shards_dir(dataset), split, videos_per_shard)
    report = run_labelling(job, workspace, choice)
    if as_json:
        speed = {"seconds": round(report.seconds, 3), "frames_per_sec": round(report.frames_per_sec, 3)}
        click.echo(json.dumps({**report.status.as_json(), **speed}))
        return
    click.echo(report.status.as_text())
    speed_text = f"{report.frames:,} frames in {report.seconds:.0f} s, {report.frames_per_sec:.1f} a second"
    click.echo(f"this run    {speed_text}")
    if report.status.quarantined:
        click.echo(f"without labels, and why: {job.shards_dir / 'quarantine.csv'}")
