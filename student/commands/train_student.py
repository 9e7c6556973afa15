"""`kinet-pipeline train-student`: stage two."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.options import dataset_option, debug_option, json_option, require_name, workspace_option
from pipeline.workspace import Workspace
from student.commands.options import (
    address_option,
    cache_option,
    folds_option,
    loader_option,
    recipe_options,
    refuse_views,
    views_options,
)
from student.modality import FLOW_CHANGES

if TYPE_CHECKING:
    from student.transfer import StartReport


@click.command("train-student")
@dataset_option
@recipe_options
@click.option("--model", metavar="NAME", help="kinet, tsn or kinet-fixed; short for --set model=NAME.")
@click.option(
    "--modality",
    type=click.Choice(["rgb", "flow"]),
    help="flow learns from extract-flow's shards: short for --set modality=flow, and TSN with its values for flow.",
)
@click.option("--backbone", metavar="NAME", help="resnet50, bninception, inceptionv3, resnet18, squeezenet1_1, ...")
@click.option(
    "--run",
    metavar="NAME",
    callback=require_name,
    help="The run's name.  [default: of data set, model, backbone and fold]",
)
@click.option(
    "--init",
    type=click.Path(path_type=Path),
    metavar="FILE|RUN_DIR",
    help="ImageNet weights; or another run (folder, checkpoint or name), of which all but the classifier is kept.",
)
@click.option("--split", metavar="NAME", callback=require_name, help="Videos to train on.  [default: train]")
@click.option("--fold", type=click.IntRange(min=1), help="Of a data set with several official splits.  [default: 1]")
@folds_option
@views_options
@click.option("--resume", is_flag=True, help="Go on with the run from its last checkpoint.")
@loader_option
@cache_option
@click.option(
    "--workers",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Processes that train together by Ray Train; 0 trains in this one, without Ray.",
)
@address_option
@click.option("--gpus-per-worker", type=click.FloatRange(0), help="[default: 1 where the cluster has enough]")
@json_option
@workspace_option
@debug_option
def train_student(
    workspace: Workspace,
    as_json: bool,
    dataset: str,
    recipe: str | None,
    overrides: tuple[str, ...],
    model: str | None,
    modality: str | None,
    backbone: str | None,
    run: str | None,
    init: Path | None,
    split: str | None,
    fold: int | None,
    folds: tuple[int, ...] | None,
    segments: int,
    crops: str,
    max_missing: float,
    resume: bool,
    loader_workers: int,
    cache_mib: int,
    workers: int,
    address: str | None,
    gpus_per_worker: float | None,
) -> None:
    """Train KINet or TSN on a data set and its labels; checkpoints and metrics go to the run's folder.

    The recipe's batch size is that of all workers together. With --folds a run on each fold is trained and then tested
    as by `evaluate` (--segments, --crops, --max-missing are of these tests); the same command again goes on.
    """
    from student.planning import TrainRequest, train_run

    stream = FLOW_CHANGES if modality == "flow" else ("modality=rgb",) if modality else ()
    named = [f"{key}={value}" for key, value in (("model", model), ("backbone", backbone)) if value is not None]
    request = TrainRequest(
        dataset=dataset,
        run=run,
        recipe=recipe,
        overrides=(*stream, *overrides, *named),
        split=split,
        fold=fold,
        init=init,
        resume=resume,
        loader_workers=loader_workers,
        cache_mib=cache_mib,
        workers=workers,
        address=address,
        gpus_per_worker=gpus_per_worker,
    )

    def show_start(start: "StartReport") -> None:
        click.echo(start.as_text(), err=True)

    if folds is not None:
        from student.folds import train_folds

        report = train_folds(
            workspace,
            request,
            folds,
            segments=segments,
            crops=int(crops),
            max_missing=max_missing,
            on_start=show_start,
        )
        click.echo(json.dumps(report.to_json()) if as_json else report.to_text())
        return
    refuse_views()
    run_dir, summary = train_run(workspace, request, on_start=show_start)
    if as_json:
        click.echo(json.dumps({"run_dir": str(run_dir), **asdict(summary)}))
        return
    unused = ", ".join(f"{count} {kind}" for kind, count in summary.faults.items()) or "none"
    loss = "nothing left to do" if summary.loss is None else f"loss {summary.loss:.4f}"
    click.echo(f"{run_dir}: {summary.steps} steps, {loss}, {summary.seconds:.0f} s; unusable: {unused}")
    if summary.best is not None:
        click.echo(f"best: top-1 {summary.best['val_top1']:.1%} in validation, after {summary.best['step']:.0f} steps")
