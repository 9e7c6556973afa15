"""`kinet-pipeline ablate`: the paper's Tables 1-4."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.options import debug_option, json_option, require_name, workspace_option
from pipeline.workspace import Workspace
from student.commands.options import (
    address_option,
    cache_option,
    loader_option,
    parse_numbers,
    recipe_options,
    views_options,
)

if TYPE_CHECKING:
    from student.ablation.parallel import TrialCluster


def _parse_init(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> tuple[tuple[str, Path], ...]:
    """Turn "FILE" and "BACKBONE=FILE" into pairs of backbone and file; a file's own path may hold a "="."""
    pairs = []
    for item in value:
        backbone, equals, file = item.partition("=")
        whole = not equals or "/" in backbone or Path(item).exists()
        pairs.append(("", Path(item).absolute()) if whole else (backbone, Path(file).absolute()))
    return tuple(pairs)


@click.command("ablate")
@click.option("--table", type=click.IntRange(1, 4), required=True, help="Of the paper: 1 components, 2 sizes, "
              "3 backbones, 4 fixed branches.")  # fmt: skip
@click.option("--dataset", metavar="NAME", callback=require_name, help="Data set; a dry run can do without.")
@click.option("--backbone", metavar="NAME", help="In place of ResNet-50; in Table 3 this one alone.")
@recipe_options
@click.option("--seeds", default="0", show_default=True, callback=parse_numbers, metavar="N,N", help="Of training.")
@click.option("--folds", "--splits", "folds", default="1", show_default=True, callback=parse_numbers, metavar="N,N",
              help="Official splits.")  # fmt: skip
@click.option("--init", multiple=True, metavar="[BACKBONE=]FILE", callback=_parse_init, help="ImageNet weights.")
@views_options
@click.option("--name", metavar="NAME", callback=require_name, help="Folder in runs/.  [default: of table and data]")
@loader_option
@cache_option
@click.option(
    "--parallel", type=click.IntRange(min=1), default=1, show_default=True, help="Runs at a time; 2 or more run on Ray."
)
@address_option
@click.option("--gpus-per-run", type=click.FloatRange(0), help="On Ray.  [default: 1 where the cluster has any]")
@click.option("--dry-run", is_flag=True, help="Only build every model: parameters and FLOPs.")
@json_option
@workspace_option
@debug_option
def ablate(
    workspace: Workspace,
    as_json: bool,
    table: int,
    dataset: str | None,
    backbone: str | None,
    recipe: str | None,
    overrides: tuple[str, ...],
    seeds: tuple[int, ...],
    folds: tuple[int, ...],
    init: tuple[tuple[str, Path], ...],
    segments: int,
    crops: str,
    max_missing: float,
    name: str | None,
    loader_workers: int,
    cache_mib: int,
    parallel: int,
    address: str | None,
    gpus_per_run: float | None,
    dry_run: bool,
) -> None:
    """Train and score every row of one of the paper's tables; a second call goes on where the first ended."""
    from pipeline.errors import option_errors
    from student.ablation.request import AblationRequest
    from student.ablation.running import measure_table, run_table

    if dataset is None and not dry_run:
        raise click.UsageError("Missing option '--dataset' (only --dry-run can do without).")
    with option_errors():
        request = AblationRequest(
            table=table,
            dataset=dataset,
            backbone=backbone,
            recipe=recipe,
            overrides=overrides,
            seeds=seeds,
            folds=folds,
            init=init,
            segments=segments,
            crops=int(crops),
            max_missing=max_missing,
            name=name,
            loader_workers=loader_workers,
            cache_mib=cache_mib,
        )
    if dry_run:
        report = measure_table(workspace, request)
    else:
        report = run_table(workspace, request, _choose_cluster(parallel, address, gpus_per_run))
    click.echo(json.dumps(report.to_json()) if as_json else report.to_text())
    if not dry_run and not as_json:
        click.echo(f"\nwritten to {workspace.run_dir(request.run_prefix)}")
    report.raise_failures()


def _choose_cluster(parallel: int, address: str | None, gpus_per_run: float | None) -> TrialCluster | None:
    """Return where runs go side by side; None where they go one after the other in this process."""
    if parallel == 1 and address is None:
        if gpus_per_run is not None:
            raise click.UsageError("--gpus-per-run goes with --parallel or --address.")
        return None
    from student.ablation.parallel import TrialCluster

    return TrialCluster(parallel, address, gpus_per_run)
