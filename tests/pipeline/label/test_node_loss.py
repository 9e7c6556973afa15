"""A cluster that shrinks and grows again while a job is at work: a head without processors, and a node that goes."""

from collections.abc import Iterator

import pytest

from pipeline.errors import KinetError
from pipeline.label.settings import ClusterSettings, LabelSettings
from tests.pipeline.label.conftest import Bench
from tests.pipeline.label.test_cluster import REPOSITORY, expected, start, wait_for

pytestmark = [
    pytest.mark.ray,
    pytest.mark.slow,
    # Ray's fake cluster leaves sockets of its own open.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]
__all__ = ["expected"]


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """Start the head; lost nodes are noticed within seconds."""
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    for name, value in (("initial_delay_ms", 1000), ("period_ms", 1000), ("failure_threshold", 3)):
        monkeypatch.setenv(f"RAY_health_check_{name}", str(value))
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    yield cluster
    cluster.shutdown()


def test_the_job_waits_for_a_lost_node_and_goes_on_with_the_next(cluster, bench: Bench, expected) -> None:
    node = cluster.add_node(num_cpus=1)
    run = start(bench, "--workers", "1", "--address", cluster.address)
    wait_for(lambda: list(bench.shards_dir.glob("*.part")))
    cluster.remove_node(node, allow_graceful=False)
    cluster.add_node(num_cpus=1)
    _, err = run.communicate(timeout=250)
    assert run.returncode == 0, err
    assert bench.shard_bytes() == expected


def test_a_cluster_without_room_is_named_with_what_a_worker_needs(cluster, bench: Bench) -> None:
    from pipeline.label.cluster import RayPool

    settings = ClusterSettings(cluster.address, 1, start_timeout_sec=3)
    with (
        RayPool(bench.teachers, LabelSettings(), bench.shards_dir, settings) as pool,
        pytest.raises(KinetError, match=r"no worker has started for 3 s: one needs 1 CPU and 0 GPU .* has 0 CPU"),
    ):
        pool.describe(measure=False)
