"""The index finds every labelled video of a folder, in this process, in forked and in spawned ones."""

import cProfile
import json
import multiprocessing
import pickle
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from pipeline.errors import ShardError
from pipeline.shards import LabelIndex, VideoStatus
from tests.pipeline.shards.made import MadeShard, assert_same, commit_shard


@pytest.fixture
def shards(tmp_path: Path) -> list[MadeShard]:
    return [
        commit_shard(tmp_path / f"train-{i:05d}-of-00003.h5", [10, 20, 30], seed=i, prefix=f"s{i}v") for i in range(3)
    ]


def test_every_labelled_video_is_found(tmp_path: Path, shards: list[MadeShard]) -> None:
    index = LabelIndex(tmp_path, max_open_shards=2)
    assert len(index) == 9
    assert "s0v-broken" not in index
    assert index.status("s1v2") == VideoStatus.PARTIAL
    assert (index.seek_exact("s1v0"), index.seek_exact("s1v1")) == (True, False)
    for _ in range(2):
        for made in shards:
            for video_id, labels in made.videos.items():
                assert index.num_frames(video_id) == len(labels.valid)
                assert_same(index.read(video_id, range(len(labels.valid))), labels)
    index.close()
    with pytest.raises(ValueError, match="no labels"):
        index.read("s0v-broken", [0])


def test_a_shard_without_a_receipt_is_not_there(tmp_path: Path, shards: list[MadeShard]) -> None:
    shards[1].receipt_path.unlink()
    assert set(LabelIndex(tmp_path)) == set(shards[0].videos) | set(shards[2].videos)
    assert len(LabelIndex(tmp_path / "nowhere")) == 0


def test_other_processes_open_their_own_files(tmp_path: Path, shards: list[MadeShard]) -> None:
    index = LabelIndex(tmp_path)
    index.read("s0v0", [0])
    assert_same(pickle.loads(pickle.dumps(index)).read("s0v1", range(20)), shards[0].videos["s0v1"])
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        for labels in pool.map(index.read, ["s0v1"] * 4, [list(range(20))] * 4):
            assert_same(labels, shards[0].videos["s0v1"])


def test_a_fork_opens_its_own_files(tmp_path: Path, shards: list[MadeShard]) -> None:
    index = LabelIndex(tmp_path)
    index.read("s0v0", [0])
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=lambda: queue.put(index.read("s0v1", range(20))))
    child.start()
    assert_same(queue.get(timeout=30), shards[0].videos["s0v1"])
    child.join()
    assert_same(index.read("s0v1", range(20)), shards[0].videos["s0v1"])


def test_labels_of_two_runs_are_refused(tmp_path: Path, shards: list[MadeShard]) -> None:
    text = shards[1].receipt_path.read_text()
    shards[1].receipt_path.write_text(text.replace("f" * 64, "e" * 64))
    with pytest.raises(ShardError, match="two different runs"):
        LabelIndex(tmp_path)
    shards[1].receipt_path.write_text(text.replace("s1v0", "s0v0"))
    with pytest.raises(ShardError, match="video s0v0: labelled in"):
        LabelIndex(tmp_path)


def test_each_receipt_is_read_once_and_a_video_costs_a_few_calls(tmp_path: Path, shards: list[MadeShard]) -> None:
    """Counted, not timed."""
    receipt = json.loads(shards[0].receipt_path.read_text())
    folder = tmp_path / "large"
    folder.mkdir()
    for shard in range(50):
        outcomes = [{**receipt["outcomes"][0], "video_id": f"{shard}/{video}"} for video in range(64)]
        (folder / f"train-{shard:05d}-of-00050.json").write_text(json.dumps({**receipt, "outcomes": outcomes}))
    profile = cProfile.Profile()
    assert len(profile.runcall(LabelIndex, folder)) == 50 * 64
    calls = Counter({entry.code: entry.callcount for entry in profile.getstats()})
    assert calls[json.loads.__code__] == 50 and calls.total() < 6 * 50 * 64
