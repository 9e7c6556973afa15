"""Reading labels out of one committed shard."""

import functools
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import h5py
import numpy as np
import numpy.typing as npt

from pipeline.errors import ShardError
from pipeline.shards.cache import FileDigest, local_shard
from pipeline.shards.chunks import ChunkReader
from pipeline.shards.receipts import digest_of, load_receipt_json, receipt_path_of
from pipeline.shards.repair_hint import repair_hint
from pipeline.shards.schema import (
    BOTH_TEACHERS,
    HEADER_FIELDS,
    SCHEMA_VERSION,
    ShardHeader,
    TeacherKind,
    VideoStatus,
)
from pipeline.store import is_local, locate

_OPTIONAL_FIELDS = (*(f"{kind}_teacher" for kind in BOTH_TEACHERS), "flow")

# What h5py raises for a damaged file, by where the damage lies.
H5_FAULTS = (OSError, RuntimeError, KeyError, ValueError, TypeError)


class FrameLabels(NamedTuple):
    """The labels of n frames, in the order asked for.

    Attributes:
        masks: bool [n, H, W], True on people; None where the labels hold none: they are of the scene teacher alone.
        scene_indices: uint16 [n, 5], Places365 classes, best first; None where the labels are of the human teacher
            alone.
        scene_probs: float16 [n, 5], their probabilities, descending; None likewise.
        valid: bool [n], True where the frame was truly decoded.
        frame_hashes: uint64 [n], difference hashes of the labelled frames.
        conflicting: bool [n], True where label sets that are read as one labelled different frames; None from one set.
        flows: n encoded flows, see `pipeline.flow.coding`; None where the shard holds labels.
    """

    masks: npt.NDArray[np.bool_] | None
    scene_indices: npt.NDArray[np.uint16] | None
    scene_probs: npt.NDArray[np.float16] | None
    valid: npt.NDArray[np.bool_]
    frame_hashes: npt.NDArray[np.uint64]
    conflicting: npt.NDArray[np.bool_] | None = None
    flows: tuple[bytes, ...] | None = None


class ShardReader:
    """One open shard; make it with `open_shard`, close it or use it as a context manager. Not for several threads.

    Attributes:
        path: of the file.
        video_ids: in the order of their rows.
        teachers: whose labels it holds: "human", "scene" or both; () where it holds flow.
        has_flow: whether it holds flow.
    """

    def __init__(self, path: Path, digest: FileDigest | None = None) -> None:
        """Open a shard; `digest`, what its receipt says of its bytes, is needed where it lies in a store."""
        self.path = path
        with local_shard(path, digest) as local_path:
            try:
                self._file = _open_file(local_path)
            except OSError as error:
                found = "cannot be opened" if local_path.exists() else "does not exist"
                raise ShardError(f"shard {path}: {found} ({_one_line(error)}); {repair_hint(path)}") from error
        try:
            with self._damage_named():
                self.video_ids: tuple[str, ...] = tuple(raw.decode() for raw in self._column("video_id").tolist())
                self._offsets: list[int] = self._column("offset").tolist()
                self._height, self._width = self._read_number("height"), self._read_number("width")
                self.teachers = tuple(kind for kind in BOTH_TEACHERS if self._has_attribute(f"{kind}_teacher"))
                self.has_flow = self._has_attribute("flow")
                self._frame_columns = {
                    name: self._open_column(name) for name in _column_names(self.teachers, self.has_flow)
                }
                self._flow_ends = self._read_flow_ends() if self.has_flow else None
                if len(self._offsets) != len(self.video_ids) + 1:
                    raise ValueError(f"{len(self._offsets)} offsets for {len(self.video_ids)} videos")
        except ShardError:
            self._file.close()
            raise
        self._rows = {video_id: row for row, video_id in enumerate(self.video_ids)}

    @property
    def header(self) -> ShardHeader:
        """The root attributes."""
        with self._damage_named():
            return read_header(h5py.File(self._file))

    def num_frames(self, video_id: str) -> int:
        """Return the number of labelled frames of a video; ValueError when it is not in this shard."""
        row = self._row(video_id)
        return self._offsets[row + 1] - self._offsets[row]

    def status(self, video_id: str) -> VideoStatus:
        """Tell whether a video's labels are complete."""
        row = self._row(video_id)
        with self._damage_named():
            return VideoStatus(int(self._column("status")[row]))

    def seek_exact(self, video_id: str) -> bool:
        """Tell whether seeking in the video file gives the frames of an in-order decode."""
        row = self._row(video_id)
        with self._damage_named():
            return bool(self._column("seek_exact")[row])

    def read(self, video_id: str, frame_indices: Sequence[int] | npt.NDArray[np.integer]) -> FrameLabels:
        """Read the labels of some frames of a video, in any order, repeats allowed; see `FrameLabels`.

        Raises:
            ValueError: the reader is closed, the video is not in this shard, or the indices are not whole numbers in
                one dimension.
            IndexError: an index is not in 0..num_frames - 1.
            ShardError: the file is damaged where it was read.
        """
        if not self._frame_columns:
            raise ValueError(f"shard {self.path} is closed; open it again")
        start, frames = self._offsets[self._row(video_id)], self.num_frames(video_id)
        indices = np.asarray(frame_indices)
        if indices.ndim != 1 or (indices.size and indices.dtype.kind not in "iu"):
            raise ValueError(f"video {video_id}: frame indices must be a list of whole numbers, not {frame_indices!r}")
        if indices.size and not (indices.min() >= 0 and indices.max() < frames):
            raise IndexError(
                f"video {video_id}: frames {indices.min()}..{indices.max()} asked for, shard {self.path.name} has "
                f"0..{frames - 1}"
            )
        unique, inverse = np.unique(indices.astype(np.int64), return_inverse=True)
        rows = unique + start
        with self._damage_named():
            found = {name: column.read_rows(rows)[inverse] for name, column in self._frame_columns.items()}
            flows = self._read_flows(rows)
            masks = self._unpack(found["mask"]) if "mask" in found else None
        return FrameLabels(
            masks=masks,
            scene_indices=found.get("scene_index"),
            scene_probs=found.get("scene_prob"),
            valid=found["valid"].astype(np.bool_),
            frame_hashes=found["frame_hash"],
            flows=tuple(flows[place] for place in inverse) if self.has_flow else None,
        )

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        self._frame_columns.clear()  # before the file: h5py would search for what is still open
        self._file.close()

    def __enter__(self) -> "ShardReader":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _row(self, video_id: str) -> int:
        try:
            return self._rows[video_id]
        except KeyError:
            raise ValueError(f"video {video_id} is not in shard {self.path}") from None

    def _unpack(self, packed: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
        """Make masks bool [n, H, W] of packed ones."""
        return np.unpackbits(packed, axis=1).view(np.bool_).reshape(-1, self._height, self._width)

    def _has_attribute(self, name: str) -> bool:
        """Tell whether there is such a root attribute."""
        return bool(h5py.h5a.exists(self._file, name.encode()))

    def _read_flow_ends(self) -> npt.NDArray[np.int64]:
        """Return where each row's flow ends among the bytes: int64 [N + 1], from 0."""
        sizes = self._column("flow_size")
        return np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes, dtype=np.int64)])

    def _read_flows(self, rows: npt.NDArray[np.int64]) -> list[bytes]:
        """Read the flows of rows that are unique and ascending: one call for each run of neighbours."""
        if self._flow_ends is None or not len(rows):
            return []
        flow, ends = self._open_column("flow"), self._flow_ends
        breaks = np.flatnonzero(np.diff(rows) > 1) + 1
        flows = []
        for first, stop in pairwise([0, *breaks.tolist(), len(rows)]):
            start = int(ends[rows[first]])
            content = flow.read_slice(start, int(ends[rows[stop - 1] + 1])).tobytes()
            flows += [content[ends[row] - start : ends[row + 1] - start] for row in rows[first:stop]]
        return flows

    def _open_column(self, name: str) -> ChunkReader:
        """Open a data set to read some of its rows."""
        return ChunkReader(h5py.h5d.open(self._file, name.encode()))

    def _column(self, name: str) -> npt.NDArray[Any]:
        """Read a whole data set; HDF5's own calls, for h5py's high level would take most of a short read's time."""
        column = h5py.h5d.open(self._file, name.encode())
        values = np.empty(column.shape, column.dtype)
        if values.size:
            column.read(h5py.h5s.ALL, h5py.h5s.ALL, values)
        return values

    def _read_number(self, name: str) -> int:
        """Read one whole number of the root attributes."""
        number = np.empty((), np.int64)
        h5py.h5a.open(self._file, name.encode()).read(number, mtype=h5py.h5t.NATIVE_INT64)
        return int(number)

    @contextmanager
    def _damage_named(self) -> Iterator[None]:
        """Turn what h5py says of a damaged file into a ShardError with the way out."""
        try:
            yield
        except H5_FAULTS as error:
            raise ShardError(f"shard {self.path}: damaged ({_one_line(error)}); {repair_hint(self.path)}") from error


