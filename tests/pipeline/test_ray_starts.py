"""A Ray that is not up in time on this machine; its starts are played, for a real one is late only by chance."""

import signal
import subprocess
from pathlib import Path

import pytest
import ray

from pipeline.errors import KinetError
from pipeline.ray_cluster import connect

LATE = "The current node timed out during startup."


@pytest.fixture
def starts(monkeypatch: pytest.MonkeyPatch) -> list[Exception | None]:
    """Put down what the next starts of Ray raise, the first one last; None for one that does start."""
    outcomes: list[Exception | None] = []

    def init(**_: object) -> None:
        if error := outcomes.pop():
            raise error

    monkeypatch.setattr(ray, "init", init)
    return outcomes


def test_a_late_start_is_tried_again(starts: list[Exception | None], tmp_path: Path) -> None:
    starts += [None, Exception(LATE)]
    connect(None, num_cpus=1, empty_dir=str(tmp_path))
    assert not starts


def test_what_a_late_start_left_is_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    left: list[subprocess.Popen[bytes]] = []

    def init(**_: object) -> None:
        left.append(subprocess.Popen(["sleep", "300"]))
        if len(left) == 1:
            raise Exception(LATE)

    monkeypatch.setattr(ray, "init", init)
    with subprocess.Popen(["sleep", "300"]) as other:
        connect(None, num_cpus=1, empty_dir=str(tmp_path))
        assert [process.poll() for process in (other, *left[1:])] == [None, None]
        other.kill()
    left[1].kill()
    assert [process.wait(timeout=10) for process in left] == [-signal.SIGKILL, -signal.SIGKILL]


def test_a_start_that_is_late_again_is_one_line(starts: list[Exception | None], tmp_path: Path) -> None:
    starts += [None, Exception(LATE), Exception(LATE)]
    with pytest.raises(KinetError, match=r"on this machine takes no driver: .*timed out.* Tried 2 times"):
        connect(None, num_cpus=1, empty_dir=str(tmp_path))
    assert starts == [None]


def test_another_fault_is_not_tried_again(starts: list[Exception | None], tmp_path: Path) -> None:
    starts += [None, TypeError("no such keyword")]
    with pytest.raises(TypeError):
        connect(None, num_cpus=1, empty_dir=str(tmp_path))
    assert starts == [None]
