"""What every test has: Ray clusters one at a time, one thread for torch, and a way to its own servers."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from xdist.scheduler import LoadGroupScheduling
from xdist.workermanage import WorkerController

from pipeline.processors import let_waiting_threads_sleep

# Before any test imports torch.
let_waiting_threads_sleep()
# Ray keeps what a process began with: tests that set it for themselves leave the others with two minds.
os.environ["RAY_AUTH_MODE"] = "disabled"
# Sums are equal to the bit only where as many threads make them: here, in subprocesses, and in Ray's workers.
os.environ["OMP_NUM_THREADS"] = "1"
# Stores and endpoints that a test starts are on this machine: no proxy knows the way to them.
for name in ("no_proxy", "NO_PROXY"):
    os.environ[name] = ",".join(filter(None, [os.environ.get(name), "127.0.0.1", "localhost"]))

REPOSITORY = Path(__file__).parents[1]


class OneProcessForRay(LoadGroupScheduling):
    """With several test processes, a file's tests go to one, and all tests that start Ray clusters to the same one.

    Clusters that start side by side on two cores meet each other's ports and each other's timeouts.
    """

    def _split_scope(self, nodeid: str) -> str:
        group = super()._split_scope(nodeid)
        return nodeid.split("::")[0] if group == nodeid else group

    def _assign_work_unit(self, node: WorkerController) -> None:
        """Begin with the tests that start Ray: they take longest by far."""
        if "ray" in self.workqueue:
            self.workqueue.move_to_end("ray", last=False)
        super()._assign_work_unit(node)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> OneProcessForRay:
    return OneProcessForRay(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("ray") is not None:
            item.add_marker(pytest.mark.xdist_group("ray"))


@pytest.fixture(autouse=True)
def workers_find_the_tests(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray's workers import the tests' own teachers."""
    if request.node.get_closest_marker("ray") is not None:
        monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))


@pytest.fixture(autouse=True)
def torch_is_left_with_one_thread() -> Iterator[None]:
    """Take back the threads that a test, or the labelling in it, gave torch."""
    yield
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)
