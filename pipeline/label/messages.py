"""What a decoding process sends: chunks of frames, then the end of the video."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import Reason


@dataclass(frozen=True)
class FrameChunk:
    """Consecutive frames of one video; the pixels follow as raw bytes.

    Attributes:
        num_frames: n.
        valid: bool [n].
        hashes: uint64 [n].
    """

    num_frames: int
    valid: NDArray[np.bool_]
    hashes: NDArray[np.uint64]


@dataclass(frozen=True)
class VideoDone:
    """The end of a video.

    Attributes:
        num_frames: frames sent; 0 where the video gave none.
        declared_frames: what the header states, or None.
        reason, message: why this is not the whole video, or None.
        seek_exact: whether stage two may seek in it.
    """

    num_frames: int
    declared_frames: int | None
    reason: Reason | None
    message: str | None
    seek_exact: bool


Message = tuple[FrameChunk | VideoDone, NDArray[np.uint8] | None]
