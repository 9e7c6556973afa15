"""What is written is read back exactly, whatever the lengths, the portions and the order of reading."""

import contextlib
import hashlib
import os
from pathlib import Path

import h5py
import numpy as np
import pytest

from pipeline.errors import ShardError
from pipeline.shards import ShardWriter, VideoStatus, open_shard, verify_shard
from tests.pipeline.shards.made import (
    HEIGHT,
    WIDTH,
    append,
    assert_same,
    commit_shard,
    make_header,
    make_labels,
    pick,
)


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_random_videos_in_random_portions_come_back_exactly(tmp_path: Path, compression: str) -> None:
    generator = np.random.default_rng(1)
    lengths = [0, 1, 15, 16, 17, *generator.integers(0, 51, 20).tolist(), 200, 0]
    videos = {f"vidéo {number}": make_labels(generator, length) for number, length in enumerate(lengths)}
    path = tmp_path / "train-00000-of-00001.h5"
    with ShardWriter(path, make_header(), compression) as writer:
        for number, (video_id, labels) in enumerate(videos.items()):
            writer.begin_video(video_id)
            cuts = np.sort(generator.integers(0, len(labels.valid) + 1, 3)).tolist()
            for start, stop in zip([0, *cuts], [*cuts, len(labels.valid)], strict=True):
                append(writer, labels, start, stop)
            assert writer.end_video(VideoStatus(number % 2), seek_exact=number % 3 == 0) == len(labels.valid)
        summary = writer.commit()
    assert (summary.frames, summary.videos) == (sum(lengths), len(lengths))
    assert summary.shard_bytes == path.stat().st_size
    assert summary.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    with open_shard(path) as shard:
        assert shard.header == make_header()
        assert shard.video_ids == tuple(videos)
        for number, (video_id, labels) in enumerate(videos.items()):
            assert shard.num_frames(video_id) == len(labels.valid)
            assert shard.status(video_id) == number % 2
            assert shard.seek_exact(video_id) == (number % 3 == 0)
            assert_same(shard.read(video_id, range(len(labels.valid))), labels)


@pytest.mark.parametrize(("teachers", "missing"), [(("human",), {"scene_index", "scene_prob"}), (("scene",), {"mask"})])
def test_one_teacher_alone_has_its_own_data_sets_and_no_others(
    tmp_path: Path, teachers: tuple[str, ...], missing: set[str]
) -> None:
    both = commit_shard(tmp_path / "train-00000-of-00002.h5", [70, 20])
    made = commit_shard(tmp_path / "train-00001-of-00002.h5", [70, 20], teachers=teachers)
    assert verify_shard(made.receipt_path) == []
    with open_shard(made.path) as shard:
        assert shard.teachers == teachers and shard.header == make_header(teachers=teachers)
        assert_same(shard.read("v0", range(70)), made.videos["v0"])
    with h5py.File(made.path) as alone, h5py.File(both.path) as joint:
        assert set(joint) - set(alone) == missing
        assert all(np.array_equal(alone[name][:], joint[name][:]) for name in alone)


def test_any_order_and_repeats(tmp_path: Path) -> None:
    made = commit_shard(tmp_path / "train-00000-of-00001.h5", [40, 3000, 20])
    with open_shard(made.path) as shard:
        for indices in ([7], [2999, 0, 1500, 0], [16, 15, 17, 16], []):
            found = shard.read("v1", indices)
            assert_same(found, pick(made.videos["v1"], indices))
        everything = np.random.default_rng(0).permutation(3000)
        assert_same(shard.read("v1", everything), pick(made.videos["v1"], everything))


@pytest.mark.parametrize("indices", [[40], [-1], [0, 10**9]])
def test_an_index_out_of_range_names_the_video(tmp_path: Path, indices: list[int]) -> None:
    made = commit_shard(tmp_path / "train-00000-of-00001.h5", [40, 40])
    with open_shard(made.path) as shard:
        with pytest.raises(IndexError, match=r"video v0: frames .* has 0\.\.39"):
            shard.read("v0", indices)
        with pytest.raises(ValueError, match="nowhere is not in shard"):
            shard.read("nowhere", [0])
        with pytest.raises(ValueError, match="whole numbers"):
            shard.read("v0", [0.5])  # type: ignore[list-item]


def test_the_file_is_the_documented_one(tmp_path: Path) -> None:
    """A program that knows HDF5 and the documentation, but not this project, reads the shard."""
    made = commit_shard(tmp_path / "val-00003-of-00010.h5", [5, 20, 0])
    with h5py.File(made.path) as file:
        assert [raw.decode() for raw in file["video_id"][:]] == ["v0", "v1", "v2"]
        assert file["video_id"].asstr()[1] == "v1"
        assert file["offset"][:].tolist() == [0, 5, 25, 25]
        assert file["status"][:].tolist() == [0, 0, 1]
        assert file["seek_exact"][:].tolist() == [1, 0, 1]
        assert file["mask"].chunks == (16, HEIGHT * WIDTH // 8)
        assert all(file[name].fletcher32 for name in file)
        masks = np.unpackbits(file["mask"][5:25], axis=1).reshape(20, HEIGHT, WIDTH)
        np.testing.assert_array_equal(masks, made.videos["v1"].masks)
        assert {
            name: file[name].dtype.str for name in ("offset", "valid", "frame_hash", "scene_index", "scene_prob")
        } == {
            "offset": "<i8",
            "valid": "|u1",
            "frame_hash": "<u8",
            "scene_index": "<u2",
            "scene_prob": "<f2",
        }
        assert file.attrs["split"] == "val"
        assert file.attrs["fingerprint"] == "f" * 64


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    lengths = [30, 0, 100, 7]
    one = commit_shard(tmp_path / "train-00000-of-00002.h5", lengths)
    two = commit_shard(tmp_path / "train-00001-of-00002.h5", lengths)
    assert one.path.read_bytes() == two.path.read_bytes()


def test_a_shard_of_no_videos(tmp_path: Path) -> None:
    """Every video of a shard may be quarantined."""
    made = commit_shard(tmp_path / "train-00000-of-00001.h5", [])
    with open_shard(made.path) as shard:
        assert shard.video_ids == ()


def test_a_file_that_is_no_shard(tmp_path: Path) -> None:
    (tmp_path / "text.h5").write_text("not a shard")
    with pytest.raises(ShardError, match=r"cannot be opened.*verify --repair"):
        open_shard(tmp_path / "text.h5")
    with pytest.raises(ShardError, match="does not exist"):
        open_shard(tmp_path / "absent.h5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = 1
    with pytest.raises(ShardError, match="damaged"):
        open_shard(tmp_path / "other.h5")


def test_a_shard_may_be_open_twice_and_is_closed_for_good(tmp_path: Path) -> None:
    made = commit_shard(tmp_path / "train-00000-of-00001.h5", [3, 20])
    with h5py.File(made.path, locking=False) as file, open_shard(made.path) as first, open_shard(made.path) as second:
        assert_same(first.read("v1", range(20)), second.read("v1", range(20)))
        assert file["mask"].shape[0] == 23
    for descriptor in range(1024):
        with contextlib.suppress(OSError):
            assert not os.path.samestat(os.fstat(descriptor), made.path.stat())
    with pytest.raises(ValueError, match="is closed; open it again"):
        first.read("v1", [0])
