"""Rows are read as HDF5 stored them, and only where they are stored as shards store them."""

from pathlib import Path

import h5py
import hdf5plugin
import numpy as np
import pytest

from pipeline.shards.chunks import ChunkReader

NUM_ROWS, CHUNK_ROWS = 83, 16
STORAGE = {
    "gzip": {"compression": "gzip"},
    "zstd": dict(hdf5plugin.Zstd()),
    "shuffled gzip": {"compression": "gzip", "shuffle": True},
    "checksum alone": {},
}


def write_rows(path: Path, row_shape: tuple[int, ...], kind: str, *, highest: int = 3, **storage: object) -> np.ndarray:
    """Write a data set of random numbers up to `highest`, as HDF5 itself stores it."""
    values = np.random.default_rng(0).integers(0, highest, (NUM_ROWS, *row_shape), endpoint=True).astype(kind)
    with h5py.File(path, "w", libver=("v110", "v110")) as file:
        file.create_dataset("rows", data=values, chunks=(CHUNK_ROWS, *row_shape), **storage)
    return values


@pytest.mark.parametrize("highest", [3, 255])  # bytes up to the latter cannot be compressed: HDF5 leaves it out
@pytest.mark.parametrize(("row_shape", "kind"), [((640,), "u1"), ((), "u8"), ((5,), "f2"), ((2, 3), "u4")])
@pytest.mark.parametrize("storage", STORAGE)
def test_rows_of_any_chunks_are_those_that_hdf5_stored(
    tmp_path: Path, storage: str, row_shape: tuple[int, ...], kind: str, highest: int
) -> None:
    path = tmp_path / "rows.h5"
    values = write_rows(path, row_shape, kind, highest=highest, fletcher32=True, **STORAGE[storage])
    generator = np.random.default_rng(1)
    with h5py.File(path) as file:
        reader = ChunkReader(file["rows"].id)
        for size in (0, 1, 3, 20, NUM_ROWS):
            rows = np.sort(generator.choice(NUM_ROWS, size, replace=False))
            found = reader.read_rows(rows)
            assert found.dtype == values.dtype
            assert np.array_equal(found, values[rows])
        for start, stop in ((0, 0), (0, NUM_ROWS), (15, 16), (16, 48), (5, 70), (80, NUM_ROWS)):
            assert np.array_equal(reader.read_slice(start, stop), values[start:stop])
        assert np.array_equal(np.concatenate(list(reader.read_all())), values)


def test_rows_beyond_the_last_are_refused(tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.h5", (5,), "u2", fletcher32=True)
    with h5py.File(tmp_path / "rows.h5") as file:
        reader = ChunkReader(file["rows"].id)
        with pytest.raises(ValueError, match=f"rows: row {NUM_ROWS} asked for, there are {NUM_ROWS}"):
            reader.read_rows(np.array([2, NUM_ROWS]))
        with pytest.raises(ValueError, match=f"rows: row {NUM_ROWS} asked for, there are {NUM_ROWS}"):
            reader.read_slice(0, NUM_ROWS + 1)


@pytest.mark.parametrize("storage", STORAGE)
def test_every_flipped_bit_of_a_chunk_is_found(tmp_path: Path, storage: str) -> None:
    path = tmp_path / "rows.h5"
    write_rows(path, (5,), "u2", fletcher32=True, **STORAGE[storage])
    with h5py.File(path) as file:
        chunk = file["rows"].id.get_chunk_info(0)
    whole = path.read_bytes()
    for bit in range(chunk.byte_offset * 8, (chunk.byte_offset + chunk.size) * 8):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        with h5py.File(path) as file, pytest.raises(ValueError, match="wrong checksum of rows from row 0"):
            ChunkReader(file["rows"].id).read_rows(np.array([3]))


@pytest.mark.parametrize(
    "storage", [{}, {"compression": "gzip"}, {"compression": "lzf", "fletcher32": True}], ids=["bare", "gzip", "lzf"]
)
def test_rows_that_are_stored_otherwise_are_refused(tmp_path: Path, storage: dict) -> None:
    write_rows(tmp_path / "rows.h5", (5,), "u2", **storage)
    with h5py.File(tmp_path / "rows.h5") as file, pytest.raises(ValueError, match="rows is stored by the filters"):
        ChunkReader(file["rows"].id)


def test_chunks_of_parts_of_rows_are_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "rows.h5", "w") as file:
        rows = file.create_dataset("rows", data=np.zeros((32, 8), "u1"), chunks=(16, 4), fletcher32=True)
        with pytest.raises(ValueError, match=r"rows is stored in chunks of \[4\], rows are \[8\]"):
            ChunkReader(rows.id)
