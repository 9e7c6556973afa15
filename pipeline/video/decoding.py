"""Decode a video in order: every frame, once, at the labels' size.

Frame i of a video means, everywhere in the project, the i-th frame that this module yields. PyAV is the decoder: tried
on real clips it follows edit lists and packed B-frames, where decord's frame count and random access do not (see
docs/video.md).
"""

import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import av
import numpy as np
from av.video.reformatter import Interpolation
from numpy.typing import NDArray

from pipeline.errors import Reason, VideoError

FRAME_HEIGHT = 256
FRAME_WIDTH = 340
FRAME_RESIZE = f"{FRAME_HEIGHT}x{FRAME_WIDTH} swscale bilinear"
DECODER = f"PyAV {av.__version__}"

# A container with a duration but no frame count (Matroska, fragmented MP4) is cut short when this much is missing.
MISSING_TAIL_SEC = 0.5
MISSING_TAIL_SHARE = 0.05

# libav prints what it meets to stderr, line by line; faults are reported through VideoError and DecodedVideo instead.
av.logging.set_level(av.logging.PANIC)


@dataclass
class DecodeReport:
    """What an in-order decode met; complete when the iteration has ended.

    Attributes:
        num_frames: frames yielded so far.
        num_corrupt: those among them that the decoder marked as damaged.
        declared_frames: frames the container's header states; None where it states none.
        frame_pts: presentation times in stream time base, in the order yielded; None where the stream has none.
        keyframes: indices of frames that a decoder can start from.
        fault: the typed reason and message why this is not the whole video, or None.
    """

    num_frames: int = 0
    num_corrupt: int = 0
    declared_frames: int | None = None
    frame_pts: list[int | None] = field(default_factory=list)
    keyframes: list[int] = field(default_factory=list)
    fault: tuple[Reason, str] | None = None
    packet_pts: list[int | None] = field(default_factory=list)

    @property
    def timestamps_index_frames(self) -> bool:
        """Whether the container's timestamps alone say which frame is the i-th, so that seeking can be exact."""
        if any(pts is None for pts in self.frame_pts) or any(pts is None for pts in self.packet_pts):
            return False
        wanted = sorted(pts for pts in self.packet_pts if pts is not None)
        return self.frame_pts == wanted and len(set(wanted)) == len(wanted)


