"""In what two shards differ, in words."""

from pathlib import Path

import h5py
import numpy as np


def describe_difference(found: Path, wanted: Path) -> str:
    """Name the data sets, attributes and videos in which one shard differs from another."""
    try:
        with h5py.File(found) as one, h5py.File(wanted) as other:
            attributes = [name for name in {*one.attrs, *other.attrs} if one.attrs.get(name) != other.attrs.get(name)]
            words = [f"attribute {name}" for name in sorted(attributes)]
            ids = [[raw.decode() for raw in file["video_id"][:].tolist()] for file in (one, other)]
            if ids[0] != ids[1]:
                return "; ".join([*words, f"videos {ids[0]}, not {ids[1]}"])
            for name in sorted({*one, *other}):
                if name not in one or name not in other or one[name].shape != other[name].shape:
                    words.append(f"{name}: another shape")
                elif len(rows := _differing_rows(one[name], other[name])):
                    words.append(f"{name}: {len(rows)} rows, the first {rows[0]}{_video(other, name, rows[0], ids[1])}")
    except (OSError, KeyError, ValueError) as error:
        return f"cannot be compared: {error}"
    return "; ".join(words) or "the same content in other bytes"


def _differing_rows(one: h5py.Dataset, other: h5py.Dataset) -> np.ndarray:
    differs = one[:] != other[:]
    return np.flatnonzero(differs.reshape(len(differs), -1).any(axis=1))


def _video(file: h5py.File, name: str, row: int, ids: list[str]) -> str:
    """Say whose a row is, where it is a frame's."""
    offsets = file["offset"][:]
    if name in ("offset", "video_id", "status", "seek_exact"):
        return f", {ids[row]}" if row < len(ids) else ""
    number = int(np.searchsorted(offsets, row, side="right")) - 1
    return f", frame {row - offsets[number]} of {ids[number]}" if 0 <= number < len(ids) else ""
