"""A disk of videos that is not mounted, goes away or fails: no video is settled by it, and nothing is lost."""

import dataclasses
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from manifests import VideoRecord, write_manifest
from pipeline.errors import SourceError, WorkspaceError
from pipeline.label.decode_ahead import DecodeAhead, VideoEnd
from pipeline.video_disk import Witnesses, find_witnesses
from tests.pipeline.label.conftest import Bench
from tests.pipeline.label.test_cluster import start, wait_for
from tests.pipeline.label.test_decode_ahead import POISON, children, collect
from tests.pipeline.label.test_node_loss import cluster, head
from tests.videos import moving_frames, write_video

if TYPE_CHECKING:
    from ray.cluster_utils import Cluster

__all__ = ["cluster", "head"]
GONE = Witnesses(("/no/such/disk/witness.mp4",))


def away(folder: Path) -> Path:
    """Leave of a folder what its mount would leave: an empty one."""
    moved = folder.rename(folder.with_name("away"))
    folder.mkdir()
    return moved


def test_videos_that_go_away_on_the_way_end_the_run_and_cost_nothing(bench: Bench) -> None:
    bench.label()
    unbroken = bench.shard_bytes()
    shutil.rmtree(bench.shards_dir)
    folder = bench.records[0].path.parent
    moved: list[Path] = []

    def unmount(_: object) -> None:
        if not moved and list(bench.shards_dir.glob("*-of-*.json")):
            moved.append(away(folder))

    with pytest.raises(SourceError, match=r"was read when the run began, .*No such file or directory"):
        bench.label(unmount)
    assert 0 < len(bench.shard_bytes()) < len(unbroken)
    with pytest.raises(WorkspaceError, match="is its disk mounted"):
        bench.label()
    folder.rmdir()
    moved[0].rename(folder)
    assert bench.label().status.reasons["missing"] == 1
    assert bench.shard_bytes() == unbroken


@pytest.mark.parametrize("name", ["absent", "text", "hang"])
def test_no_verdict_is_passed_out_of_sight_of_the_disk(bench: Bench, name: str) -> None:
    path = bench.records[0].path.with_stem(name)
    decoders = DecodeAhead(1, stall_sec=5, max_attempts=2, program=POISON)
    with pytest.raises(SourceError, match="was read when the run began"):
        list(decoders.events([dataclasses.replace(bench.records[0], path=path)], GONE))
    decoders.close()
    assert not children()


@pytest.mark.parametrize("follows", [True, False])
def test_what_was_found_while_the_disk_was_away_is_looked_at_again(tmp_path: Path, follows: bool) -> None:
    """Decoders are ahead: what one says of a video may be older than the disk's return, which is all that is seen."""
    disk, elsewhere = tmp_path / "disk", tmp_path / "elsewhere"
    long, short = (write_video(elsewhere / f"v{n}.mp4", moving_frames(n)) for n in (400, 20))
    witness = write_video(disk / "witness.mp4", moving_frames(2))
    records = [VideoRecord(path.stem, disk / path.name, "train", 0, "c") for path in (long, short)]
    # The first one is there, and so long that its decoder waits for room.
    long.rename(records[0].path)
    decoders = DecodeAhead(2, slots_ahead=8)
    witnesses = find_witnesses([str(witness)])
    events = decoders.events(records[: 1 if follows else 2], witnesses, records[1:] if follows else ())
    next(events)
    assert decoders._all[1]._connection is not None
    while not (decoders._all[1]._ready or decoders._all[1]._connection.poll(60)):
        pass
    time.sleep(1.0)
    short.rename(records[1].path)
    ends = [event.done for _, event in events if isinstance(event, VideoEnd)]
    if follows:
        ends += [event.done for _, event in decoders.events(records[1:], witnesses) if isinstance(event, VideoEnd)]
    decoders.close()
    assert [(end.num_frames, end.reason) for end in ends] == [(400, None), (20, None)]


