"""``kinet-pipeline label``: stage one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from pipeline.commands.labelling import as_begun, choose_teachers, run_labelling
from pipeline.commands.labelling_options import LabellingChoice, labelling_options
from pipeline.options import dataset_option, debug_option, json_option, require_name, teachers_option, workspace_option
from pipeline.workspace import Workspace

if TYPE_CHECKING:
    from pipeline.shards.schema import TeacherKind


@click.command()
@dataset_option
@click.option("--split", metavar="S", callback=require_name, help="Label this split only.  [default: all]")
@click.option(
    "--videos-per-shard",
    type=click.IntRange(1),
    help="Fixed at the first start.  "
    "[default: 128, or fewer: about ten minutes of a worker's teachers, without decoding]",
)
@teachers_option
@labelling_options
@json_option
@workspace_option
@debug_option
def label(
    dataset: str,
    split: str | None,
    videos_per_shard: int | None,
    teachers: tuple[TeacherKind, ...] | None,
    choice: LabellingChoice,
    as_json: bool,
    workspace: Workspace,
) -> None:
    """Run both teachers, or one of them, over every frame and write shards; run it again to go on after a kill."""
    from pipeline.datasets import digest_manifest_file, load_dataset, require_split
    from pipeline.label.job import LabelJob
    from pipeline.label.sets import rival_dirs, set_to_label

    # Before the rows: a file that changes meanwhile is then another one, not the one that was read.
    manifest_file = digest_manifest_file(workspace, dataset)
    records = load_dataset(workspace, dataset)
    require_split(dataset, records, split)
    labels = set_to_label(workspace, dataset, teachers)
    rivals = rival_dirs(workspace, dataset, labels.kinds)
    job = LabelJob(
        dataset,
        records,
        labels.shards_dir,
        split,
        videos_per_shard,
        manifest_file=manifest_file,
        rival_dirs=rivals,
    )
    choice = as_begun(choice, labels.shards_dir)
    report = run_labelling(job, choose_teachers(workspace, choice, labels.kinds), choice)
    if as_json:
        click.echo(json.dumps(report.as_json()))
        return
    click.echo(report.as_text())
    if report.status.partial:
        click.echo(f"labelled in part, and why: {job.shards_dir / 'partial.csv'}")
    if report.status.quarantined:
        click.echo(f"without labels, and why: {job.shards_dir / 'quarantine.csv'}")
