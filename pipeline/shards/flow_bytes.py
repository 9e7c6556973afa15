"""The encoded flows of a shard while it is being written: one stream of bytes, checksummed in chunks."""

from collections.abc import Sequence

import h5py
import numpy as np
import numpy.typing as npt

from pipeline.shards.schema import FLOW_CHUNK_BYTES

# Bytes leave memory so many at a time, always: the file then does not depend on how the rows came in.
_FLUSH_BYTES = 16 * FLOW_CHUNK_BYTES


class FlowBytes:
    """The data set ``flow`` of an open file. Writing may raise OSError.

    Attributes:
        has_holes: bytes were stored and dropped again; where they were is lost to the file.
    """

    def __init__(self, file: h5py.File) -> None:
        self.has_holes = False
        self._pending = bytearray()
        self._flushed = 0
        self._rewind_point = (0, b"")
        self._flow = _create(file)

    def mark(self) -> None:
        """Remember this point for `rewind`."""
        self._rewind_point = (self._flushed, bytes(self._pending))

    def append(self, flows: Sequence[bytes]) -> None:
        """Add encoded images."""
        for flow in flows:
            self._pending += flow
        while len(self._pending) >= _FLUSH_BYTES:
            self._write(_FLUSH_BYTES)

    def rewind(self) -> None:
        """Drop what was added since `mark`."""
        flushed, pending = self._rewind_point
        self._pending = bytearray(pending)
        if flushed < self._flushed:
            self._flow.resize(flushed, axis=0)
            self._flushed = flushed
            self.has_holes = True

    def move_to(self, file: h5py.File) -> None:
        """Go on in another file, as if all had been written there."""
        old, self._flow = self._flow, _create(file)
        for start in range(0, self._flushed, _FLUSH_BYTES):
            self._store(start, old[start : start + _FLUSH_BYTES])
        self.has_holes = False

    def finish(self) -> None:
        """Write the rest."""
        if self._pending:
            self._write(len(self._pending))

    def _write(self, num_bytes: int) -> None:
        self._store(self._flushed, np.frombuffer(self._pending[:num_bytes], np.uint8))
        self._flushed += num_bytes
        del self._pending[:num_bytes]

    def _store(self, start: int, content: npt.NDArray[np.uint8]) -> None:
        self._flow.resize(start + len(content), axis=0)
        self._flow[start:] = content


def _create(file: h5py.File) -> h5py.Dataset:
    # Not compressed: the images are.
    return file.create_dataset(
        "flow",
        shape=(0,),
        maxshape=(None,),
        chunks=(FLOW_CHUNK_BYTES,),
        dtype="u1",
        fletcher32=True,
        track_times=False,
    )
