"""Masks that are compressed in threads: the same bytes whatever the threads do, and such as HDF5 makes itself."""

import dataclasses
import threading
from pathlib import Path

import h5py
import numpy as np
import pytest

from pipeline.errors import ShardError, WorkspaceError
from pipeline.label.blame import JournalHistory
from pipeline.label.journal import ShardJournal, read_history
from pipeline.shards import ShardWriter, open_shard
from pipeline.shards.chunks import fletcher32
from pipeline.shards.columns import pack_masks
from pipeline.shards.readback import ExpectedContent, find_content_faults
from pipeline.shards.schema import MASK_CHUNK_FRAMES, Compression
from tests.pipeline.shards.made import append, assert_same, fail_to_write, make_header, make_labels


def write(path: Path, compression: Compression, *, threads: int = 1, packed: bool = False) -> tuple[bytes, np.ndarray]:
    """Write some videos in random portions, one of them dropped half-way; return the file and all masks in it."""
    generator = np.random.default_rng(3)
    kept = []
    with ShardWriter(path, make_header(), compression, compression_threads=threads) as writer:
        for number, frames in enumerate((3, 700, 16, 90, 33)):
            labels = make_labels(generator, frames)
            assert labels.masks is not None
            writer.begin_video(f"v{number}")
            for rows in np.array_split(np.arange(frames), 7):
                masks = labels.masks[rows]
                writer.append(
                    pack_masks(masks) if packed else masks,
                    labels.scene_indices[rows],
                    labels.scene_probs[rows],
                    labels.frame_hashes[rows],
                    labels.valid[rows],
                )
            if number == 1:
                writer.abort_video()
            else:
                writer.end_video(seek_exact=True)
                kept.append(pack_masks(labels.masks))
        writer.commit()
    return path.read_bytes(), np.concatenate(kept)


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_threads_and_packed_masks_change_no_byte(tmp_path: Path, compression: Compression) -> None:
    first, masks = write(tmp_path / "1.h5", compression)
    assert write(tmp_path / "2.h5", compression, threads=2)[0] == first
    assert write(tmp_path / "5.h5", compression, threads=5)[0] == first
    assert write(tmp_path / "p.h5", compression, packed=True)[0] == first
    with h5py.File(tmp_path / "1.h5") as file:
        assert file["mask"].chunks == (MASK_CHUNK_FRAMES, masks.shape[1])
        assert np.array_equal(file["mask"][:], masks)


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_a_flipped_bit_in_any_chunk_is_found(tmp_path: Path, compression: Compression) -> None:
    content, masks = write(tmp_path / "whole.h5", compression)
    with h5py.File(tmp_path / "whole.h5") as file:
        chunks = [file["mask"].id.get_chunk_info(i) for i in range(file["mask"].id.get_num_chunks())]
    assert len(chunks) == -(-len(masks) // MASK_CHUNK_FRAMES)
    for chunk in chunks:
        hurt = bytearray(content)
        hurt[chunk.byte_offset + chunk.size // 2] ^= 1
        path = tmp_path / "hurt.h5"
        path.write_bytes(hurt)
        with h5py.File(path) as file, pytest.raises(OSError):
            file["mask"][chunk.chunk_offset[0]]
        with open_shard(path) as shard, pytest.raises(ShardError, match=r"damaged .*wrong checksum of mask from row"):
            for video_id in shard.video_ids:
                shard.read(video_id, range(shard.num_frames(video_id)))


def test_masks_that_hdf5_compressed_itself_are_read(tmp_path: Path) -> None:
    """As shards have them that were made before masks were compressed in threads."""
    content, masks = write(tmp_path / "whole.h5", "gzip")
    old_path = tmp_path / "old.h5"
    old_path.write_bytes(content)
    with h5py.File(old_path, "r+") as file:
        del file["mask"]
        chunks = (MASK_CHUNK_FRAMES, masks.shape[1])
        file.create_dataset("mask", data=masks, chunks=chunks, compression="gzip", compression_opts=4, fletcher32=True)
    with open_shard(tmp_path / "whole.h5") as new, open_shard(old_path) as old:
        expected = ExpectedContent(
            attributes=dataclasses.asdict(new.header),
            video_ids=new.video_ids,
            frames=tuple(new.num_frames(video_id) for video_id in new.video_ids),
            statuses=tuple(new.status(video_id) for video_id in new.video_ids),
        )
        for video_id in new.video_ids:
            frames = range(new.num_frames(video_id))
            assert_same(old.read(video_id, frames), new.read(video_id, frames))
    assert find_content_faults(old_path, expected) == []


def test_a_machine_without_threads_is_no_videos_fault(tmp_path: Path) -> None:
    labels = make_labels(np.random.default_rng(0), MASK_CHUNK_FRAMES)
    # More than there are addresses: no thread can start.
    usual = threading.stack_size(2**47)
    try:
        with (
            pytest.raises(WorkspaceError, match=r"masks cannot be compressed .*thread"),
            ShardJournal(tmp_path / "a.journal", "run") as journal,
            ShardWriter(tmp_path / "a.h5", make_header()) as writer,
        ):
            journal.note(["v"])
            writer.begin_video("v")
            append(writer, labels)
    finally:
        threading.stack_size(usual)
    assert read_history(tmp_path / "a.journal", "run") == JournalHistory(ended=True)
    assert [path.name for path in tmp_path.iterdir()] == ["a.journal"]


# A process of its own: one that has run other tests may hold enough freed memory to need no more.
WITHOUT_MEMORY = """
import dataclasses, resource, sys
from pathlib import Path
import numpy as np
from pipeline.errors import WorkspaceError
from pipeline.shards import ShardWriter
from tests.pipeline.shards.made import make_header

num_frames = 300
header = dataclasses.replace(make_header(teachers=("human",)), height=2560, width=3400)
# One mask that counts as many: 326 MB where they are laid side by side.
masks = np.broadcast_to(np.zeros((1, header.mask_bytes), np.uint8), (num_frames, header.mask_bytes))
usual = resource.getrlimit(resource.RLIMIT_AS)
try:
    with ShardWriter(Path(sys.argv[1]), header) as writer:
        writer.begin_video("v")
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + 50_000_000, usual[1]))
        try:
            writer.append(masks, None, None, np.zeros(num_frames, np.uint64), np.ones(num_frames, bool))
        finally:
            resource.setrlimit(resource.RLIMIT_AS, usual)
except WorkspaceError as error:
    print(error)
"""


def test_a_machine_without_memory_is_no_videos_fault(tmp_path: Path) -> None:
    assert "a.h5: no memory to write it" in fail_to_write(WITHOUT_MEMORY, tmp_path / "a.h5")


def test_the_checksum_is_hdf5s_own(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    contents = [generator.bytes(size) for size in (1, 2, 3, 718, 719, 720, 721, 5001, 40_000)]
    # Sums that leave no remainder, and none at all.
    contents += [b"\0" * 7, b"\xff" * 8, b"\xff" * 7, b"\xff\xff\0\0", b"\0\1\xff\xfe"]
    with h5py.File(tmp_path / "checksums.h5", "w") as file:
        for number, content in enumerate(contents):
            data = np.frombuffer(content, np.uint8)
            dataset = file.create_dataset(str(number), data=data, chunks=data.shape, fletcher32=True)
            file.flush()
            _, stored = dataset.id.read_direct_chunk((0,))
            assert stored == content + fletcher32(content), content[:8]
