"""Read chosen frames of a video, the same ones that an in-order decode gives."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import Reason, VideoError
from pipeline.video.decoding import VideoFile
from pipeline.video.hashing import hash_frames
from pipeline.video.report import DecodeReport
from pipeline.video.resizing import FRAME_HEIGHT, FRAME_WIDTH
from pipeline.video_disk import read_through

MAX_SEEK_CHECKS = 8


def read_frames(
    path: str | Path,
    frame_indices: Sequence[int] | NDArray[np.integer],
    *,
    seek: bool = False,
    height: int = FRAME_HEIGHT,
    width: int = FRAME_WIDTH,
) -> NDArray[np.uint8]:
    """Read frames by their index in a full in-order decode.

    Args:
        path: the video file.
        frame_indices: [n], any order, repeats allowed.
        seek: start from the nearest keyframe rather than from the first frame. Right only for a video whose shard says
            `seek_exact`; elsewhere a container's timestamps do not say which frame is the i-th.
        height, width: size of the frames, in pixels; the labels' own by default.

    Returns:
        uint8 RGB [n, height, width, 3].

    Raises:
        ValueError: an index below 0 or past the last frame.
        VideoError: the file cannot be decoded.
    """
    wanted = np.asarray(frame_indices, dtype=np.int64)
    if wanted.size and wanted.min() < 0:
        raise ValueError(f"{path}: frame {wanted.min()} asked for; frames are counted from 0")
    video_path = Path(path)
    with VideoFile(video_path, height=height, width=width) as video:
        order = np.unique(wanted)
        found = _seek_frames(video, order) if seek else _scan_frames(video, order)
    pixels = np.empty((len(wanted), height, width, 3), dtype=np.uint8)
    for row, index in enumerate(wanted.tolist()):
        pixels[row] = found[index]
    return pixels


def _scan_frames(video: VideoFile, order: NDArray[np.int64]) -> dict[int, NDArray[np.uint8]]:
    """Decode from the first frame to the last wanted one."""
    wanted = set(order.tolist())
    found: dict[int, NDArray[np.uint8]] = {}
    if not wanted:
        return found
    for index, (frame, _) in enumerate(video.decoded()):
        if index in wanted:
            found[index] = video.resized(frame)
            if len(found) == len(wanted):
                return found
    raise _past_the_end(video.path, int(order[-1]), video.report.num_frames)


def _seek_frames(video: VideoFile, order: NDArray[np.int64]) -> dict[int, NDArray[np.uint8]]:
    """Decode from the keyframe before each wanted frame, going on where the next one is not behind a later keyframe."""
    with VideoFile(video.path, height=video.height, width=video.width) as header:
        times, keyframe_times = header.packet_times()
    if order.size and order[-1] >= len(times):
        raise _past_the_end(video.path, int(order[-1]), len(times))
    found: dict[int, NDArray[np.uint8]] = {}
    decoded: Iterator[av.VideoFrame] = iter(())
    current = None
    for index in order.tolist():
        pts = times[index]
        group = bisect_right(keyframe_times, pts)
        if group != current:
            current, decoded = group, video.decoded_from(pts)
        for frame in decoded:
            if frame.pts == pts:
                found[index] = video.resized(frame)
                break
        else:
            raise VideoError(Reason.UNREADABLE, f"{video.path}: seeking does not find frame {index}")
    return found


def _past_the_end(path: Path, index: int, num_frames: int) -> ValueError | VideoError:
    if num_frames == 0:
        return VideoError(Reason.NO_FRAMES, f"{path}: not one frame decodes")
    return ValueError(f"{path}: frame {index} asked for, the video decodes to {num_frames} frames")


def is_seek_exact(path: Path, report: DecodeReport, frame_hashes: NDArray[np.uint64]) -> bool:
    """Say whether seeking in a video gives the frames of its in-order decode.

    The timestamps must name the frames one to one, and seeking to up to eight keyframes must land on the frame whose
    hash the in-order decode gave. A frame behind a keyframe then follows from it; stage two compares each frame's hash
    all the same.

    Args:
        path: the video.
        report: of a finished in-order decode.
        frame_hashes: uint64 [num_frames], of the same decode.

    Raises:
        SourceError: the disk gives an error.
    """
    if report.fault is not None or not report.keyframes or not report.timestamps_index_frames:
        return False
    chosen = {report.keyframes[i * len(report.keyframes) // MAX_SEEK_CHECKS] for i in range(MAX_SEEK_CHECKS)}
    try:
        with VideoFile(path) as video:
            for index in sorted(chosen):
                pts = report.frame_pts[index]
                landed = next(video.decoded_from(pts), None)
                if landed is None or landed.pts != pts:
                    return False
                if hash_frames(video.resized(landed)[None])[0] != frame_hashes[index]:
                    return False
    except VideoError:
        # Where it is the disk that fails, nothing is known of the video.
        for _ in read_through(path):
            pass
        return False
    return True
