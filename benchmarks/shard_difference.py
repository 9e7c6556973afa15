"""In what two shards differ, in words."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray


def describe_difference(found: Path, wanted: Path) -> str:
    """Name the data sets, attributes and videos in which one shard differs from another, bit by bit."""
    try:
        with h5py.File(found) as one, h5py.File(wanted) as other:
            names = sorted({*one.attrs, *other.attrs})
            words = [f"attribute {name}" for name in names if not _same(one.attrs.get(name), other.attrs.get(name))]
            words += [_difference(name, one, other) for name in sorted({*one, *other})]
    except (OSError, KeyError, ValueError) as error:
        return f"cannot be compared: {error}"
    return "; ".join(filter(None, words)) or "the same content in other bytes"


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and np.array_equal(one, other)


def _difference(name: str, one: h5py.File, other: h5py.File) -> str:
    if name not in one or name not in other:
        return f"{name}: only in one"
    if (one[name].shape, one[name].dtype) != (other[name].shape, other[name].dtype):
        return f"{name}: another shape or type"
    rows = np.flatnonzero((_bits(one[name]) != _bits(other[name])).any(axis=1))
    return f"{name}: {len(rows)} rows, the first {rows[0]}{_whose(other, name, int(rows[0]))}" if len(rows) else ""


def _bits(rows: h5py.Dataset) -> NDArray[np.uint8]:
    """Read rows as bytes, [n, bytes]: two that are no numbers may still be the same."""
    values = np.ascontiguousarray(rows[:])
    return values.view(np.uint8).reshape(len(values), -1) if values.size else np.zeros((len(values), 0), np.uint8)


def _whose(file: h5py.File, name: str, row: int) -> str:
    """Say of which video a row is."""
    ids, offsets = file["video_id"][:].tolist(), file["offset"][:]
    if len(file[name]) == len(ids):
        return f", {ids[row].decode()}"
    number = int(np.searchsorted(offsets, row, side="right")) - 1
    if len(file[name]) != offsets[-1] or number >= len(ids):
        return ""
    return f", frame {row - offsets[number]} of {ids[number].decode()}"
