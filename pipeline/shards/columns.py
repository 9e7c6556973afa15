"""The per-frame values beside the mask while a shard is being written: checked, gathered in memory, and stored."""

from collections.abc import Sequence
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from pipeline.shards.schema import FRAME_COLUMNS, NUM_SCENE_CLASSES, NUM_SCENE_LABELS, ShardHeader

Rows = dict[str, npt.NDArray[Any]]


class FrameColumns:
    """The rows of the named data sets of `FRAME_COLUMNS`, in the order of writing; at most 29 bytes a frame."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        self._parts: list[Rows] = []
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def append(self, rows: Rows) -> None:
        """Add rows as made by `check_frames`."""
        self._parts.append(rows)
        self._length += len(rows["valid"])

    def truncate(self, length: int) -> None:
        """Keep the first `length` rows."""
        while self._length > length:
            last = self._parts.pop()
            rows = len(last["valid"])
            kept = max(0, rows - (self._length - length))
            if kept:
                self._parts.append({name: values[:kept] for name, values in last.items()})
            self._length -= rows - kept

    def column(self, name: str) -> npt.NDArray[Any]:
        """Return one data set whole."""
        tail, kind = FRAME_COLUMNS[name]
        return np.concatenate([np.empty((0, *tail), kind), *(part[name] for part in self._parts)])


def write_column(file: h5py.File, name: str, values: npt.NDArray[Any], chunk_rows: int, *, gzip: bool = False) -> None:
    """Write a small data set at once, checksummed; a chunk has one row at least, and no more than the data."""
    rows = len(values)
    file.create_dataset(
        name,
        data=values,
        maxshape=None if rows else (None, *values.shape[1:]),
        chunks=(max(1, min(chunk_rows, rows)), *values.shape[1:]),
        compression="gzip" if gzip else None,
        compression_opts=4 if gzip else None,
        shuffle=gzip and values.dtype.itemsize > 1,
        fletcher32=True,
        track_times=False,
    )


def pack_masks(masks: npt.NDArray[np.bool_] | npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Pack masks bool [n, H, W] to uint8 [n, H*W/8], eight pixels a byte; packed ones stay as they are."""
    if masks.dtype == np.uint8:
        return np.asarray(masks, np.uint8)
    return np.packbits(masks.reshape(len(masks), int(np.prod(masks.shape[1:]))), axis=1)


def check_frames(
    header: ShardHeader,
    masks: npt.NDArray[np.bool_] | npt.NDArray[np.uint8] | None,
    scene_indices: npt.NDArray[np.integer] | None,
    scene_probs: npt.NDArray[np.floating] | None,
    frame_hashes: npt.NDArray[np.uint64],
    valid: npt.NDArray[np.bool_],
    flows: Sequence[bytes] | None,
    whose: str,
) -> Rows:
    """Check the arrays of `ShardWriter.append` and return the columns beside the mask in their stored types.

    Raises:
        ValueError: a wrong shape, type or range, or labels or flow that the shard has not, or lacks; the message
            opens with `whose`.
    """
    frames = len(valid)
    rows: Rows = {}
    _check_array(f"{whose}: frame_hashes", frame_hashes, (frames,), "u")
    _check_array(f"{whose}: valid", valid, (frames,), "b")
    rows["valid"], rows["frame_hash"] = valid.astype("u1"), frame_hashes.astype("u8")
    for name, array, wanted in (
        ("masks", masks, header.has_masks),
        ("scene_indices", scene_indices, header.has_scenes),
        ("scene_probs", scene_probs, header.has_scenes),
        ("flows", flows, header.has_flow),
    ):
        if (array is not None) != wanted:
            raise ValueError(f"{whose}: {name} {'missing' if wanted else 'given'}, against the shard's header")
    if masks is not None:
        if masks.dtype == np.uint8:
            _check_array(f"{whose}: packed masks", masks, (frames, header.mask_bytes), "u")
        else:
            _check_array(f"{whose}: masks", masks, (frames, header.height, header.width), "b")
    if scene_indices is not None and scene_probs is not None:
        _check_scenes(scene_indices, scene_probs, frames, whose)
        rows["scene_index"], rows["scene_prob"] = scene_indices.astype("u2"), scene_probs.astype("f2")
    if flows is not None:
        if len(flows) != frames or not all(flows):
            raise ValueError(f"{whose}: flows must be {frames} encoded images, found {len(flows)}, or empty ones")
        rows["flow_size"] = np.array([len(flow) for flow in flows], "u4")
    return rows


def _check_array(name: str, array: npt.NDArray[Any], shape: tuple[int, ...], kinds: str) -> None:
    if array.shape != shape or array.dtype.kind not in kinds:
        raise ValueError(f"{name} must be {list(shape)} of kind {kinds!r}, not {array.shape} {array.dtype}")


def _check_scenes(
    scene_indices: npt.NDArray[np.integer], scene_probs: npt.NDArray[np.floating], frames: int, whose: str
) -> None:
    _check_array(f"{whose}: scene_indices", scene_indices, (frames, NUM_SCENE_LABELS), "iu")
    _check_array(f"{whose}: scene_probs", scene_probs, (frames, NUM_SCENE_LABELS), "f")
    if frames and not (scene_indices.min() >= 0 and scene_indices.max() < NUM_SCENE_CLASSES):
        raise ValueError(
            f"{whose}: scene indices must lie in 0..{NUM_SCENE_CLASSES - 1}, "
            f"found {scene_indices.min()}..{scene_indices.max()}"
        )
    problem = probability_fault(scene_probs)
    if problem:
        raise ValueError(f"{whose}: {problem}")


def probability_fault(scene_probs: npt.NDArray[np.floating]) -> str | None:
    """Say what is wrong with scene probabilities [n, 5]: not in [0, 1] (NaN is not), or not descending; else None."""
    if not ((scene_probs >= 0) & (scene_probs <= 1)).all():
        return f"scene probabilities must lie in [0, 1], found {scene_probs.min()}..{scene_probs.max()}"
    if (scene_probs[:, 1:] > scene_probs[:, :-1]).any():
        return "scene probabilities must be descending, best first"
    return None
