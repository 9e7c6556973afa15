"""What goes between a labeller and its decoding process.

Limits once, then one request after the other. For a path come chunks, then an end; for a look at the witnesses, what
was seen.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import KinetError, Reason
from pipeline.video_disk import Witnesses

# The first message of a decoding process: it has started, and takes videos.
READY = "ready"
# What a decoding process exits with when it has grown beyond its limit.
EXIT_OUT_OF_MEMORY = 77
# A video whose decoder dies or hangs so often is given up.
MAX_ATTEMPTS = 3


@dataclass(frozen=True)
class DecodeLimits:
    """What one decoding process, and one video in it, may take.

    A process was seen to take 0.1 GB for 1080p, 0.2 GB for 4K and 0.6 GB for 8K (H.264, HEVC, VP9 and AV1).

    Attributes:
        memory_bytes: resident memory of the process.
        video_sec: time that decoding takes of what a video holds beyond the frames that its header declares, or of all
            of it where it declares none; waiting for the teachers is not counted.
        video_frames: frames of one video.
        declared_factor: a video may have so many times the frames it declares, and 10,000 more.
    """

    memory_bytes: int = 4 << 30
    video_sec: float = 6 * 3600.0
    video_frames: int = 5_000_000
    declared_factor: int = 20

    def __post_init__(self) -> None:
        if min(self.memory_bytes, self.video_sec, self.video_frames, self.declared_factor) <= 0:
            raise ValueError(f"limits of decoding must be positive, not {self}")


@dataclass(frozen=True)
class FrameChunk:
    """Consecutive frames of one video; their pixels are in the ring's next slot.

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
        reason: why this is not the whole video, or None.
        message: the reason in words, or for a whole video what is odd about it; else None.
        seek_exact: whether stage two may seek in it.
        read_failed: reading it ended in an error of the system, and it reads well again.
    """

    num_frames: int
    declared_frames: int | None
    reason: Reason | None
    message: str | None
    seek_exact: bool
    read_failed: bool = False


@dataclass(frozen=True)
class StillSettling:
    """A sign of life: no frames for now, but whether the video is whole is being found out."""


@dataclass(frozen=True)
class OutsideFault:
    """The end of a request that tells nothing of the video, for a reason that is not its own; `error` says which."""

    error: KinetError


@dataclass(frozen=True)
class SightCheck:
    """A request: see whether the disk of a video that cannot be read is there."""

    path: str
    witnesses: Witnesses


@dataclass(frozen=True)
class InSight:
    """The disk is there."""


# A path is a request to decode it.
Request = str | SightCheck
Message = FrameChunk | StillSettling | VideoDone | OutsideFault | InSight
