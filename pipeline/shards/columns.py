"""The per-frame values beside the mask while a shard is being written: checked, then gathered in memory."""

from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.shards.schema import FRAME_COLUMNS, NUM_SCENE_CLASSES, NUM_SCENE_LABELS, ShardHeader

Rows = dict[str, npt.NDArray[Any]]


class FrameColumns:
    """The rows of every data set in `FRAME_COLUMNS`, in the order of writing; 29 bytes a frame."""

    def __init__(self) -> None:
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


def check_frames(
    header: ShardHeader,
    masks: npt.NDArray[np.bool_],
    scene_indices: npt.NDArray[np.integer],
    scene_probs: npt.NDArray[np.floating],
    frame_hashes: npt.NDArray[np.uint64],
    valid: npt.NDArray[np.bool_],
    whose: str,
) -> Rows:
    """Check the arrays of `ShardWriter.append` and return the columns beside the mask in their stored types.

    Raises:
        ValueError: a wrong shape, type or range; the message opens with `whose`.
    """
    frames = len(masks)
    expected_shapes = {
        "masks": (masks, (frames, header.height, header.width), "b"),
        "scene_indices": (scene_indices, (frames, NUM_SCENE_LABELS), "iu"),
        "scene_probs": (scene_probs, (frames, NUM_SCENE_LABELS), "f"),
        "frame_hashes": (frame_hashes, (frames,), "u"),
        "valid": (valid, (frames,), "b"),
    }
    for name, (array, shape, kinds) in expected_shapes.items():
        if array.shape != shape or array.dtype.kind not in kinds:
            raise ValueError(
                f"{whose}: {name} must be {list(shape)} of kind {kinds!r}, not {array.shape} {array.dtype}"
            )
    if frames and not (scene_indices.min() >= 0 and scene_indices.max() < NUM_SCENE_CLASSES):
        raise ValueError(
            f"{whose}: scene indices must lie in 0..{NUM_SCENE_CLASSES - 1}, "
            f"found {scene_indices.min()}..{scene_indices.max()}"
        )
    problem = probability_fault(scene_probs)
    if problem:
        raise ValueError(f"{whose}: {problem}")
    return {
        "valid": valid.astype("u1"),
        "frame_hash": frame_hashes.astype("u8"),
        "scene_index": scene_indices.astype("u2"),
        "scene_prob": scene_probs.astype("f2"),
    }


def probability_fault(scene_probs: npt.NDArray[np.floating]) -> str | None:
    """Say what is wrong with scene probabilities [n, 5]: not in [0, 1] (NaN is not), or not descending; else None."""
    if not ((scene_probs >= 0) & (scene_probs <= 1)).all():
        return f"scene probabilities must lie in [0, 1], found {scene_probs.min()}..{scene_probs.max()}"
    if (scene_probs[:, 1:] > scene_probs[:, :-1]).any():
        return "scene probabilities must be descending, best first"
    return None
