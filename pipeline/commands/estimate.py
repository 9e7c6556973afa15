"""``kinet-pipeline estimate``: what labelling a data set would take."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from pipeline.commands.flow_options import flow_options, refuse_flow_options
from pipeline.commands.labelling import choose_teachers, open_workers, watch
from pipeline.commands.labelling_options import LabellingChoice, labelling_options, refuse_teacher_options
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
    from pipeline.flow.settings import FlowSettings
    from pipeline.label.product import Product
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
    help="End the sample after so long, within a video if need be; --workers 0 ends the batch in hand.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the choice of videos.")
@teachers_option
@flow_option
@flow_options
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
    flow: bool,
    method: str,
    quality: int,
    choice: LabellingChoice,
    as_json: bool,
    workspace: Workspace,
) -> None:
    """Label a random sample, then forecast hours, GPU-hours and bytes; give it the options that label will get.

    With --flow the forecast is for extract-flow.
    """
    from pipeline.datasets import load_split
    from pipeline.flow.settings import FlowSettings
    from pipeline.label.estimate import estimate_labelling
    from pipeline.label.sample import SampleRequest
    from pipeline.label.sample_folder import sample_folder
    from pipeline.signals import interruptible

    product = _choose_product(workspace, choice, teachers, FlowSettings(method, quality) if flow else None)
    records = load_split(workspace, dataset, split)
    request = SampleRequest(sample_videos, sample_sec, seed)
    # In the workspace: the disk that the shards will go to, and a folder that every node of a cluster sees.
    with (
        # Twice: while the workers start, and again (in `watch`) once Ray has put its own handlers in place.
        interruptible("nothing was changed"),
        sample_folder(workspace.root) as folder,
        open_workers(folder, product, choice) as pool,
        watch(f"estimate {dataset}", "videos", choice) as display,
    ):
        result = estimate_labelling(dataset, records, pool, folder, request, display.show)
    click.echo(json.dumps(result.as_json()) if as_json else result.as_text())


def _choose_product(
    workspace: Workspace,
    choice: LabellingChoice,
    teachers: tuple[TeacherKind, ...] | None,
    flow: FlowSettings | None,
) -> Product:
    """Return what is to be forecast; options of the other product are refused."""
    from pipeline.shards.schema import BOTH_TEACHERS

    if flow is None:
        refuse_flow_options()
        return choose_teachers(workspace, choice, teachers or BOTH_TEACHERS)
    refuse_teacher_options()
    return flow
