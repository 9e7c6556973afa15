"""A table's runs side by side on Ray: the same table as one after the other, and a lost worker is a failed run."""

import os
import shutil
import signal
import threading
import time
from pathlib import Path

import pytest
import torch

from pipeline.processors import count_processors
from pipeline.workspace import Workspace
from student.ablation.parallel import TrialCluster, run_on_cluster
from student.ablation.request import AblationRequest
from student.ablation.running import run_table
from student.ablation.tables import table_rows
from student.ablation.trials import Outcome, Trial, TrialFault
from tests.processes import descendants, title

CHANGES = ("input_size=48", "epochs=1", "batch_size=4", "micro_batch=4", "milestones=[]")
REQUEST = AblationRequest(
    table=3, dataset="boxes", backbone="squeezenet1_1", recipe="small", overrides=CHANGES, segments=3, crops=1
)


@pytest.mark.slow
@pytest.mark.ray
def test_side_by_side_gives_the_table_of_one_after_the_other(workspace: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(workspace, tmp_path / "other"))
    side_by_side = run_table(Workspace.locate(str(other)), REQUEST, TrialCluster(2))
    assert not side_by_side.failures
    # As many threads as a run on the cluster has: sums are then equal to the bit.
    torch.set_num_threads(max(1, count_processors() // 2))
    assert side_by_side.to_json() == run_table(Workspace.locate(str(workspace)), REQUEST).to_json()


@pytest.mark.slow
@pytest.mark.ray
def test_a_lost_worker_is_a_failed_run_and_the_next_call_goes_on(workspace: Path) -> None:
    place = Workspace.locate(str(workspace))
    trials = [Trial(row, 0, 1) for row in table_rows(3, "squeezenet1_1")]
    first_run = place.run_dir(trials[0].run_name(REQUEST))
    killer = threading.Thread(target=_kill_worker_when, args=(first_run / "config.toml",))
    killer.start()
    outcomes: dict[Trial, Outcome] = {}
    run_on_cluster(place, REQUEST, trials, TrialCluster(1), outcomes.__setitem__)
    killer.join()
    lost, done = (outcomes[trial] for trial in trials)
    assert isinstance(lost, TrialFault) and lost.message.startswith("its worker was lost: ")
    assert isinstance(done, dict) and done["videos"] == 2
    assert run_table(place, REQUEST).failures == {}


def _kill_worker_when(path: Path) -> None:
    """End the worker of this process's Ray with SIGKILL as soon as a file is there."""
    deadline = time.monotonic() + 120
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} was not made"
        time.sleep(0.01)
    workers = [pid for pid in descendants(os.getpid()) if "_run_in_worker" in title(pid)]
    assert workers
    for pid in workers:
        os.kill(pid, signal.SIGKILL)
