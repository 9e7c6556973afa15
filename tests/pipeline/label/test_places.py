"""How many workers a cluster has room for, whatever its nodes are."""

import pytest

from pipeline.label.places import share_out

CPU_NODE, GPU_NODE, HEAD = {"CPU": 8.0}, {"CPU": 32.0, "GPU": 4.0}, {"memory": 1.0}


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
        ([CPU_NODE], 1, 1.0, (0, 1)),
        ([HEAD], None, 0.0, (0, 1)),
    ],
)
def test_room(nodes: list[dict[str, float]], num_wanted: int | None, gpus_per_worker: float, expected: tuple) -> None:
    resources = share_out(nodes, num_wanted, gpus_per_worker)
    assert (resources.num_workers, resources.cpus_per_worker) == expected
