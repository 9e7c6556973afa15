"""Decode a video in order: every frame, once, at the labels' size.

Frame i of a video means, everywhere in the project, the i-th frame that this module yields. PyAV is the decoder: tried
on real clips it follows edit lists and packed B-frames, where decord's frame count and random access do not (see
docs/video.md).
"""

import logging
import stat
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import av
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import Reason, VideoError
from pipeline.video.damage import DamageTrace, tells_of_damage
from pipeline.video.report import NO_PTS, DecodeReport, find_fault, settle_count
from pipeline.video.resizing import FRAME_HEIGHT, FRAME_WIDTH, FrameResizer
from pipeline.video.second_opinion import count_with_decord
from pipeline.video_disk import ABSENT, REFUSED, source_fault

DECODER = f"PyAV {av.__version__}"

# What libav logs while it decodes is the only word on most damage; it is read frame by frame and goes nowhere else.
av.logging.set_level(av.logging.INFO)
av.logging.set_skip_repeated(False)
logging.getLogger("libav").setLevel(logging.CRITICAL)


class VideoFile:
    """One video file opened for decoding; a context manager, so that no container outlives its use.

    Args:
        path: the file.
        height, width: the size frames are resized to, in pixels, by one bilinear resize.

    One thread decodes: what libav says of a packet then comes while that packet is decoded. A machine is filled by
    decoding several videos side by side.

    Raises:
        VideoError: missing, empty, unreadable, or without a video stream.
        SourceError: the disk gives another error than that there is no such file.
    """

    def __init__(self, path: Path, *, height: int = FRAME_HEIGHT, width: int = FRAME_WIDTH) -> None:
        self.path = path
        self.height = height
        self.width = width
        self.report = DecodeReport()
        self._container = _open_container(path)
        self.stream = _first_video_stream(self._container, path)
        self.stream.codec_context.thread_count = 1
        self.stream.codec_context.copy_opaque = True
        self.report.declared_frames = self.stream.frames or None
        self.report.num_indexed = len(self.stream.index_entries)
        self._damage = DamageTrace()
        self._resizer = FrameResizer(height, width)
        # Packets whose picture has not come yet, from the first keyframe on.
        self._awaited: set[int] = set()
        self._first_keyframe_pts: int | None = None

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

    @property
    def header_frames(self) -> int | None:
        """Frames that the header states, or that its duration comes to; None where it has neither."""
        if self.report.declared_frames is None and self.fps and self._container.duration:
            return round(self._container.duration / av.time_base * self.fps) or None
        return self.report.declared_frames

    def frames(self) -> Iterator[tuple[NDArray[np.uint8], bool]]:
        """Yield every frame in order, and whether it is undamaged.

        A packet that does not decode is passed over and reported.

        Yields:
            (uint8 RGB [height, width, 3], valid). `report` is complete once the iteration ends, but for the second
            opinion that `settling` asks for.
        """
        for frame, valid in self.decoded():
            yield self.resized(frame), valid

    def decoded(self) -> Iterator[tuple[av.VideoFrame, bool]]:
        """Yield what `frames` does before the resize, for those who want few of the pixels or none."""
        report = self.report
        for frame in self._decoded():
            # A decoder may flush a picture that no packet is known for; it counts as the last packet's.
            number = frame.opaque[0] if isinstance(frame.opaque, tuple) else report.num_packets - 1
            self._awaited.discard(number)
            if frame.is_corrupt:
                self._damage.add(number)
            damaged = self._damage.reaches(number, frame.pts)
            report.num_corrupt += damaged
            if frame.key_frame:
                report.keyframes.append(report.num_frames)
            report.frame_pts.append(NO_PTS if frame.pts is None else frame.pts)
            report.num_frames += 1
            yield frame, not damaged

    def settling(self) -> Iterator[None]:
        """Have a second decoder count, after the last frame, where the container does not bear the count out.

        Yields:
            About every second while that takes. `report.fault` and `report.note` are final once the iteration ends.

        Raises:
            WorkspaceError: the second decoder cannot be loaded.
        """
        report = self.report
        if report.fault is None and report.num_frames and not report.count_is_explained:
            self._note(*settle_count(report, (yield from count_with_decord(self.path))))

    def decoded_from(self, pts: int) -> Iterator[av.VideoFrame]:
        """Seek to the last keyframe at or before `pts` and yield the frames from there on."""
        try:
            self._container.seek(pts, stream=self.stream, backward=True)
            yield from self._container.decode(self.stream)
        except av.error.FFmpegError as error:
            raise VideoError(Reason.UNREADABLE, f"{self.path}: seeking fails: {_cause(error)}") from error

    def packet_times(self) -> tuple[list[int], list[int]]:
        """List the presentation times of all frames, and of the keyframes, each in order, decoding nothing."""
        shown, keyframes = [], []
        try:
            for packet in self._container.demux(self.stream):
                if packet.size and packet.pts is not None:
                    if not packet.is_discard:
                        shown.append(packet.pts)
                    if packet.is_keyframe:
                        keyframes.append(packet.pts)
        except av.error.FFmpegError as error:
            raise VideoError(Reason.UNREADABLE, f"{self.path}: reading fails: {_cause(error)}") from error
        return sorted(shown), sorted(keyframes)

    def _decoded(self) -> Iterator[av.VideoFrame]:
        report = self.report
        end_sec = 0.0
        # Without a frame count the other streams are needed, to tell a short picture track from a cut file.
        streams = [self.stream] if report.declared_frames else list(self._container.streams)
        tick_sec = {stream.index: float(stream.time_base) for stream in streams if stream.time_base is not None}
        try:
            for packet in self._container.demux(streams):
                if packet.pts is not None:
                    end_ticks = packet.pts + (packet.duration or 0)
                    end_sec = max(end_sec, end_ticks * tick_sec.get(packet.stream_index, 0.0))
                if packet.stream_index == self.stream.index:
                    yield from self._decode(packet)
        except av.error.FFmpegError as error:
            report.read_failed = isinstance(error, OSError)
            report.fault = (
                Reason.TRUNCATED,
                f"{self.path}: reading stopped after {report.num_packets} packets: {_cause(error)}",
            )
            return
        self._judge(end_sec)

    def _decode(self, packet: av.Packet) -> list[av.VideoFrame]:
        """Decode one packet, or what the decoder still holds where it is empty; take note of what goes wrong."""
        report = self.report
        number = report.num_packets
        if packet.size:
            report.num_packets += 1
            # PyAV knows such objects by their address: a tuple of its own, where numbers would be shared.
            packet.opaque = (number,)
            if packet.is_discard:
                report.num_discarded += 1
            else:
                report.packet_pts.append(NO_PTS if packet.pts is None else packet.pts)
            if packet.is_keyframe:
                self._damage.begin_group(number, packet.pts)
            if self._owes_picture(packet):
                self._awaited.add(number)
        with av.logging.Capture() as log:
            try:
                frames = packet.decode()
            except av.error.FFmpegError as error:
                report.num_undecodable += 1
                report.last_error = _cause(error)
                frames = []
                self._damage.add(number)
        if packet.is_corrupt or any(tells_of_damage(level, message) for level, _, message in log):
            self._damage.add(number)
        return [frame for frame in frames if isinstance(frame, av.VideoFrame)]

    def _owes_picture(self, packet: av.Packet) -> bool:
        """Say whether a packet of an intact file gives a picture of its own.

        Not so what stands before the first keyframe, or leans on it and is shown before it (the file was cut there),
        and not in MPEG-4 part 2, where pictures may be packed in twos, with a placeholder after.
        """
        if packet.is_keyframe and self._first_keyframe_pts is None:
            self._first_keyframe_pts = NO_PTS if packet.pts is None else packet.pts
        if self._first_keyframe_pts is None or packet.is_discard or self.stream.codec_context.name == "mpeg4":
            return False
        return packet.pts is None or packet.pts >= self._first_keyframe_pts

    def _judge(self, end_sec: float) -> None:
        """Say whether what was decoded is the whole video."""
        duration_sec = missing_sec = None
        if self._container.duration is not None:
            duration_sec = self._container.duration / av.time_base
            missing_sec = (self._container.start_time or 0) / av.time_base + duration_sec - end_sec
        report = self.report
        report.num_pictureless = len(self._awaited)
        self._note(find_fault(report, duration_sec, missing_sec or 0.0), None)

    def _note(self, fault: tuple[Reason, str] | None, note: str | None) -> None:
        self.report.fault = fault and (fault[0], f"{self.path}: {fault[1]}")
        self.report.note = note and f"{self.path}: {note}"

    def resized(self, frame: av.VideoFrame) -> NDArray[np.uint8]:
        """Apply the one bilinear resize, and the rotation that the container asks of a player."""
        pixels = np.empty((self.height, self.width, 3), np.uint8)
        self.resize_into(frame, pixels)
        return pixels

    def resize_into(self, frame: av.VideoFrame, pixels: NDArray[np.uint8]) -> None:
        """As `resized`, into memory that is there: uint8 [height, width, 3]."""
        self._resizer.resize_into(frame, pixels)


def _open_container(path: Path) -> av.container.InputContainer:
    try:
        found = path.stat()
    except OSError as error:
        if error.errno not in ABSENT | REFUSED:
            raise source_fault(path, error) from error
        reason = Reason.MISSING if error.errno in ABSENT else Reason.UNREADABLE
        raise VideoError(reason, f"{path}: {error.strerror}") from error
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
