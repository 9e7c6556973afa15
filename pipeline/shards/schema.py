"""What is in a shard: the data sets' names, types and meanings, and the root attributes.

N frames, V videos, H x W the labelled frame's size. Video v owns rows
offset[v]:offset[v + 1] of every per-frame data set.

======================  =================  ======================================================================
``video_id``            [V] UTF-8          fixed length, so that the checksum covers the text too
``offset``              [V + 1] int64
``status``              [V] uint8          `VideoStatus`
``seek_exact``          [V] uint8          1 where seeking by timestamp gives the frames of an in-order decode
``valid``               [N] uint8          1 where the frame was truly decoded
``frame_hash``          [N] uint64         difference hash of the H x W frame: the frame's identity
``mask``                [N, H*W/8] uint8   `numpy.packbits` of the row-major human mask; chunks of 16 frames
``scene_index``         [N, 5] uint16      the five best Places365 classes, best first
``scene_prob``          [N, 5] float16     their softmax probabilities over all 365 classes
``flow_size``           [N] uint32         bytes of each frame's encoded flow
``flow``                [sum] uint8        the encoded flows one after another, see `pipeline.flow.coding`
======================  =================  ======================================================================

A shard of one teacher alone lacks the other's data sets (``mask``, or ``scene_index`` and ``scene_prob``) and its root
attribute. A shard of optical flow has ``flow_size`` and ``flow``, and no labels; row i is the motion from frame i to
frame i + 1, and a video's last row repeats the one before it.
"""

import dataclasses
import re
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

SCHEMA_VERSION = 1
NUM_SCENE_CLASSES = 365
NUM_SCENE_LABELS = 5
MASK_CHUNK_FRAMES = 16
COLUMN_CHUNK_FRAMES = 1024
FLOW_CHUNK_BYTES = 1 << 16

Compression = Literal["gzip", "zstd"]
TeacherKind = Literal["human", "scene"]
BOTH_TEACHERS: tuple[TeacherKind, ...] = ("human", "scene")

# Per-frame data sets beside the mask: name -> (columns, numpy type).
FRAME_COLUMNS: dict[str, tuple[tuple[int, ...], str]] = {
    "valid": ((), "u1"),
    "frame_hash": ((), "u8"),
    "scene_index": ((NUM_SCENE_LABELS,), "u2"),
    "scene_prob": ((NUM_SCENE_LABELS,), "f2"),
    "flow_size": ((), "u4"),
}

_SCENE_COLUMNS = ("scene_index", "scene_prob")
_FLOW_COLUMNS = ("flow_size",)

SHARD_NAME_PATTERN = r".+-\d{5,}-of-\d{5,}"
"""A regular expression of what `shard_name` makes: five digits, and more of them from 100,000 shards on."""


class VideoStatus(IntEnum):
    """How complete the labels of a video in a shard are."""

    OK = 0
    PARTIAL = 1


@dataclass(frozen=True, kw_only=True)
class ShardHeader:
    """The root attributes of a shard: what was labelled, and everything that decides the labels' values.

    Attributes:
        dataset, split: what was labelled.
        height, width: size of the labelled frames in pixels; their product is a multiple of 8.
        fingerprint: of manifest rows, teachers, preprocessing, resize, decoder and schema.
        frame_resize: how frames came to height x width, e.g. "bilinear 256x340".
        decoder: the decoder that read the frames.
        human_teacher, scene_teacher: "name sha256:<hex>"; None where the shard has no labels of this teacher.
        created_by: program and version.
        schema_version: `SCHEMA_VERSION` of the writing program.
        flow: how the optical flow was made; None where the shard holds labels.
    """

    dataset: str
    split: str
    height: int
    width: int
    fingerprint: str
    frame_resize: str
    decoder: str
    human_teacher: str | None
    scene_teacher: str | None
    created_by: str
    schema_version: int = SCHEMA_VERSION
    flow: str | None = None

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1 or self.height * self.width % 8:
            raise ValueError(
                f"frames of {self.height} x {self.width}: a mask is stored eight pixels a byte, so height * width must "
                "be a positive multiple of 8; choose another frame size"
            )
        if not (self.has_masks or self.has_scenes) and not self.has_flow:
            raise ValueError(
                "a shard holds the labels of one teacher at least, or flow; name human_teacher, scene_teacher or flow"
            )
        if (self.has_masks or self.has_scenes) and self.has_flow:
            raise ValueError("a shard holds labels or flow, not both; name the teachers or flow")

    @property
    def has_masks(self) -> bool:
        """Whether the shard holds the human teacher's labels."""
        return self.human_teacher is not None

    @property
    def has_scenes(self) -> bool:
        """Whether the shard holds the scene teacher's labels."""
        return self.scene_teacher is not None

    @property
    def has_flow(self) -> bool:
        """Whether the shard holds optical flow."""
        return self.flow is not None

    @property
    def frame_columns(self) -> tuple[str, ...]:
        """Names of the shard's per-frame data sets beside the mask, in the order of `FRAME_COLUMNS`."""
        absent = (() if self.has_scenes else _SCENE_COLUMNS) + (() if self.has_flow else _FLOW_COLUMNS)
        return tuple(name for name in FRAME_COLUMNS if name not in absent)

    @property
    def mask_bytes(self) -> int:
        """Bytes of one packed mask."""
        return self.height * self.width // 8


HEADER_FIELDS = tuple(field.name for field in dataclasses.fields(ShardHeader))


def shard_name(split: str, index: int, count: int) -> str:
    """Name a shard's file, without suffix: ``train-00012-of-00480``."""
    return f"{split}-{index:05d}-of-{count:05d}"


def is_shard_name(name: str) -> bool:
    """Tell whether a file name without its suffix is that of a shard."""
    return re.fullmatch(SHARD_NAME_PATTERN, name) is not None
