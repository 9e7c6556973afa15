"""Shards of optical flow: encoded images of any length, written as one checksummed stream."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import ShardError
from pipeline.shards import ShardWriter, open_shard
from pipeline.shards.schema import ShardHeader


def flow_header(**changes: str | None) -> ShardHeader:
    """Return the header of a shard of flow, with changes."""
    names: dict[str, str | None] = {"human_teacher": None, "scene_teacher": None, "flow": "dis", **changes}
    return ShardHeader(
        dataset="toy", split="train", height=256, width=340, fingerprint="f", frame_resize="r", decoder="d",
        created_by="tests", **names,
    )  # type: ignore[arg-type]  # fmt: skip


def make_flows(num_frames: int, size: int, seed: int) -> list[bytes]:
    """Make streams of about `size` bytes that begin and end as JPEG streams do."""
    generator = np.random.default_rng(seed)
    return [b"\xff\xd8" + generator.bytes(size + int(generator.integers(50))) + b"\xff\xd9" for _ in range(num_frames)]


def append(writer: ShardWriter, flows: Sequence[bytes]) -> None:
    hashes, valid = np.full(len(flows), 7, np.uint64), np.ones(len(flows), np.bool_)
    writer.append(None, None, None, hashes, valid, flows)


def write(path: Path, videos: dict[str, list[bytes]], group: int, aborted: Sequence[bytes] = ()) -> None:
    """Write videos, some rows at a time; before each, one that is dropped again."""
    with ShardWriter(path, flow_header()) as writer:
        for video_id, flows in videos.items():
            if aborted:
                writer.begin_video("dropped")
                append(writer, aborted)
                writer.abort_video()
            writer.begin_video(video_id)
            for start in range(0, len(flows), group):
                append(writer, flows[start : start + group])
            writer.end_video(seek_exact=True)
        writer.commit()


def test_flows_come_back_in_any_order_and_a_dropped_video_leaves_nothing(tmp_path: Path) -> None:
    videos = {"a": make_flows(7, 300, 0), "b": make_flows(9, 200_000, 1), "none": [], "c": make_flows(3, 80, 2)}
    write(tmp_path / "a.h5", videos, 4, aborted=make_flows(60, 150_000, 3))
    write(tmp_path / "unharmed.h5", videos, 4)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "unharmed.h5").read_bytes()
    with open_shard(tmp_path / "a.h5") as shard:
        assert shard.video_ids == ("a", "b", "none", "c") and shard.has_flow and shard.teachers == ()
        for video_id, flows in videos.items():
            assert shard.read(video_id, range(len(flows))).flows == tuple(flows)
        some = shard.read("b", [8, 0, 8, 3])
        assert some.flows == tuple(videos["b"][place] for place in (8, 0, 8, 3))
        assert some.masks is None and some.scene_indices is None


def test_a_files_bytes_do_not_depend_on_how_its_rows_came(tmp_path: Path) -> None:
    videos = {"a": make_flows(30, 90_000, 0), "b": make_flows(5, 100, 1)}
    for group in (1, 7, 100):
        write(tmp_path / f"{group}.h5", videos, group)
    contents = {(tmp_path / f"{group}.h5").read_bytes() for group in (1, 7, 100)}
    assert len(contents) == 1


def test_streams_that_are_no_jpeg_are_found_before_the_shard_is_committed(tmp_path: Path) -> None:
    flows = make_flows(5, 100, 0)
    flows[3] = flows[3][:-1] + b"x"
    with pytest.raises(ShardError, match="something else than JPEG streams"):
        write(tmp_path / "a.h5", {"a": flows}, 5)
    assert not list(tmp_path.iterdir())


def test_rows_must_bring_the_flow_that_the_header_names(tmp_path: Path) -> None:
    with ShardWriter(tmp_path / "a.h5", flow_header()) as writer:
        writer.begin_video("a")
        with pytest.raises(ValueError, match="flows missing"):
            writer.append(None, None, None, np.zeros(1, np.uint64), np.ones(1, np.bool_))
        with pytest.raises(ValueError, match="or empty ones"):
            append(writer, [b""])
    with pytest.raises(ValueError, match="not both"):
        flow_header(scene_teacher="s")
    with pytest.raises(ValueError, match="or flow"):
        flow_header(flow=None)