class VideoFile:
    """One video file opened for decoding; a context manager, so that no container outlives its use.

    Args:
        path: the file.
        height, width: the size frames are resized to, in pixels, by one bilinear resize.
        num_threads: decoder threads; 0 lets libav choose.

    Raises:
        VideoError: missing, empty, unreadable, or without a video stream.
    """

    def __init__(
        self, path: Path, *, height: int = FRAME_HEIGHT, width: int = FRAME_WIDTH, num_threads: int = 1
    ) -> None:
        self.path = path
        self.height = height
        self.width = width
        self.report = DecodeReport()
        self._container = _open_container(path)
        self.stream = _first_video_stream(self._container, path)
        self.stream.codec_context.thread_count = num_threads
        self.report.declared_frames = self.stream.frames or None

    def __enter__(self) -> "VideoFile":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._container.close()

    @property
    def display_size(self) -> tuple[int, int]:
        """Height and width in pixels as coded; a rotation is applied to frames, not to this."""
        return self.stream.codec_context.height, self.stream.codec_context.width

    @property
    def fps(self) -> float | None:
        """Average frames per second; None where the container does not say."""
        return float(self.stream.average_rate) if self.stream.average_rate else None

    def frames(self) -> Iterator[tuple[NDArray[np.uint8], bool]]:
        """Yield every frame in order, and whether it is undamaged.

        A packet that does not decode is passed over and reported.

        Yields:
            (uint8 RGB [height, width, 3], valid). `report` is complete once the iteration ends.
        """
        for frame in self._decoded():
            self.report.num_corrupt += frame.is_corrupt
            if frame.key_frame:
                self.report.keyframes.append(self.report.num_frames)
            self.report.frame_pts.append(frame.pts)
            self.report.num_frames += 1
            yield self._resized(frame), not frame.is_corrupt

    def frames_from(self, pts: int) -> Iterator[tuple[int | None, NDArray[np.uint8]]]:
        """Seek to the last keyframe at or before `pts`; yield (pts, uint8 frame [height, width, 3]) from there on."""
        try:
            self._container.seek(pts, stream=self.stream, backward=True)
            for frame in self._container.decode(self.stream):
                yield frame.pts, self._resized(frame)
        except av.error.FFmpegError as error:
            raise VideoError(Reason.UNREADABLE, f"{self.path}: seeking fails: {_cause(error)}") from error

    def frame_times(self) -> list[int]:
        """List the presentation times of all frames in order, from the container alone, decoding nothing."""
        try:
            packets = self._container.demux(self.stream)
            times = [packet.pts for packet in packets if packet.size and not packet.is_discard]
        except av.error.FFmpegError as error:
            raise VideoError(Reason.UNREADABLE, f"{self.path}: reading fails: {_cause(error)}") from error
        return sorted(pts for pts in times if pts is not None)

    def _decoded(self) -> Iterator[av.VideoFrame]:
        report = self.report
        num_packets = 0
        end_sec = 0.0
        undecodable = 0
        last_message = ""
        # Without a frame count the other streams are needed, to tell a short picture track from a cut file.
        streams = [self.stream] if report.declared_frames else list(self._container.streams)
        try:
            for packet in self._container.demux(streams):
                if packet.pts is not None and packet.time_base is not None:
                    end_sec = max(end_sec, float((packet.pts + (packet.duration or 0)) * packet.time_base))
                if packet.stream is not self.stream and packet.stream.index != self.stream.index:
                    continue
                if packet.size:
                    num_packets += 1
                    if not packet.is_discard:
                        report.packet_pts.append(packet.pts)
                try:
                    decoded = packet.decode()
                except av.error.FFmpegError as error:
                    undecodable += 1
                    last_message = _cause(error)
                    continue
                for frame in decoded:
                    if isinstance(frame, av.VideoFrame):
                        yield frame
        except av.error.FFmpegError as error:
            report.fault = (
                Reason.TRUNCATED,
                f"{self.path}: reading stopped after {num_packets} packets: {_cause(error)}",
            )
            return
        report.fault = self._judge(num_packets, undecodable, end_sec, last_message)

    def _judge(
        self, num_packets: int, undecodable: int, end_sec: float, last_message: str
    ) -> tuple[Reason, str] | None:
        """Say whether what was decoded is the whole video.

        The container's count is compared with packets, not with frames: packed B-frames and edit lists make the frames
        fewer than the packets of an intact file.
        """
        declared = self.report.declared_frames
        if declared is not None and num_packets < declared:
            return Reason.TRUNCATED, f"{self.path}: the header declares {declared} frames, the file holds {num_packets}"
        if declared is None and self._container.duration is not None:
            start_sec = (self._container.start_time or 0) / av.time_base
            missing_sec = start_sec + self._container.duration / av.time_base - end_sec
            if missing_sec > max(MISSING_TAIL_SEC, MISSING_TAIL_SHARE * self._container.duration / av.time_base):
                return (
                    Reason.TRUNCATED,
                    f"{self.path}: the last {missing_sec:.1f} s that the header declares are missing",
                )
        if undecodable:
            return (
                Reason.FRAME_COUNT,
                f"{self.path}: {undecodable} of {num_packets} packets do not decode: {last_message}",
            )
        if self.report.num_corrupt:
            return (
                Reason.CORRUPT,
                f"{self.path}: {self.report.num_corrupt} of {self.report.num_frames} frames are damaged",
            )
        return None

    def _resized(self, frame: av.VideoFrame) -> NDArray[np.uint8]:
        """Apply the one bilinear resize, and the rotation that the container asks of a player."""
        quarter_turns = round(frame.rotation / 90) % 4
        sideways = quarter_turns % 2 == 1
        small = frame.reformat(
            width=self.height if sideways else self.width,
            height=self.width if sideways else self.height,
            format="rgb24",
            interpolation=Interpolation.BILINEAR,
        )
        pixels = np.asarray(small.to_ndarray(), dtype=np.uint8)
        return np.ascontiguousarray(np.rot90(pixels, quarter_turns)) if quarter_turns else pixels


def _open_container(path: Path) -> av.container.InputContainer:
    try:
        found = path.stat()
    except OSError as error:
        raise VideoError(Reason.MISSING, f"{path}: {error.strerror}") from error
    if not stat.S_ISREG(found.st_mode):
        # Opening a FIFO or a device may wait for ever.
        raise VideoError(Reason.UNREADABLE, f"{path}: not a file but a folder, FIFO, socket or device")
    if found.st_size == 0:
        raise VideoError(Reason.EMPTY_FILE, f"{path}: the file is empty")
    try:
        # Titles in old AVIs are often not UTF-8, and say nothing that labels need.
        return av.open(str(path), metadata_errors="ignore")
    except (av.error.FFmpegError, OSError) as error:
        raise VideoError(Reason.UNREADABLE, f"{path}: not a readable video: {_cause(error)}") from error


def _first_video_stream(container: av.container.InputContainer, path: Path) -> av.VideoStream:
    """Return the first stream of moving pictures: the cover of a music file is not one."""
    for stream in container.streams.video:
        if not stream.disposition & av.stream.Disposition.attached_pic:
            stream.thread_type = "AUTO"
            return stream
    container.close()
    raise VideoError(Reason.NO_VIDEO_STREAM, f"{path}: the file has no video stream")


def _cause(error: av.error.FFmpegError | OSError) -> str:
    return error.strerror or type(error).__name__
