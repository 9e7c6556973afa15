"""Rows of masks are read as HDF5 stored them, and only those that are stored as shards have them."""

from pathlib import Path

import h5py
import hdf5plugin
import numpy as np
import pytest

from pipeline.shards.mask_chunks import MaskChunks
from pipeline.shards.schema import MASK_CHUNK_FRAMES, Compression

FILTERS = {"gzip": {"compression": "gzip"}, "zstd": dict(hdf5plugin.Zstd())}
NUM_ROWS, MASK_BYTES = 5 * MASK_CHUNK_FRAMES + 3, 640


def write_masks(path: Path, *, highest: int = 3, **storage: object) -> np.ndarray:
    """Write a data set of random masks, bytes up to `highest`, as HDF5 itself stores it."""
    masks = np.random.default_rng(0).integers(0, highest, (NUM_ROWS, MASK_BYTES), np.uint8, endpoint=True)
    with h5py.File(path, "w") as file:
        file.create_dataset("mask", data=masks, **storage)
    return masks


@pytest.mark.parametrize("highest", [3, 255])  # the latter cannot be compressed
@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_rows_of_any_chunks_are_those_that_hdf5_stored(tmp_path: Path, compression: Compression, highest: int) -> None:
    path = tmp_path / "masks.h5"
    chunks = (MASK_CHUNK_FRAMES, MASK_BYTES)
    masks = write_masks(path, highest=highest, chunks=chunks, fletcher32=True, **FILTERS[compression])
    generator = np.random.default_rng(1)
    with h5py.File(path) as file:
        reader = MaskChunks(file["mask"].id)
        for size in (0, 1, 3, 20, NUM_ROWS):
            rows = np.sort(generator.choice(NUM_ROWS, size, replace=False))
            assert np.array_equal(reader.read_rows(rows), masks[rows])
        assert np.array_equal(np.concatenate(list(reader.read_all())), masks)
        with pytest.raises(ValueError, match=f"row {NUM_ROWS} of a data set of {NUM_ROWS} rows"):
            reader.read_rows(np.array([2, NUM_ROWS]))


@pytest.mark.parametrize(
    ("storage", "message"),
    [
        ({"chunks": (MASK_CHUNK_FRAMES, MASK_BYTES), "compression": "gzip"}, r"filters \[1\]"),
        ({"chunks": (MASK_CHUNK_FRAMES, MASK_BYTES), "compression": "lzf", "fletcher32": True}, "filters"),
        ({"chunks": (8, MASK_BYTES), "compression": "gzip", "fletcher32": True}, r"chunks of \(8, 640\)"),
    ],
)
def test_masks_that_are_stored_otherwise_are_refused(tmp_path: Path, storage: dict, message: str) -> None:
    write_masks(tmp_path / "masks.h5", **storage)
    with h5py.File(tmp_path / "masks.h5") as file, pytest.raises(ValueError, match=message):
        MaskChunks(file["mask"].id)
