"""What every test has: Ray clusters one at a time, also where tests run in several processes."""

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.processors import let_waiting_threads_sleep

# Before any test imports torch.
let_waiting_threads_sleep()
# Ray keeps what a process began with: tests that set it for themselves leave the others with two minds.
os.environ["RAY_AUTH_MODE"] = "disabled"

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def one_ray_cluster_at_a_time(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Clusters that start side by side on two cores meet each other's ports and each other's timeouts."""
    if request.node.get_closest_marker("ray") is None:
        yield
        return
    # Its workers import the tests' own teachers.
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    # With several test processes each has a folder of its own below one that they share.
    shared = tmp_path_factory.getbasetemp().parent
    with (shared / "ray.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