def test_what_was_begun_before_a_fault_of_the_disk_is_begun_again(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    paths = [write_video(disk / f"v{n}.mp4", moving_frames(n)) for n in (20, 30)]
    records = [VideoRecord(path.stem, path, "train", 0, "c") for path in paths]
    witnesses = find_witnesses([str(paths[0])])
    decoders = DecodeAhead(2)
    disk.rename(tmp_path / "away")
    with pytest.raises(SourceError):
        list(decoders.events(records[:1], witnesses, records[1:]))
    (tmp_path / "away").rename(disk)
    ends = [event.done for _, event in decoders.events(records[1:], witnesses) if isinstance(event, VideoEnd)]
    decoders.close()
    assert [(end.num_frames, end.reason) for end in ends] == [(30, None)]


@pytest.fixture
def failing_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, int], None]:
    """Give a function that lets reads of a file fail from some byte on, in processes started from now on."""
    compiler, library = shutil.which("cc"), tmp_path / "failing_reads.so"
    if compiler is None:
        pytest.skip("no C compiler")
    source = Path(__file__).with_name("failing_reads.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)

    def fail(name: str, from_byte: int) -> None:
        for variable, value in (("LD_PRELOAD", library), ("FAIL_NAME", name), ("FAIL_FROM", from_byte)):
            monkeypatch.setenv(variable, str(value))

    return fail


@pytest.mark.parametrize("share", [0.01, 0.5])
def test_a_read_that_fails_is_no_truncated_video(tmp_path: Path, failing_reads, monkeypatch, share: float) -> None:
    path = write_video(tmp_path / "sick.mp4", moving_frames(200), container_options={"movflags": "faststart"})
    record = VideoRecord("v0", path, "train", 0, "c")
    failing_reads("sick.mp4", int(path.stat().st_size * share))
    decoders = DecodeAhead(1)
    with pytest.raises(SourceError, match=r"sick\.mp4: cannot be read on .*Input/output error"):
        list(decoders.events([record], find_witnesses([str(path)])))
    decoders.close()
    # Once only, the disk then being well again: the video comes whole.
    (tmp_path / "once").touch()
    monkeypatch.setenv("FAIL_ONCE", str(tmp_path / "once"))
    decoders = DecodeAhead(1)
    frames, ends, _ = collect(decoders, [record])
    decoders.close()
    assert not (tmp_path / "once").exists()
    assert ends["v0"].done.reason is None and ends["v0"].done.num_frames == 200
    assert frames["v0"] is not None and len(np.unique(frames["v0"].sum(axis=(1, 2, 3)))) > 1


def nodes_alive(cluster: "Cluster") -> int:
    return sum(node["Alive"] for node in cluster.global_state.node_table())


@pytest.fixture
def blind_node(cluster, bench: Bench) -> Iterator[subprocess.Popen[bytes]]:
    """Start a node of the cluster on which the videos' folder is empty."""
    empty = bench.workspace.root / "empty"
    empty.mkdir()
    videos = bench.records[0].path.parent
    if subprocess.run(["unshare", "-m", "mount", "--bind", empty, videos], capture_output=True, check=False).returncode:
        pytest.skip("mounting is not permitted")
    ray = Path(sys.executable).with_name("ray")
    command = 'mount --bind "$0" "$1" && exec "$2" start --address="$3" --num-cpus=1 --block'
    with subprocess.Popen(
        ["unshare", "-m", "sh", "-c", command, empty, videos, ray, cluster.address],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as node:
        # Nodes that start side by side on one machine take the same socket.
        wait_for(lambda: node.poll() is not None or nodes_alive(cluster) == 2)
        yield node
        node.send_signal(signal.SIGTERM)


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_node_that_does_not_see_the_videos_rests(cluster, bench: Bench, blind_node) -> None:
    good = [record for record in bench.records if record.video_id.startswith("good")]
    bench.records[:] = [dataclasses.replace(good[i % 6], video_id=f"v{i}", split="train") for i in range(16)]
    write_manifest(bench.workspace.manifest_path("mix"), bench.records)
    bench.teachers.human_path.write_text("0.3")
    cluster.add_node(num_cpus=1)
    assert nodes_alive(cluster) == 3
    run = start(bench, "--workers", "2", "--address", cluster.address)
    out, err = run.communicate(timeout=250)
    assert run.returncode == 0, err
    status = json.loads(out)
    assert status["ok"] == status["planned"] == 16
    assert "waits again: a worker on node" in err and "was read when the run began" in err
