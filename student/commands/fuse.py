"""`kinet-pipeline fuse`: two-stream late fusion."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.options import debug_option, json_option
from student.commands.options import describe_missing, parse_numbers

if TYPE_CHECKING:
    from student.fusion_job import FuseReport

FilePath = click.Path(path_type=Path)
NUM_MISSING_NAMED = 5


@click.command("fuse")
@click.argument("scores", nargs=-1, type=FilePath, metavar="SCORES SCORES...")
@click.option("--weights", metavar="W:W", help="One a score file.  [default: 1:1]")
@click.option(
    "--sweep",
    metavar="W,W,...",
    help="Weights to try for every file after the first, whose weight is 1. Half of the videos are tried on, and the "
    "other half is reported; --output holds the reported half alone.",
)
@click.option(
    "--select-on",
    multiple=True,
    type=FilePath,
    metavar="SCORES",
    help="Scores of a validation split to choose weights on, one for each SCORES, in place of half of the videos; all "
    "videos of SCORES are reported then.",
)
@click.option("--common", is_flag=True, help="Fuse the videos that all files have; the others count as missing.")
@click.option(
    "--output",
    type=FilePath,
    metavar="FILE.npz",
    help="Write the fused scores; with --sweep of the videos reported alone.",
)
@click.option(
    "--folds",
    "--splits",
    "folds",
    callback=parse_numbers,
    metavar="N,N",
    help="Several official splits: {fold} in every file's path stands for the number; prints each and the mean.",
)
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
    folds: tuple[int, ...] | None,
) -> None:
    """Add up the scores of several runs, before the softmax, by video id, and say how often the sum is right.

    SCORES are files that `evaluate` wrote (.npz or .csv), for example of an RGB and of a flow run. The .json beside
    each says which videos are missing; of a .csv without one it is not known.
    """
    from student.fusion_job import FuseRequest, fuse_files, fuse_folds

    request = FuseRequest(
        scores=scores, weights=weights, sweep=sweep, select_on=select_on, common=common, output=output
    )
    if folds is None:
        report = fuse_files(request)
        click.echo(json.dumps(asdict(report)) if as_json else _describe(report, scores))
        return
    of_folds = fuse_folds(request, folds)
    if as_json:
        click.echo(json.dumps(asdict(of_folds)))
        return
    for fold, one in of_folds.folds.items():
        click.echo(f"fold {fold}\n{_describe(one, scores)}\n")
    alone = ", ".join(f"{top1:.1%}" for top1 in of_folds.single_top1)
    click.echo(
        f"mean of {len(of_folds.folds)} folds: alone top-1 {alone}; fused top-1 {of_folds.top1:.1%}, top-5 "
        f"{of_folds.top5:.1%}, mean class {of_folds.mean_class:.1%}"
    )


def _describe(report: "FuseReport", scores: tuple[Path, ...]) -> str:
    lines = [f"{path}: top-1 {top1:.1%}" for path, top1 in zip(scores, report.single_top1, strict=True)]
    shown = ":".join(f"{weight:g}" for weight in report.weights)
    found = f" (chosen on {report.selected_on} other videos)" if report.selected_on else ""
    lines.append(
        f"fused {shown}{found}: top-1 {report.top1:.1%}, top-5 {report.top5:.1%}, mean class {report.mean_class:.1%}"
    )
    named = ", ".join(f"{video.video_id} ({video.reason})" for video in report.missing_videos[:NUM_MISSING_NAMED])
    more = ", ..." if len(report.missing_videos) > NUM_MISSING_NAMED else ""
    told = f": {named}{more}" if named else ""
    lines.append(f"{report.videos} videos, {describe_missing(report.missing)}{told}")
    return "\n".join(lines)
