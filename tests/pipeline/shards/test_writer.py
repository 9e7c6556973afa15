"""A video that fails half-way leaves nothing; a wrong call is refused; memory does not grow with a video."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pipeline.shards import ShardHeader, ShardWriter, open_shard
from tests.pipeline.shards.made import append, assert_same, make_header, make_labels, of_teachers


@pytest.mark.parametrize("before", [0, 5, 16, 70])
@pytest.mark.parametrize("aborted", [0, 3, 64, 500])
def test_an_aborted_video_leaves_nothing(tmp_path: Path, before: int, aborted: int) -> None:
    generator = np.random.default_rng(before + aborted)
    first, failing, last = (make_labels(generator, frames) for frames in (before, aborted, 33))

    def write(path: Path, times: int) -> bytes:
        with ShardWriter(path, make_header()) as writer:
            writer.begin_video("first")
            append(writer, first)
            writer.end_video(seek_exact=True)
            for _ in range(times):
                writer.begin_video("failing")
                for start in range(0, aborted, 50):
                    append(writer, failing, start, start + 50)
                writer.abort_video()
            writer.begin_video("last")
            append(writer, last)
            writer.end_video(seek_exact=True)
            assert writer.commit().frames == before + 33
        return path.read_bytes()

    path = tmp_path / "train-00000-of-00001.h5"
    # Not even a hole.
    assert write(path, times=3) == write(tmp_path / "unharmed.h5", times=0)
    assert len(list(tmp_path.iterdir())) == 2
    with open_shard(path) as shard:
        assert shard.video_ids == ("first", "last")
        assert_same(shard.read("first", range(before)), first)
        assert_same(shard.read("last", range(33)), last)


def test_a_writer_that_is_left_without_commit_leaves_no_file(tmp_path: Path) -> None:
    with ShardWriter(tmp_path / "a.h5", make_header()) as writer:
        writer.begin_video("v")
        append(writer, make_labels(np.random.default_rng(0), 200))
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="closed"):
        writer.commit()


def test_wrong_calls_are_refused(tmp_path: Path) -> None:
    labels = make_labels(np.random.default_rng(0), 4)
    with ShardWriter(tmp_path / "a.h5", make_header()) as writer:
        with pytest.raises(ValueError, match="no video is open"):
            append(writer, labels)
        writer.begin_video("v")
        with pytest.raises(ValueError, match="while v is open"):
            writer.begin_video("w")
        with pytest.raises(ValueError, match="while video v is open"):
            writer.commit()
        writer.end_video(seek_exact=True)
        with pytest.raises(ValueError, match="already in this shard"):
            writer.begin_video("v")
    with pytest.raises(ValueError, match="'gzip' or 'zstd'"):
        ShardWriter(tmp_path / "b.h5", make_header(), "lzf")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("masks", np.zeros((4, 24, 33), np.bool_), "masks must be"),
        ("masks", np.zeros((4, 24, 34), np.uint8), "masks must be"),
        ("scene_indices", np.full((4, 5), 365), r"0\.\.364"),
        ("scene_indices", np.full((4, 5), -1), r"0\.\.364"),
        ("scene_probs", np.full((4, 5), np.nan, np.float32), r"in \[0, 1\]"),
        ("scene_probs", np.full((4, 5), 1.5, np.float32), r"in \[0, 1\]"),
        ("scene_probs", np.tile(np.linspace(0, 1, 5, dtype=np.float32), (4, 1)), "descending"),
        ("frame_hashes", np.zeros(3, np.uint64), "frame_hashes must be"),
        ("valid", np.ones(4, np.float32), "valid must be"),
    ],
)
def test_wrong_labels_are_refused_and_nothing_of_them_kept(
    tmp_path: Path, field: str, value: np.ndarray, message: str
) -> None:
    labels = make_labels(np.random.default_rng(0), 4)
    with ShardWriter(tmp_path / "a.h5", make_header()) as writer:
        writer.begin_video("v")
        with pytest.raises(ValueError, match=message):
            append(writer, labels._replace(**{field: value}))
        append(writer, labels)
        assert writer.end_video(seek_exact=False) == 4


@pytest.mark.parametrize("teachers", [("human",), ("scene",)])
def test_labels_of_a_teacher_that_the_shard_has_not_are_refused(tmp_path: Path, teachers: tuple[str, ...]) -> None:
    labels = make_labels(np.random.default_rng(0), 4)
    with ShardWriter(tmp_path / "a.h5", make_header(teachers=teachers)) as writer:
        writer.begin_video("v")
        with pytest.raises(ValueError, match="given, against the shard's header"):
            append(writer, labels)
        with pytest.raises(ValueError, match="missing, against the shard's header"):
            append(writer, labels._replace(masks=None, scene_indices=None, scene_probs=None))
        append(writer, of_teachers(labels, teachers))
        assert writer.end_video(seek_exact=True) == 4


def test_two_writers_of_one_shard_do_not_meet(tmp_path: Path) -> None:
    """A worker that outlives its killed driver for a moment, and its successor: either end leaves the same shard."""
    labels = make_labels(np.random.default_rng(0), 20)
    contents = []
    with ShardWriter(tmp_path / "a.h5", make_header()) as old, ShardWriter(tmp_path / "a.h5", make_header()) as new:
        for writer in (old, new):
            writer.begin_video("v")
            append(writer, labels)
            writer.end_video(seek_exact=True)
        for writer in (new, old):
            writer.commit()
            contents.append((tmp_path / "a.h5").read_bytes())
    assert contents[0] == contents[1] and [path.name for path in tmp_path.iterdir()] == ["a.h5"]


def test_a_frame_size_that_fills_no_whole_bytes() -> None:
    with pytest.raises(ValueError, match="multiple of 8"):
        ShardHeader(**{**make_header().__dict__, "height": 5, "width": 5})


# 200,000 frames after the first 10,000; the packed masks are held, as a leak would, where the last argument says so.
LONG_VIDEO = """
import sys
from pathlib import Path
import numpy as np
from pipeline.shards import ShardWriter
from tests.pipeline.shards.made import append, make_header, make_labels
from tests.processes import own_peak_bytes

# Few, so that making them leaves no room for what is measured.
labels = make_labels(np.random.default_rng(0), 500)
held = []
with ShardWriter(Path(sys.argv[1]), make_header()) as writer:
    writer.begin_video("long")
    for portion in range(420):
        append(writer, labels)
        if sys.argv[2] == "held":
            held.append(np.packbits(labels.masks))
        if portion == 19:
            start_bytes = own_peak_bytes()
    print(own_peak_bytes() - start_bytes)
"""


def memory_growth(path: Path, *arguments: str) -> int:
    """Write a long video in a process of its own; return the bytes by which its peak memory grew on the way."""
    command = [sys.executable, "-c", LONG_VIDEO, str(path), *arguments]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def test_memory_does_not_hold_a_long_video(tmp_path: Path) -> None:
    """Packed masks are 102 bytes a frame, 20.4 MB; only the columns, 29 bytes a frame, may stay."""
    grown = memory_growth(tmp_path / "a.h5", "written")
    assert grown < 13_000_000
    # Masks that were held would show.
    assert memory_growth(tmp_path / "b.h5", "held") > grown + 13_000_000
