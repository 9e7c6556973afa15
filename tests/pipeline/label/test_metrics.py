"""A Ray node's Prometheus endpoint serves the frames that its workers labelled."""

import re
import time
import urllib.error
import urllib.request

import pytest

from pipeline.label.job import LabelJob, run_label_job
from pipeline.label.settings import ClusterSettings, LabelSettings
from tests.pipeline.label.conftest import Bench
from tests.ray_head import ray_head

pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("ignore::ResourceWarning")]


def read_counters(port: int, name: str) -> dict[str, float]:
    """Read one counter's samples off the endpoint: their labels, and the values."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
    except (urllib.error.URLError, ConnectionError):
        return {}
    return {labels: float(value) for labels, value in re.findall(rf"^{name}\{{(.*)\}} (\S+)$", text, re.MULTILINE)}


def test_a_nodes_endpoint_serves_frames_videos_and_seconds(bench: Bench) -> None:
    import ray

    from pipeline.label.cluster import RayPool

    with ray_head(num_cpus=1, _system_config={"metrics_report_interval_ms": 500}) as cluster:
        settings = ClusterSettings(address=cluster.address, num_workers=1)
        job = LabelJob("mix", bench.records, bench.shards_dir, None, 3)
        with RayPool(bench.teachers, LabelSettings(batch_size=8), bench.shards_dir, settings) as pool:
            status = run_label_job(job, pool, lambda _: None).status
            port = ray.nodes()[0]["MetricsExportPort"]
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline:
                videos = read_counters(port, "ray_kinet_videos_total")
                if sum(videos.values()) == status.planned:
                    break
                time.sleep(0.5)
            frames = read_counters(port, "ray_kinet_frames_total")
            seconds = read_counters(port, "ray_kinet_stage_seconds_total")
        assert sum(frames.values()) >= status.frames > 0
        by_outcome = {re.search(r'outcome="(\w+)"', labels).group(1): count for labels, count in videos.items()}
        assert by_outcome == {"ok": status.ok, "partial": status.partial, "quarantined": status.quarantined}
        found = {re.search(r'stage="(\w+)"', labels).group(1) for labels in seconds}
        assert found == {stage for stage, stage_sec in status.stage_seconds.items() if stage_sec}
