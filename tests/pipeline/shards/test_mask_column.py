"""Masks that are compressed in threads: the same bytes whatever the threads do, and such as HDF5 makes itself."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from pipeline.shards import ShardWriter
from pipeline.shards.columns import pack_masks
from pipeline.shards.mask_column import fletcher32
from pipeline.shards.schema import MASK_CHUNK_FRAMES, Compression
from tests.pipeline.shards.made import make_header, make_labels


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


def test_a_flipped_bit_in_any_chunk_is_found(tmp_path: Path) -> None:
    content, masks = write(tmp_path / "whole.h5", "gzip")
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
