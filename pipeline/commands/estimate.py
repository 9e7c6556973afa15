"""``kinet-pipeline estimate``: what labelling a data set would take."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from pipeline.commands.labelling import LabellingChoice, choose_teachers, labelling_options, open_workers, watch
from pipeline.options import dataset_option, debug_option, json_option, require_name, teachers_option, workspace_option
from pipeline.workspace import Workspace

if TYPE_CHECKING:
    from pipeline.shards.schema import TeacherKind


@click.command()
@dataset_option
@click.option("--split", metavar="S", callback=require_name, help="Of this split only.  [default: all]")
@click.option(
    "--sample-videos", type=click.IntRange(1), default=64, show_default=True, metavar="N", help="About so many."
)
@click.option(
    "--sample-sec",
    type=click.FloatRange(0, min_open=True),
    default=300.0,
    show_default=True,
    metavar="SEC",
    help="Take what is labelled after so long; never less than one group of videos.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the choice of videos.")
@teachers_option
@labelling_options
@json_option
@workspace_option
@debug_option
def estimate(
    dataset: str,
    split: str | None,
    sample_videos: int,
    sample_sec: float,
    seed: int,
    teachers: tuple[TeacherKind, ...] | None,
    choice: LabellingChoice,
    as_json: bool,
    workspace: Workspace,
) -> None:
    """Label a random sample, then forecast hours, GPU-hours and bytes; give it the options that label will get."""
    from pipeline.datasets import load_split
    from pipeline.label.estimate import SampleRequest, estimate_labelling
    from pipeline.label.sample_folder import sample_folder
    from pipeline.shards.schema import BOTH_TEACHERS
    from pipeline.signals import interruptible

    records = load_split(workspace, dataset, split)
    request = SampleRequest(sample_videos, sample_sec, seed)
    # In the workspace: the disk that the shards will go to, and a folder that every node of a cluster sees.
    with (
        # Twice: while the workers start, and again (in `watch`) once Ray has put its own handlers in place.
        interruptible("nothing was changed"),
        sample_folder(workspace.root) as folder,
        open_workers(folder, choose_teachers(workspace, choice, teachers or BOTH_TEACHERS), choice) as pool,
        watch(f"estimate {dataset}", "videos", choice) as display,
    ):
        result = estimate_labelling(dataset, records, pool, folder, request, display.show)
    click.echo(json.dumps(result.as_json()) if as_json else result.as_text())
