"""The masks of a shard while it is being written: compressed beside the caller's thread, stored in order.

HDF5 would compress in the caller's thread, and hold Python's lock meanwhile. So chunks are compressed here, by
libraries that let the lock go, and stored as they are, in the form that HDF5's own filters read; the last one, where
masks do not fill it, HDF5 compresses again when it is cut to size. The calls into HDF5 are the same whichever thread is
ahead: so are the bytes.
"""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import deflate
import h5py
import numpy as np
import numpy.typing as npt
import zstandard

from pipeline.errors import WorkspaceError
from pipeline.shards.chunks import ZSTD_LEVEL, compressor
from pipeline.shards.schema import MASK_CHUNK_FRAMES, Compression

# What is on its way to the disk: 16 chunks of 174 kB.
_MAX_WAITING = 16


class MaskColumn:
    """The data set ``mask`` of an HDF5 file that is being written.

    What adds masks may raise OSError, and WorkspaceError where the machine has no thread or memory to compress them.

    Attributes:
        has_holes: masks were stored and dropped again; where they were is lost to the file.

    Args:
        file: open for writing; all calls into it are made by the caller's thread.
        mask_bytes: of one packed mask.
        compression: of the chunks.
        num_threads: that compress.
    """

    def __init__(self, file: h5py.File, mask_bytes: int, compression: Compression, num_threads: int = 1) -> None:
        self.has_holes = False
        self._mask_bytes = mask_bytes
        self._compression = compression
        self._dataset = _create(file, mask_bytes, compression)
        self._compress = compressor(compression)
        self._loose = np.empty((0, mask_bytes), np.uint8)
        self._rows = 0  # in whole chunks that were handed to the threads
        self._stored = 0  # rows in the file
        self._mark = (0, self._loose)
        self._threads = ThreadPoolExecutor(num_threads, thread_name_prefix="compress")
        self._waiting: deque[Future[bytes]] = deque()

    def append(self, packed: npt.NDArray[np.uint8]) -> None:
        """Add masks, uint8 [n, mask_bytes]."""
        rows = np.concatenate([self._loose, packed])
        num_whole = len(rows) // MASK_CHUNK_FRAMES * MASK_CHUNK_FRAMES
        for start in range(0, num_whole, MASK_CHUNK_FRAMES):
            self._hand_over(rows[start : start + MASK_CHUNK_FRAMES])
        self._loose = rows[num_whole:].copy()

    def mark(self) -> None:
        """Note where the next video begins."""
        self._mark = (self._rows, self._loose)

    def rewind(self) -> None:
        """Drop what was added since the mark."""
        self._store(0)
        rows, self._loose = self._mark
        if rows < self._stored:
            self._dataset.resize(rows, axis=0)
            self.has_holes = True
        self._rows = self._stored = rows

    def move_to(self, file: h5py.File) -> None:
        """Go on in another file, as if all had been written there."""
        self._store(0)
        old, num_stored = self._dataset, self._stored
        self._dataset, self._stored = _create(file, self._mask_bytes, self._compression), 0
        while self._stored < num_stored:
            self._store_chunk(old.id.read_direct_chunk((self._stored, 0))[1])
        self.has_holes = False

    def finish(self) -> None:
        """Store all that is on its way, the last chunk filled up with zeros as HDF5 does."""
        num_loose = len(self._loose)
        if num_loose:
            last = np.zeros((MASK_CHUNK_FRAMES, self._loose.shape[1]), np.uint8)
            last[:num_loose] = self._loose
            self._hand_over(last)
        self._store(0)
        if num_loose:
            self._dataset.resize(self._rows - MASK_CHUNK_FRAMES + num_loose, axis=0)
        self.close()

    def close(self) -> None:
        """End the threads; what is on its way is dropped."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _hand_over(self, chunk: npt.NDArray[np.uint8]) -> None:
        with _environment_blamed():
            self._waiting.append(self._threads.submit(self._compress, chunk.tobytes()))
        self._rows += MASK_CHUNK_FRAMES
        self._store(_MAX_WAITING)

    def _store(self, most_waiting: int) -> None:
        """Store the chunks that are compressed, in order, and wait until no more than so many are on their way."""
        while self._waiting and (len(self._waiting) > most_waiting or self._waiting[0].done()):
            with _environment_blamed():
                content = self._waiting.popleft().result()
            self._store_chunk(content)

    def _store_chunk(self, content: bytes) -> None:
        start, self._stored = self._stored, self._stored + MASK_CHUNK_FRAMES
        # HDF5's own call: h5py's resize would take a tenth of what writing costs.
        self._dataset.id.set_extent((self._stored, self._mask_bytes))
        self._dataset.id.write_direct_chunk((start, 0), content)


@contextmanager
def _environment_blamed() -> Iterator[None]:
    """Turn what keeps threads from starting or compressing into a WorkspaceError: it is no video's doing."""
    try:
        yield
    except (RuntimeError, MemoryError, deflate.DeflateError, zstandard.ZstdError) as error:
        raise WorkspaceError(
            f"masks cannot be compressed ({type(error).__name__}: {error}); see that the machine has memory and "
            "threads to spare, then run the same command again"
        ) from error


def _create(file: h5py.File, mask_bytes: int, compression: Compression) -> h5py.Dataset:
    """Make the data set; its filters say how to read, their levels hold for nobody."""
    if compression == "zstd":
        import hdf5plugin

        filters = dict(hdf5plugin.Zstd(clevel=ZSTD_LEVEL))
    else:
        filters = {"compression": "gzip", "compression_opts": 4}
    return file.create_dataset(
        "mask",
        shape=(0, mask_bytes),
        maxshape=(None, mask_bytes),
        chunks=(MASK_CHUNK_FRAMES, mask_bytes),
        dtype="u1",
        fletcher32=True,
        track_times=False,
        **filters,
    )
