"""A run whose worker is out of reach is laid to its node, or to the worker, only once that is known."""

from pipeline.label.losses import NODE_LOSS_SEC, Losses
from pipeline.label.run_ends import Died
from pipeline.label.shard_queue import ShardQueue, ShardRun
from tests.pipeline.label.test_shard_queue import tasks


class Cluster:
    """A clock, and the nodes that are up by it."""

    def __init__(self) -> None:
        self.now = 0.0
        self.nodes = {"n"}
        self.losses = Losses(self.nodes.__contains__, lambda: self.now)


def make_run() -> ShardRun:
    run = ShardQueue(tasks(1)).take()
    assert run is not None
    return run


def test_a_run_is_excused_as_soon_as_its_node_is_known_to_be_gone() -> None:
    cluster, run = Cluster(), make_run()
    cluster.losses.add(run, "n")
    cluster.now = 20.0
    assert list(cluster.losses.settle()) == []
    cluster.nodes.clear()
    assert list(cluster.losses.settle()) == [Died(run, excused=True)]
    assert list(cluster.losses.settle()) == []


def test_a_worker_went_alone_where_its_node_stays() -> None:
    cluster, run = Cluster(), make_run()
    cluster.losses.add(run, "n")
    cluster.now = NODE_LOSS_SEC + 1.0
    assert list(cluster.losses.settle()) == [Died(run, excused=False)]
    assert list(cluster.losses.settle()) == []


def test_a_run_whose_shard_is_done_is_forgotten() -> None:
    cluster, run, other = Cluster(), make_run(), make_run()
    cluster.losses.add(run, "n")
    cluster.losses.add(other, "n")
    cluster.losses.drop(run)
    cluster.nodes.clear()
    assert [died.run for died in cluster.losses.settle()] == [other]
