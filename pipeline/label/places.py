"""How many workers a cluster has room for, and what each may take of a node."""

from collections.abc import Mapping, Sequence

from pipeline.label.description import WorkerResources


def share_out(
    nodes: Sequence[Mapping[str, float]],
    num_wanted: int | None,
    gpus_per_worker: float,
    cpus_per_worker: int | None = None,
) -> WorkerResources:
    """Choose processors for each worker, and count the room there is.

    Args:
        nodes: what each node that is up has of "CPU" and "GPU".
        num_wanted: workers asked for; None is one for each share of a GPU, or one a node where none is asked for.
        gpus_per_worker: GPUs that each reserves.
        cpus_per_worker: processors that each reserves. None is, with GPUs, what goes with so many on the node that has
            fewest; elsewhere the most with which there is room for all that are wanted, or, one a node, with which most
            processors are used: a node that is too small for that has no worker.

    Returns:
        As many workers as there is room for, `num_wanted` at most, maybe none; 1 processor each at least.
    """
    able = [node for node in nodes if node.get("CPU") and node.get("GPU", 0.0) >= gpus_per_worker]
    cpus = cpus_per_worker
    if cpus is None and gpus_per_worker:
        cpus = min((share_of_node(node, gpus_per_worker) for node in able), default=1)
    elif cpus is None:
        cpus = _choose_cpus([int(node["CPU"]) for node in able], num_wanted)
    if num_wanted is None and not gpus_per_worker:
        room = sum(node["CPU"] >= cpus for node in able)
    else:
        room = sum(_count_room(node, cpus, gpus_per_worker) for node in able)
    return WorkerResources(room if num_wanted is None else min(room, num_wanted), cpus, gpus_per_worker)


def share_of_node(node: Mapping[str, float], gpus_per_worker: float) -> int:
    """Return the processors of a node that go with so many of its GPUs, 1 or more."""
    return max(1, int(node["CPU"] / int(node["GPU"] / gpus_per_worker)))


def _choose_cpus(node_cpus: Sequence[int], num_wanted: int | None) -> int:
    """Choose processors for workers without GPUs; see `share_out`."""
    if num_wanted is None:
        # Of two that use as many, the one with more workers.
        return max(sorted({*node_cpus, 1}), key=lambda cpus: cpus * sum(found >= cpus for found in node_cpus))
    for cpus in range(max(node_cpus, default=1), 1, -1):
        if sum(found // cpus for found in node_cpus) >= num_wanted:
            return cpus
    return 1


def _count_room(node: Mapping[str, float], cpus_per_worker: int, gpus_per_worker: float) -> int:
    by_cpus = int(node["CPU"]) // cpus_per_worker
    return min(by_cpus, int(node["GPU"] / gpus_per_worker)) if gpus_per_worker else by_cpus
