"""Labelling into a store gives the shards of a local run, killed or not; they are read through the cache."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pipeline.cli import cli
from pipeline.errors import ShardError, WorkspaceError
from pipeline.shards import LabelIndex, open_labels, open_shard
from pipeline.store import find_files, locate, read_files, write_atomically
from tests.pipeline.label.conftest import TOY_HUMAN, TOY_SCENE, Bench

REPOSITORY = Path(__file__).parents[3]
TOYS = ["--workers", "0", "--batch-size", "8", "--human-teacher", TOY_HUMAN, "--scene-teacher", TOY_SCENE]
SIZE = ["--videos-per-shard", "3"]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "workspace")


def fill(bench: Bench, url: str) -> Path:
    """Put manifest and teachers into a store's workspace; return its folder of shards."""
    root = locate(url)
    for path in (bench.workspace.manifest_path("mix"), bench.teachers.human_path, bench.teachers.scene_path):
        write_atomically(root / path.parent.name / path.name, path.read_bytes())
    return root / "shards" / "mix"


def run(url: str, command: str, *options: str) -> Result:
    return CliRunner().invoke(cli, [command, "--dataset", "mix", "--workspace", url, *options])


def shard_bytes(folder: Path) -> dict[str, bytes]:
    paths = find_files(folder, "*.h5")
    return dict(zip([path.name for path in paths], read_files(paths), strict=True))


@pytest.mark.parametrize("store", ["memory", "s3"])
def test_the_shards_are_those_of_a_local_run(
    store: str, bench: Bench, cache: Path, request: pytest.FixtureRequest
) -> None:
    bench.label()
    url = request.getfixturevalue(store)
    folder = fill(bench, url)
    labelled = run(url, "label", *TOYS, *SIZE, "--json")
    assert labelled.exit_code == 0, labelled.output
    assert shard_bytes(folder) == bench.shard_bytes()
    assert json.loads(run(url, "status", "--json").stdout)["missing"] == 0
    names = {path.name for path in find_files(folder, "*")}
    assert {"plan.json", "quarantine.csv"} <= names and "lease.json" not in names
    local = LabelIndex(bench.shards_dir)
    for labels in (LabelIndex(f"{url}/shards/mix"), open_labels(folder)):
        for video_id in local:
            frames = range(local.num_frames(video_id))
            assert all(
                (one == other).all()
                for one, other in zip(labels.read(video_id, frames)[:5], local.read(video_id, frames)[:5], strict=True)
            )
        labels.close()
    assert not list(cache.rglob("*.part"))


def test_a_killed_run_goes_on_in_the_store(bench: Bench, s3: str) -> None:
    bench.teachers.human_path.write_text("0.1")
    bench.label()
    folder = fill(bench, s3)
    command = [sys.executable, "-m", "pipeline.cli", "label", "--dataset", "mix", "--workspace", s3, *TOYS, *SIZE]
    killed = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(REPOSITORY)}, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 90
    while not (receipts := find_files(folder, "*-of-*.json")) and time.monotonic() < deadline:
        time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    kept = dict(zip(receipts, read_files(receipts), strict=True))
    assert kept and (folder / "lease.json").exists()
    assert json.loads(run(s3, "status", "--json").stdout)["missing"] > 0
    again = run(s3, "label", *TOYS, *SIZE, "--json")
    assert again.exit_code == 0 and json.loads(again.stdout)["missing"] == 0
    assert shard_bytes(folder) == bench.shard_bytes()
    assert list(read_files(list(kept))) == list(kept.values())
    assert json.loads(run(s3, "verify", "--jobs", "2", "--json").stdout)["ok"]


@pytest.mark.ray
def test_workers_on_ray_write_to_the_store(bench: Bench, s3: str) -> None:
    bench.label()
    folder = fill(bench, s3)
    options = [*TOYS, *SIZE, "--workers", "1"]
    command = [sys.executable, "-m", "pipeline.cli", "label", "--dataset", "mix", "--workspace", s3, *options]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    assert shard_bytes(folder) == bench.shard_bytes()


def test_damage_in_the_store_is_found_and_repaired(bench: Bench, memory: str) -> None:
    folder = fill(bench, memory)
    run(memory, "label", *TOYS, *SIZE)
    before = shard_bytes(folder)
    name = sorted(before)[1]
    write_atomically(folder / name, before[name][:-3] + b"xyz")
    with pytest.raises(ShardError, match=r"damaged \(SHA-256 .* verify --repair"):
        open_shard(f"{memory}/shards/mix/{name}")
    report = json.loads(run(memory, "verify", "--jobs", "1", "--json").stdout)
    assert [bad["shard"] + ".h5" for bad in report["bad"]] == [name]
    assert json.loads(run(memory, "verify", "--repair", "--jobs", "1", "--json", *TOYS).stdout)["ok"]
    assert shard_bytes(folder) == before


def test_the_cache_keeps_its_bound_and_the_newest(
    bench: Bench, memory: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = fill(bench, memory)
    run(memory, "label", *TOYS, "--videos-per-shard", "1")
    sizes = [len(content) for content in shard_bytes(folder).values()]
    bound = 3 * max(sizes)
    monkeypatch.setenv("KINET_CACHE_GIB", str(bound / 2**30))
    index = LabelIndex(folder, max_open_shards=1)
    for video_id in [*index, *index]:
        index.read(video_id, [0])
        copies = list((cache / "shards").glob("*.h5"))
        assert sum(copy.stat().st_size for copy in copies) <= bound
    newest = max(copies, key=lambda copy: copy.stat().st_mtime_ns)
    newest.write_bytes(newest.read_bytes()[:-1])  # cut short: fetched again, not read
    LabelIndex(folder).read(video_id, [0])
    monkeypatch.setenv("KINET_CACHE_GIB", "much")
    for copy in copies:
        copy.unlink()
    with pytest.raises(WorkspaceError, match="KINET_CACHE_GIB is 'much'"):
        LabelIndex(folder).read(video_id, [0])


def test_an_estimate_leaves_nothing_in_the_store(bench: Bench, memory: str) -> None:
    folder = fill(bench, memory)
    estimate = run(memory, "estimate", *TOYS, "--sample-videos", "4", "--json")
    assert estimate.exit_code == 0, estimate.output
    assert json.loads(estimate.stdout)["videos"] == len(bench.records)
    assert sorted(path.name for path in find_files(folder.parent.parent, "*")) == ["manifests", "teachers"]


def test_what_must_be_local_names_the_way_out(memory: str) -> None:
    result = CliRunner().invoke(cli, ["evaluate", "somerun", "--dataset", "mix", "--workspace", memory])
    assert isinstance(result.exception, WorkspaceError) and "$KINET_RUNS_DIR" in str(result.exception)