def open_shard(path: str | Path) -> ShardReader:
    """Open a committed shard for reading; nothing is locked or changed.

    A shard in a store (``s3://...``) is copied to the local cache and compared with its receipt.

    Raises:
        ShardError: there is no such file, or it is damaged or no shard.
    """
    found = locate(path) if isinstance(path, str) else path
    if is_local(found):
        return ShardReader(found)
    receipt_path = receipt_path_of(found)
    try:
        digest = digest_of(load_receipt_json(receipt_path))
    except (KeyError, TypeError, ValueError) as error:
        raise ShardError(f"receipt {receipt_path}: malformed ({error!r}); {repair_hint(receipt_path)}") from error
    return ShardReader(found, digest)


def read_header(file: h5py.File) -> ShardHeader:
    """Read the root attributes of an open shard; raises ShardError for another schema, KeyError for a missing one."""
    values: dict[str, Any] = {
        name: file.attrs.get(name) if name in _OPTIONAL_FIELDS else file.attrs[name] for name in HEADER_FIELDS
    }
    if int(values["schema_version"]) != SCHEMA_VERSION:
        raise ShardError(
            f"shard {file.filename}: schema version {values['schema_version']}, this program reads {SCHEMA_VERSION}; "
            "use the kinet-pipeline that wrote it, or label again"
        )
    numbers = {name: int(values[name]) for name in ("height", "width", "schema_version")}
    return ShardHeader(**{**values, **numbers})


def _open_file(path: Path) -> h5py.h5f.FileID:
    """Open a file for reading, without a lock; raises OSError."""
    return h5py.h5f.open(os.fsencode(path), h5py.h5f.ACC_RDONLY, fapl=_unlocked_access())


@functools.cache
def _unlocked_access() -> h5py.h5p.PropFAID:
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    # As h5py sets it: a file that is open twice in one process must be opened in the same way.
    access.set_file_locking(False, False)
    return access


def _column_names(teachers: Sequence[TeacherKind], has_flow: bool) -> tuple[str, ...]:
    """Name the per-frame data sets of a shard that has the labels of these teachers, or flow."""
    masks = ("mask",) if "human" in teachers else ()
    scenes = ("scene_index", "scene_prob") if "scene" in teachers else ()
    flows = ("flow_size",) if has_flow else ()
    return (*masks, *scenes, *flows, "valid", "frame_hash")


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
