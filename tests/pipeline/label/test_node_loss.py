"""A cluster that shrinks and grows again while a job is at work: a head without processors, and a node that goes."""

import contextlib
import dataclasses
import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from pipeline.errors import KinetError
from pipeline.label.job import LabelJob, run_label_job
from pipeline.label.settings import ClusterSettings, LabelSettings
from tests.pipeline.label.conftest import TOY_HUMAN, Bench
from tests.pipeline.label.test_cluster import expected, has_unfinished_shard, label_unbroken, start, wait_for
from tests.pipeline.label.toy_teachers import ODDNESS_VARIABLE
from tests.processes import descendants, title
from tests.ray_head import ray_head

pytestmark = [
    pytest.mark.ray,
    pytest.mark.slow,
    # Ray's fake cluster leaves sockets of its own open.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]
__all__ = ["expected"]


@pytest.fixture(scope="module")
def head() -> Iterator[Any]:
    """Start the head; lost nodes are noticed within seconds, those of a busy machine are given some more."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("initial_delay_ms", 1000), ("period_ms", 1000), ("failure_threshold", 5)):
            patch.setenv(f"RAY_health_check_{name}", str(value))
        with ray_head(num_cpus=0, include_dashboard=False) as cluster:
            yield cluster


@pytest.fixture
def cluster(head: Any) -> Iterator[Any]:
    """Give the head alone, without the nodes of other tests."""
    yield head
    for node in list(head.worker_nodes):
        head.remove_node(node)
    wait_for(lambda: sum(node["Alive"] for node in head.global_state.node_table()) == 1)


def test_the_job_waits_for_a_lost_node_and_goes_on_with_the_next(cluster, bench: Bench, expected) -> None:
    node = cluster.add_node(num_cpus=1)
    run = start(bench, "--workers", "1", "--address", cluster.address)
    wait_for(lambda: list(bench.shards_dir.glob("*.part")))
    cluster.remove_node(node, allow_graceful=False)
    cluster.add_node(num_cpus=1)
    # That Ray is not sure of it for some seconds blames no video.
    excused = '"ended": true'
    wait_for(lambda: run.poll() is not None or any(excused in text for text in journals(bench)))
    assert run.poll() is None
    _, err = run.communicate(timeout=250)
    assert run.returncode == 0, err
    assert bench.shard_bytes() == expected


def journals(bench: Bench) -> list[str]:
    """Read the journals of the shards that are not done; one that goes meanwhile is passed over."""
    texts = []
    for path in bench.shards_dir.glob("*.journal"):
        with contextlib.suppress(FileNotFoundError):
            texts.append(path.read_text())
    return texts


def test_a_node_that_goes_while_its_workers_load_ends_nothing(
    cluster, bench: Bench, expected, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.label import crew_starts
    from pipeline.label.cluster import RayPool

    # Two workers go at once: that must be fewer failed starts than these.
    monkeypatch.setattr(crew_starts, "MAX_FAILED_STARTS", 1)
    monkeypatch.setattr(crew_starts, "START_PAUSE_SEC", 1.0)
    # Nor may the reports of workers be waited for that have no node any more.
    monkeypatch.setattr(crew_starts, "REPORTS_SEC", 3600.0)
    node = cluster.add_node(num_cpus=2)
    teachers = dataclasses.replace(bench.teachers, human_factory=f"{TOY_HUMAN}_when_told")
    job = LabelJob("mix", bench.records, bench.shards_dir, None, 3)
    with (
        RayPool(teachers, LabelSettings(batch_size=8), bench.shards_dir, ClusterSettings(cluster.address, 2)) as pool,
        ThreadPoolExecutor(1) as driver,
    ):
        running = driver.submit(run_label_job, job, pool, lambda _: None)
        wait_for(lambda: running.done() or len(list(teachers.human_path.parent.glob("loading-*"))) == 2)
        cluster.remove_node(node, allow_graceful=False)
        teachers.human_path.with_name("go").touch()
        cluster.add_node(num_cpus=1)
        report = running.result()
    assert report.status.missing == 0
    assert bench.shard_bytes() == expected


def test_a_worker_asked_for_before_its_node_was_there_uses_the_nodes_share(cluster, bench: Bench) -> None:
    bench.teachers.human_path.write_text("0.3")
    run = start(
        bench, "--workers", "2", "--gpus-per-worker", "1", "--precision", "float32", "--address", cluster.address
    )
    assert run.stderr is not None
    assert "room for 0 of 2 workers" in run.stderr.readline()
    cluster.add_node(num_cpus=3, num_gpus=1)
    wait_for(lambda: sum("pipeline.label.decoder_process" in title(pid) for pid in descendants(os.getpid())) == 3)
    _, err = run.communicate(timeout=250)
    assert run.returncode == 0, err


def workers_at_work() -> list[int]:
    """List the cluster's workers that write a shard, not what they fork: its nodes are this process's children."""
    found = [pid for pid in descendants(os.getpid()) if has_unfinished_shard(pid)]
    forks = {child for pid in found for child in descendants(pid)}
    return [pid for pid in found if pid not in forks]


def test_a_node_that_joins_is_put_to_work(cluster, bench: Bench) -> None:
    # So slow that there is work left whenever it comes.
    bench.teachers.human_path.write_text("8")
    cluster.add_node(num_cpus=1)
    run = start(bench, "--address", cluster.address)
    wait_for(lambda: run.poll() is not None or workers_at_work())
    cluster.add_node(num_cpus=1)
    wait_for(lambda: run.poll() is not None or len(workers_at_work()) == 2)
    run.terminate()
    _, err = run.communicate(timeout=100)
    assert run.returncode == 143, err


def test_a_node_that_is_drained_costs_no_shard_and_blames_no_video(cluster, bench: Bench) -> None:
    from ray._raylet import GcsClient
    from ray.core.generated import autoscaler_pb2

    expected = label_unbroken(bench, "0.5")
    node = cluster.add_node(num_cpus=1)
    run = start(bench, "--workers", "1", "--address", cluster.address)
    (worker,) = wait_for(workers_at_work)
    reason = autoscaler_pb2.DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")
    deadline_ms = int((time.time() + 1) * 1000)
    assert GcsClient(address=cluster.address).drain_node(node.node_id, reason, "preempted", deadline_ms)[0]
    wait_for(lambda: not title(worker))
    assert run.poll() is None
    cluster.add_node(num_cpus=1)
    out, err = run.communicate(timeout=250)
    assert run.returncode == 0, err
    status = json.loads(out)
    assert status["missing"] == 0 and not {"crashed", "timeout"} & status["reasons"].keys()
    assert not list(bench.shards_dir.glob("*.journal"))
    assert bench.shard_bytes() == expected


def test_a_first_start_that_would_not_use_its_gpu_is_refused(cluster, bench: Bench) -> None:
    from pipeline.label.cluster import RayPool

    # A GPU that Ray counts and torch cannot see, as where a driver is gone.
    cluster.add_node(num_cpus=1, num_gpus=1)
    with (
        RayPool(bench.teachers, LabelSettings(), bench.shards_dir, ClusterSettings(cluster.address, 1)) as pool,
        pytest.raises(KinetError, match=r"holds a GPU and torch sees none: .* --gpus-per-worker 0"),
    ):
        pool.describe(measure=False)


def test_a_node_that_would_label_otherwise_is_refused_and_the_others_go_on(cluster, bench: Bench, expected) -> None:
    # The odd node is ready first: the only one there is when the job goes on.
    bench.label(split="val")
    cluster.add_node(num_cpus=1, env_vars={ODDNESS_VARIABLE: "odd"})
    run = start(bench, "--workers", "1", "--address", cluster.address, "--human-teacher", f"{TOY_HUMAN}_when_told")
    wait_for(lambda: list(bench.teachers.human_path.parent.glob("loading-*")))
    cluster.add_node(num_cpus=1)
    bench.teachers.human_path.with_name("go").touch()
    _, err = run.communicate(timeout=250)
    assert run.returncode == 0, err
    assert (
        "gets no worker for 300 s: it would label otherwise: human_preprocessing (none on one, odd on another)" in err
    )
    assert bench.shard_bytes() == expected


def test_a_cluster_without_room_is_named_with_what_a_worker_needs(cluster, bench: Bench) -> None:
    from pipeline.label.cluster import RayPool

    settings = ClusterSettings(cluster.address, 1, start_timeout_sec=3)
    with (
        RayPool(bench.teachers, LabelSettings(), bench.shards_dir, settings) as pool,
        pytest.raises(KinetError, match=r"no worker has started for 3 s: one needs 1 CPU and 0 GPU .* has 0 CPU"),
    ):
        pool.describe(measure=False)
