"""The runs of a table side by side on a Ray cluster, each in a process of its own."""

import contextlib
import os
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import ray
import torch
from ray.exceptions import RayError, RayTaskError

from pipeline.errors import InterruptedRun, KinetError
from pipeline.malloc import keep_freed_memory
from pipeline.processors import count_processors
from pipeline.ray_cluster import connect, share_processors
from pipeline.signals import interruptible
from pipeline.training.runlog import RunProgress
from pipeline.workspace import Workspace
from student.ablation.request import AblationRequest
from student.ablation.trials import Outcome, Trial, TrialFault, attempt_trial

_WAIT_SEC = 1.0


@dataclass(frozen=True)
class TrialCluster:
    """Where runs go side by side.

    Attributes:
        parallel: runs at a time; the cluster's processors and GPUs may allow fewer.
        address: of a running Ray cluster; None starts one on this machine.
        gpus_per_run: GPUs that a run reserves; None is 1 where the cluster has any, else 0.
    """

    parallel: int
    address: str | None = None
    gpus_per_run: float | None = None

    def __post_init__(self) -> None:
        if self.parallel < 1:
            raise ValueError(f"parallel: expected 1 or more, found {self.parallel}")
        if self.gpus_per_run is not None and not self.gpus_per_run >= 0:
            raise ValueError(f"gpus per run: expected 0 or more, found {self.gpus_per_run}")


def run_on_cluster(
    workspace: Workspace,
    request: AblationRequest,
    trials: Sequence[Trial],
    cluster: TrialCluster,
    on_done: Callable[[Trial, Outcome], None],
) -> None:
    """Run trials as Ray tasks; every machine must see the workspace under the same path.

    A trial whose process or machine is lost counts as failed; its run goes on from its checkpoint when called again.

    Args:
        workspace, request, trials: what is run, in this order.
        cluster: where.
        on_done: called in this process with each trial that ended, in the order they end.

    Raises:
        KinetError: the cluster is not there or has too few GPUs.
        InterruptedRun: SIGINT or SIGTERM.
    """
    # Ray prints to stdout when a worker dies; that place belongs to the command's own result.
    with tempfile.TemporaryDirectory(prefix="kinet-ablate-") as empty_dir, contextlib.redirect_stdout(sys.stderr):
        connect(cluster.address, num_cpus=max(count_processors(), cluster.parallel), empty_dir=empty_dir)
        try:
            num_cpus, num_gpus = share_processors(cluster.parallel), _gpus_per_run(cluster)
            # A process each: what a run leaves in memory goes with it. A run that was lost is the next call's affair.
            task = ray.remote(num_cpus=num_cpus, num_gpus=num_gpus, max_retries=0, max_calls=1)(_run_in_worker)
            with (
                interruptible("what is done is kept; the same command goes on"),
                RunProgress("ablate", total=len(trials), unit="runs", line_every=1) as progress,
            ):
                waiting = deque(trials)
                running: dict[Any, Trial] = {}
                num_done = 0
                while waiting or running:
                    while waiting and len(running) < cluster.parallel:
                        trial = waiting.popleft()
                        running[task.remote(workspace, request, trial, num_cpus)] = trial
                    ended, _ = ray.wait(list(running), timeout=_WAIT_SEC)
                    for reference in ended:
                        trial = running.pop(reference)
                        on_done(trial, _outcome_of(reference))
                        num_done += 1
                        progress.update(num_done, trial.run_name(request))
        finally:
            ray.shutdown()


def _gpus_per_run(cluster: TrialCluster) -> float:
    there = ray.cluster_resources().get("GPU", 0.0)
    asked = cluster.gpus_per_run
    if asked is None:
        asked = 1.0 if there >= 1 else 0.0
    if asked > there:
        raise KinetError(f"{asked:g} GPUs asked for each run, the cluster has {there:g}; give fewer --gpus-per-run")
    return asked


def _run_in_worker(workspace: Workspace, request: AblationRequest, trial: Trial, num_cpus: int) -> Outcome:
    """What Ray calls on a worker."""
    keep_freed_memory()
    torch.set_num_threads(num_cpus)
    try:
        return attempt_trial(workspace, request, trial)
    except InterruptedRun as error:  # a signal to the worker, which is not ours
        return TrialFault(str(error))


def _outcome_of(reference: Any) -> Outcome:
    try:
        outcome: Outcome = ray.get(reference)
    except RayTaskError:  # a fault of the program
        raise
    except RayError as error:
        cause = (str(error).strip().splitlines() or [type(error).__name__])[0]
        return TrialFault(f"its worker was lost: {cause[:200]}")
    return outcome
