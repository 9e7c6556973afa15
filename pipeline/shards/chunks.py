"""Chunks of a shard's data sets, as HDF5's own filters write and read them.

Compressed and checked here, by libraries that are quicker than HDF5's filters and let Python's lock go.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any

import deflate
import h5py
import numpy as np
import numpy.typing as npt
import zstandard

from pipeline.shards.schema import Compression

_ZSTD_FILTER_ID = 32015
# libdeflate at this level makes masks a seventh smaller than zlib at HDF5's usual 4, in half its time. Level 6 would
# make them a third smaller, in 0.7 of it.
_GZIP_LEVEL = 4
ZSTD_LEVEL = 3
_CHECKSUM_BYTES = 4

# The ways in which a shard's data sets are stored, in HDF5's numbers: what is done to a chunk, first to last.
_FILTERS = {
    (h5py.h5z.FILTER_FLETCHER32,): ("fletcher32",),
    (h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_FLETCHER32): ("gzip", "fletcher32"),
    (_ZSTD_FILTER_ID, h5py.h5z.FILTER_FLETCHER32): ("zstd", "fletcher32"),
    (h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_FLETCHER32): ("shuffle", "gzip", "fletcher32"),
}


def compressor(compression: Compression) -> Callable[[bytes], bytes]:
    """Return what makes a chunk's stored bytes of its content, checksum included."""

    def gzip(content: bytes) -> bytes:
        return _sealed(bytes(deflate.zlib_compress(content, _GZIP_LEVEL)))

    def zstd(content: bytes) -> bytes:
        # A compressor for each call: one is for one thread.
        return _sealed(zstandard.ZstdCompressor(level=ZSTD_LEVEL).compress(content))

    return gzip if compression == "gzip" else zstd


def fletcher32(content: bytes) -> bytes:
    """Return HDF5's checksum of some bytes, as its filter appends it: big-endian words, the sums modulo 65,535."""
    words = np.frombuffer(content + b"\0" * (len(content) % 2), ">u2").astype(np.int64)
    first = int(words.sum())
    second = int(words @ np.arange(len(words), 0, -1))
    # Folding the carries back in, as HDF5 does, leaves 65,535 where the remainder of a sum above 0 is 0.
    low, high = ((total - 1) % 0xFFFF + 1 if total else 0 for total in (first, second))
    return (high << 16 | low).to_bytes(_CHECKSUM_BYTES, "little")


class ChunkReader:
    """Reads rows of a data set chunk by chunk: a fraction of the time of HDF5's filters, where few rows are wanted.

    Every chunk's checksum is compared when it is read. Reading raises ValueError where what is stored is damaged or
    ends too soon; h5py raises OSError and others where the file itself is.

    Attributes:
        num_rows: of the data set.

    Args:
        dataset: open, in chunks of whole rows that are checksummed last, after shuffle, gzip or zstd or none of them.

    Raises:
        ValueError: the data set is stored otherwise.
    """

    def __init__(self, dataset: h5py.h5d.DatasetID) -> None:
        self._dataset = dataset
        self.num_rows, *self._row_shape = dataset.shape
        self._dtype = dataset.dtype
        plist = dataset.get_create_plist()
        filters = tuple(plist.get_filter(place)[0] for place in range(plist.get_nfilters()))
        if filters not in _FILTERS:
            raise ValueError(f"{self._name()} is stored by the filters {filters}")
        self._filters = _FILTERS[filters]
        self._chunk_rows, *row_shape = plist.get_chunk()
        if row_shape != self._row_shape:
            raise ValueError(f"{self._name()} is stored in chunks of {row_shape}, rows are {self._row_shape}")
        self._chunk_bytes = self._dtype.itemsize * self._chunk_rows * math.prod(row_shape)

    def read_rows(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        """Read rows that are ascending: [n, ...]."""
        if not len(rows):
            return np.empty((0, *self._row_shape), self._dtype)
        self._check_stop(int(rows[-1]) + 1)
        chunks = rows // self._chunk_rows
        parts = []
        for chunk in dict.fromkeys(chunks.tolist()):
            start = chunk * self._chunk_rows
            parts.append(self._read_chunk(start)[rows[chunks == chunk] - start])
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def read_slice(self, start: int, stop: int) -> npt.NDArray[Any]:
        """Read rows start..stop - 1."""
        self._check_stop(stop)
        if start >= stop:
            return np.empty((0, *self._row_shape), self._dtype)
        first = start // self._chunk_rows * self._chunk_rows
        parts = [self._read_chunk(place) for place in range(first, stop, self._chunk_rows)]
        rows = parts[0] if len(parts) == 1 else np.concatenate(parts)
        return rows[start - first : stop - first]

    def read_all(self) -> Iterator[npt.NDArray[Any]]:
        """Read every chunk's rows, in order."""
        for start in range(0, self.num_rows, self._chunk_rows):
            yield self._read_chunk(start)[: self.num_rows - start]

    def _check_stop(self, stop: int) -> None:
        if stop > self.num_rows:
            raise ValueError(f"{self._name()}: row {stop - 1} asked for, there are {self.num_rows}")

    def _read_chunk(self, start: int) -> npt.NDArray[Any]:
        """Return the chunk that begins with a row; the last one is filled up."""
        skipped, content = self._dataset.read_direct_chunk((start, *[0] * len(self._row_shape)))
        for place in reversed(range(len(self._filters))):
            if skipped >> place & 1:  # HDF5 leaves out a compression that would not make a chunk smaller
                if self._filters[place] == "fletcher32":
                    raise ValueError(f"no checksum of {self._name()} from row {start}")
                continue
            content = self._undo(self._filters[place], content, start)
        if len(content) != self._chunk_bytes:
            raise ValueError(f"{self._name()} from row {start}: {len(content)} bytes, {self._chunk_bytes} expected")
        return np.frombuffer(content, self._dtype).reshape(self._chunk_rows, *self._row_shape)

    def _name(self) -> str:
        return str(h5py.h5i.get_name(self._dataset).decode().removeprefix("/"))

    def _undo(self, name: str, content: Any, start: int) -> Any:
        """Take back what one filter did to a chunk's bytes."""
        match name:
            case "fletcher32":
                sealed, content = content, content[:-_CHECKSUM_BYTES]
                if fletcher32(content) != sealed[-_CHECKSUM_BYTES:]:
                    raise ValueError(f"wrong checksum of {self._name()} from row {start}")
                return content
            case "gzip":
                return _inflate(content, self._chunk_bytes)
            case "zstd":
                return _decompress_zstd(content, self._chunk_bytes)
            case _:
                return _unshuffle(content, self._dtype.itemsize)


def _sealed(content: bytes) -> bytes:
    return content + fletcher32(content)


def _inflate(content: bytes, num_bytes: int) -> Any:
    try:
        return deflate.zlib_decompress(content, num_bytes)
    except deflate.DeflateError as error:
        raise ValueError(str(error)) from error


def _decompress_zstd(content: bytes, num_bytes: int) -> Any:
    try:
        return zstandard.ZstdDecompressor().decompress(content, max_output_size=num_bytes)
    except zstandard.ZstdError as error:
        raise ValueError(str(error)) from error


def _unshuffle(content: Any, item_bytes: int) -> bytes:
    """Put the bytes of each item together again: stored are the first bytes of all items, then the second ones."""
    planes = np.frombuffer(content, np.uint8).reshape(item_bytes, -1)
    items = np.empty((planes.shape[1], item_bytes), np.uint8)
    for place, plane in enumerate(planes):
        items[:, place] = plane
    return items.tobytes()
