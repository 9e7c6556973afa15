"""The encoded flows of a shard while it is being written: one stream of bytes, checksummed in chunks."""

from collections.abc import Sequence

import h5py
import numpy as np

from pipeline.shards.schema import FLOW_CHUNK_BYTES

# Bytes leave memory so many at a time, always: the file then does not depend on how the rows came in.
_FLUSH_BYTES = 16 * FLOW_CHUNK_BYTES


class FlowBytes:
    """The data set ``flow`` of an open file. Writing may raise OSError."""

    def __init__(self, file: h5py.File) -> None:
        self._pending = bytearray()
        self._flushed = 0
        self._rewind_point = (0, b"")
        # Not compressed: the images are.
        self._flow = file.create_dataset(
            "flow",
            shape=(0,),
            maxshape=(None,),
            chunks=(FLOW_CHUNK_BYTES,),
            dtype="u1",
            fletcher32=True,
            track_times=False,
        )

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

    def finish(self) -> None:
        """Write the rest."""
        if self._pending:
            self._write(len(self._pending))

    def _write(self, num_bytes: int) -> None:
        self._flow.resize(self._flushed + num_bytes, axis=0)
        self._flow[self._flushed :] = np.frombuffer(self._pending[:num_bytes], np.uint8)
        self._flushed += num_bytes
        del self._pending[:num_bytes]
