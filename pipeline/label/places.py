"""How many workers a cluster has room for, and what each may take of a node."""

from collections.abc import Mapping, Sequence

from pipeline.label.description import WorkerResources


def share_out(nodes: Sequence[Mapping[str, float]], num_wanted: int | None, gpus_per_worker: float) -> WorkerResources:
    """Choose processors for each worker such that every node can hold its share, and count the room there is.

    Args:
        nodes: what each node that is up has of "CPU" and "GPU".
        num_wanted: workers asked for; None is one for each share of a GPU, or one a node where none is asked for.
        gpus_per_worker: GPUs that each reserves.

    Returns:
        As many workers as there is room for, `num_wanted` at most, maybe none; 1 processor each at least.
    """
    able = [node for node in nodes if node.get("CPU") and node.get("GPU", 0.0) >= gpus_per_worker]
    smallest = min((node["CPU"] for node in able), default=1.0)
    if gpus_per_worker:
        cpus = min((node["CPU"] / int(node["GPU"] / gpus_per_worker) for node in able), default=1.0)
    elif num_wanted is None:
        cpus = smallest
    else:
        cpus = min(smallest, sum(node["CPU"] for node in able) // num_wanted)
    cpus_per_worker = max(1, int(cpus))
    room = sum(_count_room(node, cpus_per_worker, gpus_per_worker) for node in able)
    if num_wanted is None and not gpus_per_worker:
        room = len(able)
    return WorkerResources(room if num_wanted is None else min(room, num_wanted), cpus_per_worker, gpus_per_worker)


def _count_room(node: Mapping[str, float], cpus_per_worker: int, gpus_per_worker: float) -> int:
    by_cpus = int(node["CPU"]) // cpus_per_worker
    return min(by_cpus, int(node["GPU"] / gpus_per_worker)) if gpus_per_worker else by_cpus
