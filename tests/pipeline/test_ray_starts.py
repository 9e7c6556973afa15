"""A Ray that is not up in time on this machine; its starts are played, for a real one is late only by chance."""

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
