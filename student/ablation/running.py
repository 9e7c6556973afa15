"""Run a table: every row with every seed on every fold, here or side by side on a Ray cluster."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.datasets import load_dataset
from pipeline.errors import option_errors
from pipeline.workspace import Workspace
from student.ablation.checks import check_before_running
from student.ablation.figures import Estimate, estimate_gain, estimate_top1, gather_hits
from student.ablation.report import AblationReport, RowResult, write_report
from student.ablation.request import AblationRequest, check_overrides, row_recipe
from student.ablation.size import measure_size
from student.ablation.tables import Row, table_rows
from student.ablation.trials import Outcome, Trial, TrialFault, attempt_trial
from student.runs import list_class_names
from student.scores import Scores, load_scores

if TYPE_CHECKING:
    from student.ablation.parallel import TrialCluster

KINETICS_CLASSES = 400
"""Of a table that is only counted, without a data set."""


def measure_table(workspace: Workspace, request: AblationRequest) -> AblationReport:
    """Build every row's model and count it; nothing is read but the data set's manifest.

    Raises:
        OptionError: an override or a combination that is wrong.
        UnknownDatasetError, ManifestError, RecipeError: as their names say.
    """
    num_classes = KINETICS_CLASSES
    if request.dataset is not None:
        num_classes = len(list_class_names(load_dataset(workspace, request.dataset)))
    with option_errors():
        rows = table_rows(request.table, request.backbone)
        check_overrides(request, rows)
        results = [
            RowResult(row=row, size=measure_size(row_recipe(workspace, request, row), num_classes)) for row in rows
        ]
    return AblationReport(request.table, request.dataset or "", num_classes, results)


def run_table(
    workspace: Workspace,
    request: AblationRequest,
    cluster: "TrialCluster | None" = None,
    *,
    after_run: Callable[[AblationReport], None] | None = None,
) -> AblationReport:
    """Train and score every row, and write the table into the workspace after each run.

    A run that is done is read from its scores; one that was broken off goes on from its checkpoint. One that fails is
    noted in the report, and the others go on.

    Args:
        workspace: of the data set and the runs.
        request: what is asked.
        cluster: where runs go side by side; None runs one after the other in this process.
        after_run: called with the table so far.

    Raises:
        OptionError: an override or a combination that is wrong.
        CheckpointError: a run of that name has another configuration.
        KinetError: what is at fault before the first run, see `check_before_running`.
        InterruptedRun: SIGINT or SIGTERM; what is done stays.
    """
    load_dataset(workspace, request.dataset_name)  # an unknown name is told at once, not after the models are counted
    report = measure_table(workspace, request)
    # Seeds and folds outside: early on, every row has a figure to compare.
    trials = [
        Trial(result.row, seed, fold) for seed in request.seeds for fold in request.folds for result in report.results
    ]
    check_before_running(workspace, request, trials)
    outcomes: dict[Trial, Outcome] = {}

    def take(trial: Trial, outcome: Outcome) -> None:
        nonlocal report
        outcomes[trial] = outcome
        in_order = {known: outcomes[known] for known in trials if known in outcomes}
        report = _summarise(report, request, in_order)
        write_report(report, workspace.run_dir(request.run_prefix))
        if after_run is not None:
            after_run(report)

    if cluster is None:
        for trial in trials:
            take(trial, attempt_trial(workspace, request, trial))
    else:
        # Ray takes seconds to import, and runs in this process need none of it.
        from student.ablation.parallel import run_on_cluster

        run_on_cluster(workspace, request, trials, cluster, take)
    return report


def _summarise(report: AblationReport, request: AblationRequest, outcomes: dict[Trial, Outcome]) -> AblationReport:
    """Fill the table with what is known; seeds and folds that only some rows have do not count yet."""
    done = {trial: outcome for trial, outcome in outcomes.items() if not isinstance(outcome, TrialFault)}
    failed = {trial: outcome.message for trial, outcome in outcomes.items() if isinstance(outcome, TrialFault)}
    scores = {result.row.key: _load_whole_seeds(result.row, request, done) for result in report.results}
    results = []
    for result in report.results:
        row = result.row
        runs = {trial: figures for trial, figures in done.items() if trial.row == row}
        results.append(
            dataclasses.replace(
                result,
                num_runs=len(runs),
                num_planned=len(request.seeds) * len(request.folds),
                top1=estimate_top1(gather_hits(list(scores[row.key].values()))) if scores[row.key] else None,
                gain=_compare(scores[row.key], scores.get(row.baseline, {})),
                run_top1={trial.run_name(request): figures["top1"] for trial, figures in runs.items()},
                num_missing=_sum_known([figures["missing"] for figures in runs.values()]),
                failures={trial.run_name(request): text for trial, text in failed.items() if trial.row == row},
            )
        )
    return dataclasses.replace(report, results=results)


def _sum_known(numbers: list[int | None]) -> int | None:
    """Add numbers up; None where one is not known."""
    known = [number for number in numbers if number is not None]
    return sum(known) if len(known) == len(numbers) else None


def _load_whole_seeds(row: Row, request: AblationRequest, done: dict[Trial, dict[str, Any]]) -> dict[int, list[Scores]]:
    """Read a row's scores by seed, fold after fold, of those seeds that are done on all folds."""
    by_seed = {seed: [Trial(row, seed, fold) for fold in request.folds] for seed in request.seeds}
    return {
        seed: [load_scores(Path(done[trial]["scores"])) for trial in trials]
        for seed, trials in by_seed.items()
        if all(trial in done for trial in trials)
    }


def _compare(mine: dict[int, list[Scores]], baseline: dict[int, list[Scores]]) -> Estimate | None:
    """Estimate the gain over the seeds that both rows have; None where there is none."""
    shared = [seed for seed in mine if seed in baseline]
    if not shared:
        return None
    return estimate_gain(gather_hits([mine[seed] for seed in shared]), gather_hits([baseline[seed] for seed in shared]))
