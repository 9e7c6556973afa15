"""Reading every byte of a shard file to see that it is whole: every checksum, every count, every value's range."""

import dataclasses
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt

from pipeline.errors import ShardError
from pipeline.shards.chunks import ChunkReader
from pipeline.shards.columns import probability_fault
from pipeline.shards.reader import H5_FAULTS, read_header
from pipeline.shards.schema import MASK_CHUNK_FRAMES, NUM_SCENE_CLASSES, ShardHeader, VideoStatus

_READ_FRAMES = 16 * MASK_CHUNK_FRAMES
_JPEG_START, _JPEG_END = b"\xff\xd8", b"\xff\xd9"


@dataclass(frozen=True)
class ExpectedContent:
    """What a shard file should hold.

    Attributes:
        attributes: root attributes that are known beforehand.
        video_ids, frames, statuses: of each video with rows, in the order of the rows.
    """

    attributes: dict[str, str | int | None]
    video_ids: tuple[str, ...]
    frames: tuple[int, ...]
    statuses: tuple[VideoStatus, ...]


def find_content_faults(path: Path, expected: ExpectedContent) -> list[str]:
    """Read a whole shard file and say what is wrong with it, each fault one clause; [] when it is whole."""
    try:
        with h5py.File(path, "r", locking=False) as file:
            header = read_header(file)
            found = dataclasses.asdict(header)
            faults = [
                f"attribute {name} is {found[name]!r}, expected {value!r}"
                for name, value in expected.attributes.items()
                if found[name] != value
            ]
            faults += _video_faults(file, expected)
            faults += _frame_faults(file, header, sum(expected.frames))
            return faults
    except (ShardError, *H5_FAULTS) as error:
        return [f"cannot be read ({' '.join(str(error).split())})"]


def _video_faults(file: h5py.File, expected: ExpectedContent) -> list[str]:
    faults = []
    found_ids = [raw.decode() for raw in file["video_id"][:].tolist()]
    if found_ids != list(expected.video_ids):
        faults.append(f"{len(found_ids)} videos that are not the {len(expected.video_ids)} expected, in their order")
    if file["offset"][:].tolist() != [0, *accumulate(expected.frames)]:
        faults.append("offset does not rise from 0 by the expected frames of each video")
    if file["status"][:].tolist() != [int(status) for status in expected.statuses]:
        faults.append("status is not the expected one for each video")
    if len(file["seek_exact"]) != len(found_ids) or not np.isin(file["seek_exact"][:], [0, 1]).all():
        faults.append("seek_exact is not 0 or 1 for each video")
    return faults


def _frame_faults(file: h5py.File, header: ShardHeader, frames: int) -> list[str]:
    columns = {name: file[name][:] for name in header.frame_columns}
    masks = {"mask": file["mask"]} if header.has_masks else {}
    faults = [
        f"{name} has {len(rows)} rows, expected {frames}"
        for name, rows in (columns | masks).items()
        if len(rows) != frames
    ]
    if columns["valid"].max(initial=0) > 1:
        faults.append("valid is neither 0 nor 1 somewhere")
    if header.has_scenes:
        faults += _scene_faults(columns["scene_index"], columns["scene_prob"])
    if header.has_flow:
        faults += _flow_faults(columns["flow_size"], file["flow"])
    for mask in masks.values():
        if mask.shape[1:] != (header.mask_bytes,):
            faults.append(f"mask rows are {mask.shape[1:]} bytes, expected {header.mask_bytes}")
        for _ in ChunkReader(mask.id).read_all():
            pass  # a wrong checksum, or what cannot be decompressed, raises ValueError
    return faults


def _scene_faults(scene_indices: npt.NDArray[np.uint16], scene_probs: npt.NDArray[np.float16]) -> list[str]:
    faults = []
    highest = scene_indices.max(initial=0)
    if highest >= NUM_SCENE_CLASSES:
        faults.append(f"scene_index reaches {highest}, expected below {NUM_SCENE_CLASSES}")
    problem = probability_fault(scene_probs)
    return [*faults, problem] if problem else faults


def _flow_faults(flow_sizes: npt.NDArray[np.uint32], flow: h5py.Dataset) -> list[str]:
    """Read all flows, checksums included; each must be a whole JPEG stream."""
    total = int(flow_sizes.sum(dtype=np.int64))
    if len(flow) != total:
        return [f"flow has {len(flow)} bytes, expected {total}"]
    start = 0
    for first in range(0, len(flow_sizes), _READ_FRAMES):
        sizes = flow_sizes[first : first + _READ_FRAMES].astype(np.int64)
        content = flow[start : start + int(sizes.sum())]
        ends = np.cumsum(sizes)
        starts = ends - sizes
        start += len(content)
        if (sizes < len(_JPEG_START) + len(_JPEG_END)).any() or not (
            all((content[starts + place] == byte).all() for place, byte in enumerate(_JPEG_START))
            and all((content[ends - 2 + place] == byte).all() for place, byte in enumerate(_JPEG_END))
        ):
            return ["flow holds something else than JPEG streams"]
    return []
