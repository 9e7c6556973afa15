"""How many workers a cluster has room for, whatever its nodes are."""

from typing import Any

import pytest

from pipeline.label.places import share_out

CPU_NODE, GPU_NODE, HEAD = {"CPU": 8.0}, {"CPU": 32.0, "GPU": 4.0}, {"memory": 1.0}


def held(*asked: Any) -> tuple[int, int]:
    """Return the workers there is room for, and the processors of each."""
    resources = share_out(*asked)
    return resources.num_workers, resources.cpus_per_worker


@pytest.mark.parametrize(
    ("nodes", "num_wanted", "gpus_per_worker", "expected"),
    [
        ([HEAD, CPU_NODE, CPU_NODE], None, 0.0, (2, 8)),
        ([HEAD, CPU_NODE, {"CPU": 4.0}], None, 0.0, (2, 4)),
        ([CPU_NODE], 2, 0.0, (2, 4)),
        ([CPU_NODE], 64, 0.0, (8, 1)),
        ([GPU_NODE, GPU_NODE, CPU_NODE], None, 1.0, (8, 8)),
        ([GPU_NODE], 64, 1.0, (4, 8)),
        ([GPU_NODE], None, 0.5, (8, 4)),
        ([GPU_NODE, {"CPU": 4.0, "GPU": 4.0}], None, 1.0, (8, 1)),
        ([{"CPU": 2.0}, *[{"CPU": 64.0}] * 4], None, 0.0, (4, 64)),
        ([{"CPU": 2.0}, *[{"CPU": 64.0}] * 4], 8, 0.0, (8, 32)),
        ([CPU_NODE, CPU_NODE], 3, 0.0, (3, 4)),
        ([CPU_NODE], 1, 1.0, (0, 1)),
        ([HEAD], None, 0.0, (0, 1)),
    ],
)
def test_room(nodes: list[dict[str, float]], num_wanted: int | None, gpus_per_worker: float, expected: tuple) -> None:
    assert held(nodes, num_wanted, gpus_per_worker) == expected


def test_processors_that_are_asked_for_are_held() -> None:
    assert held([GPU_NODE, CPU_NODE], None, 1.0, 3) == (4, 3)
    assert held([CPU_NODE, {"CPU": 4.0}], None, 0.0, 6) == (1, 6)
    assert held([CPU_NODE, CPU_NODE], 5, 0.0, 3) == (4, 3)
    assert held([HEAD], 2, 1.0, 6) == (0, 6)
