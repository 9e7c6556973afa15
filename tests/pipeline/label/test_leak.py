"""A teacher that leaks is no video's fault: the shards end in fresh processes, as those of an unbroken run."""

import json
import shutil
import signal

import pytest

from tests.pipeline.label.conftest import Bench
from tests.pipeline.label.test_cluster import start
from tests.pipeline.label.toy_teachers import LEAK_VARIABLE


@pytest.mark.parametrize("workers", ["0", pytest.param("2", marks=[pytest.mark.slow, pytest.mark.ray])])
def test_a_leak_costs_processes_and_no_video(bench: Bench, monkeypatch: pytest.MonkeyPatch, workers: str) -> None:
    expected_status = bench.label(videos_per_shard=12).status
    expected = bench.shard_bytes()
    shutil.rmtree(bench.shards_dir)
    # More than the trial of a worker and the longest video take, far less than the longest shard.
    monkeypatch.setenv(LEAK_VARIABLE, "100")
    deaths = 0
    while True:
        run = start(bench, "--workers", workers, "--videos-per-shard", "12")
        out, err = run.communicate(timeout=300)
        if run.returncode != -signal.SIGKILL:
            break
        deaths += 1
    assert run.returncode == 0 and (deaths > 0) == (workers == "0"), err
    status = json.loads(out)
    assert status["quarantined"] == expected_status.quarantined and status["missing"] == 0
    assert status["reasons"] == expected_status.reasons
    assert bench.shard_bytes() == expected
    # What was kept on the way is gone.
    left = [path.name for path in bench.shards_dir.iterdir() if path.suffix in (".piece", ".journal", ".part")]
    assert not left and len(list(bench.shards_dir.glob("*-of-*.json"))) == 2
