"""Runs whose worker went: alone, or with its node? Ray says so of a node only some seconds later."""

import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import ray
from ray.exceptions import ActorUnavailableError

from pipeline.label.run_ends import Died
from pipeline.label.shard_queue import ShardRun

# Longer than Ray's own patience with a silent node: 15 s, and 10 s for an answer, where nobody set others.
NODE_LOSS_SEC = 45.0


class _Loss(NamedTuple):
    run: ShardRun
    node_id: str
    since_sec: float


class Losses:
    """Runs whose worker is out of reach, until it is known whether its node is gone.

    Args:
        is_up: whether a node is part of the cluster, as far as is known by now.
        clock: seconds.
    """

    def __init__(self, is_up: Callable[[str], bool], clock: Callable[[], float] = time.monotonic) -> None:
        self._is_up = is_up
        self._clock = clock
        self._open: list[_Loss] = []

    def add(self, run: ShardRun, node_id: str) -> None:
        """Keep a run whose worker on a node is out of reach."""
        self._open.append(_Loss(run, node_id, self._clock()))

    def drop(self, run: ShardRun) -> None:
        """Forget a run, if it is here: its shard is done."""
        self._open = [loss for loss in self._open if loss.run is not run]

    def settle(self) -> Iterator[Died]:
        """Yield those whose node is gone, and those whose node has stayed so long that it was the worker alone."""
        for loss in list(self._open):
            is_excused = not self._is_up(loss.node_id)
            if is_excused or self._clock() - loss.since_sec > NODE_LOSS_SEC:
                self._open.remove(loss)
                yield Died(loss.run, excused=is_excused)


def is_up(node_id: str) -> bool:
    """Tell whether a node is part of the cluster, as far as Ray knows by now."""
    return any(node["Alive"] and node["NodeID"] == node_id for node in ray.nodes())


def is_out_of_reach(death: Exception) -> bool:
    """Tell whether a worker stopped answering, and Ray cannot say yet whether it or its node went."""
    return isinstance(death, ActorUnavailableError)


def is_node_gone(node_id: str, death: Exception) -> bool:
    """Tell whether a worker died with its node; one that was being placed there could not say where it is."""
    if getattr(death, "preempted", False) or (node_id and not is_up(node_id)):
        return True
    return any(node["NodeID"] in str(death) for node in ray.nodes() if not node["Alive"])
