"""`kinet-pipeline evaluate`: score a run."""

import json

import click

from pipeline.options import dataset_option, debug_option, json_option, require_name, workspace_option
from pipeline.workspace import Workspace
from student.commands.options import checkpoint_option, describe_missing, folds_option, loader_option, views_options


@click.command("evaluate")
@click.argument("run", callback=require_name)
@dataset_option
@click.option("--split", metavar="NAME", callback=require_name, help="Videos to score.  [default: val, else test]")
@click.option("--fold", type=click.IntRange(min=1), help="Official split.  [default: the run's on its own data set]")
@folds_option
@views_options
@click.option(
    "--windows",
    type=click.Choice(["sliding", "strided"]),
    default="sliding",
    show_default=True,
    help="Which frames the graph sees together.",
)
@checkpoint_option
@loader_option
@json_option
@workspace_option
@debug_option
def evaluate(
    workspace: Workspace,
    as_json: bool,
    run: str,
    dataset: str,
    split: str | None,
    fold: int | None,
    folds: tuple[int, ...] | None,
    segments: int,
    crops: str,
    windows: str,
    checkpoint: str,
    max_missing: float,
    loader_workers: int,
) -> None:
    """Score RUN on a split: 25 segments and 10 crops of each video; per-video scores go to the run's folder.

    With --folds the runs RUN-fold1, RUN-fold2, ..., each on its fold, and the mean.
    """
    from student.scoring import EvaluateRequest, evaluate_run

    request = EvaluateRequest(
        run=run,
        dataset=dataset,
        split=split,
        fold=fold,
        segments=segments,
        crops=int(crops),
        windows="strided" if windows == "strided" else "sliding",
        loader_workers=loader_workers,
        checkpoint="best" if checkpoint == "best" else "last",
        max_missing=max_missing,
    )
    if folds is not None:
        from student.folds import evaluate_folds

        report = evaluate_folds(workspace, request, folds)
        click.echo(json.dumps(report.to_json()) if as_json else report.to_text())
        return
    result = evaluate_run(workspace, request)
    if as_json:
        click.echo(json.dumps(result))
        return
    click.echo(f"top-1 {result['top1']:.1%}, top-5 {result['top5']:.1%}, mean class {result['mean_class']:.1%}")
    click.echo(f"calibration error {result['calibration_error']:.1%} (of the best class's probability, 15 bins)")
    reasons = f" {result['missing_reasons']}" if result["missing_reasons"] else ""
    click.echo(
        f"{result['videos']} videos, {describe_missing(result['missing'])}{reasons}; scores in {result['scores']}"
    )
    if result["missing"]:
        low, high = result["top1_lower"], result["top1_upper"]
        click.echo(f"top-1 of all lies between {low:.1%} (missing videos all wrong) and {high:.1%} (all right)")
