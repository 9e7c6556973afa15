"""Reading labels out of one committed shard."""

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
from pipeline.shards.mask_chunks import MaskChunks
from pipeline.shards.receipts import digest_of, load_receipt_json, receipt_path_of
from pipeline.shards.repair_hint import repair_hint
from pipeline.shards.schema import (
    BOTH_TEACHERS,
    COLUMN_CHUNK_FRAMES,
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
                # 1 MiB of chunks for each data set, not HDF5's 8: a data loader keeps many shards open.
                self._file = h5py.File(local_path, "r", locking=False, rdcc_nslots=521, rdcc_nbytes=2**20)
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
                self._masks = MaskChunks(self._open_column("mask")) if "human" in self.teachers else None
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
            return read_header(self._file)

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
            ValueError: the video is not in this shard, or the indices are not whole numbers in one dimension.
            IndexError: an index is not in 0..num_frames - 1.
            ShardError: the file is damaged where it was read.
        """
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
            found = {
                name: _read_rows(column, rows, COLUMN_CHUNK_FRAMES) for name, column in self._frame_columns.items()
            }
            packed = None if self._masks is None else self._masks.read_rows(rows)
            flows = self._read_flows(rows)
        if packed is not None:
            pixels = np.unpackbits(packed, axis=1).view(np.bool_)
            found["mask"] = pixels.reshape(-1, self._height, self._width)
        found = {name: values[inverse] for name, values in found.items()}
        return FrameLabels(
            masks=found.get("mask"),
            scene_indices=found.get("scene_index"),
            scene_probs=found.get("scene_prob"),
            valid=found["valid"].astype(np.bool_),
            frame_hashes=found["frame_hash"],
            flows=tuple(flows[place] for place in inverse) if self.has_flow else None,
        )

    def close(self) -> None:
        """Close the file; a second call does nothing."""
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

    def _has_attribute(self, name: str) -> bool:
        """Tell whether there is such a root attribute."""
        return bool(h5py.h5a.exists(self._file.id, name.encode()))

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
            content = _read_slice(flow, start, int(ends[rows[stop - 1] + 1])).tobytes()
            flows += [content[ends[row] - start : ends[row + 1] - start] for row in rows[first:stop]]
        return flows

    def _open_column(self, name: str) -> h5py.h5d.DatasetID:
        """Open a data set by HDF5's own calls: h5py's high level would take most of a short read's time."""
        return h5py.h5d.open(self._file.id, name.encode())

    def _read_number(self, name: str) -> int:
        """Read one whole number of the root attributes."""
        number = np.empty((), np.int64)
        h5py.h5a.open(self._file.id, name.encode()).read(number)
        return int(number)

    def _column(self, name: str) -> npt.NDArray[Any]:
        """Read a whole data set."""
        column = self._open_column(name)
        return _read_slice(column, 0, column.shape[0])

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


def _column_names(teachers: Sequence[TeacherKind], has_flow: bool) -> tuple[str, ...]:
    """Name the per-frame data sets, masks aside, of a shard that has the labels of these teachers, or flow."""
    scenes = ("scene_index", "scene_prob") if "scene" in teachers else ()
    flows = ("flow_size",) if has_flow else ()
    return (*scenes, *flows, "valid", "frame_hash")


def _read_rows(column: h5py.h5d.DatasetID, rows: npt.NDArray[np.int64], chunk_rows: int) -> npt.NDArray[Any]:
    """Read rows that are unique and ascending: one call for each run of rows less than a chunk apart."""
    if not len(rows):
        return _read_slice(column, 0, 0)
    breaks = np.flatnonzero(np.diff(rows) >= chunk_rows) + 1
    blocks = []
    for first, end in pairwise([0, *breaks.tolist(), len(rows)]):
        run = rows[first:end]
        blocks.append(_read_slice(column, int(run[0]), int(run[-1]) + 1)[run - run[0]])
    return np.concatenate(blocks)


def _read_slice(column: h5py.h5d.DatasetID, start: int, stop: int) -> npt.NDArray[Any]:
    """Read rows start..stop - 1; raises ValueError when the data set is shorter."""
    shape = column.shape
    if stop > shape[0]:
        raise ValueError(f"row {stop} of a data set of {shape[0]} rows")
    out = np.empty((stop - start, *shape[1:]), column.dtype)
    if out.size:
        space = column.get_space()
        space.select_hyperslab((start, *[0] * (len(shape) - 1)), out.shape)
        column.read(h5py.h5s.create_simple(out.shape), space, out)
    return out


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
