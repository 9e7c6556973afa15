"""`kinet-pipeline fuse`: two-stream late fusion."""

import json
from dataclasses import asdict
from pathlib import Path

import click

from pipeline.options import debug_option, json_option

FilePath = click.Path(path_type=Path)


@click.command("fuse")
@click.argument("scores", nargs=-1, type=FilePath, metavar="SCORES SCORES...")
@click.option("--weights", metavar="W:W", help="One a score file.  [default: 1:1]")
@click.option("--sweep", metavar="W,W,...", help="Weights to try for every file after the first, whose weight is 1.")
@click.option(
    "--select-on",
    multiple=True,
    type=FilePath,
    metavar="SCORES",
    help="Scores of a validation split to choose weights on, one for each SCORES.  [default: half of the videos, the "
    "other half is reported]",
)
@click.option("--common", is_flag=True, help="Fuse the videos that all files have; the others count as missing.")
@click.option("--output", type=FilePath, metavar="FILE.npz", help="Write the fused scores.")
@json_option
@debug_option
def fuse(
    as_json: bool,
    scores: tuple[Path, ...],
    weights: str | None,
    sweep: str | None,
    select_on: tuple[Path, ...],
    common: bool,
    output: Path | None,
) -> None:
    """Add up the scores of several runs, before the softmax, by video id, and say how often the sum is right.

    SCORES are files that `evaluate` wrote (.npz or .csv), for example of an RGB and of a flow run.
    """
    from student.fusion_job import FuseRequest, fuse_files

    request = FuseRequest(
        scores=scores, weights=weights, sweep=sweep, select_on=select_on, common=common, output=output
    )
    report = fuse_files(request)
    if as_json:
        click.echo(json.dumps(asdict(report)))
        return
    for path, top1 in zip(scores, report.single_top1, strict=True):
        click.echo(f"{path}: top-1 {top1:.1%}")
    shown = ":".join(f"{weight:g}" for weight in report.weights)
    found = f" (chosen on {report.selected_on} other videos)" if report.selected_on else ""
    click.echo(
        f"fused {shown}{found}: top-1 {report.top1:.1%}, top-5 {report.top5:.1%}, mean class {report.mean_class:.1%}"
    )
    click.echo(f"{report.videos} videos, {report.missing} missing")
