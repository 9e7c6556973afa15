"""Find out what a video holds by decoding all of it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import Reason, VideoError
from pipeline.video.decoding import VideoFile
from pipeline.video_disk import read_through

PROGRESS_FRAMES = 100


@dataclass(frozen=True)
class VideoProbe:
    """What a full in-order decode found.

    Attributes:
        num_frames: frames that decode, the trusted count.
        fps: average frames per second; None where the container does not say.
        height, width: coded size in pixels.
        declared_frames: the header's count; None where it states none.
        complete: whether this is the whole video.
        reason: why it is not, or None.
        message: the reason in words, or for a whole video what is odd about it; else None.
    """

    num_frames: int
    fps: float | None
    height: int
    width: int
    declared_frames: int | None
    complete: bool
    reason: Reason | None = None
    message: str | None = None


def probe_video(path: Path, *, on_progress: Callable[[bool], None] = lambda _: None) -> VideoProbe:
    """Decode a video once and count what it gives.

    Args:
        path: the video.
        on_progress: called every hundred frames, since a long video is not a hanging one, and while a second decoder
            counts; told whether that is what the header lets expect: no more frames than it declares.

    Raises:
        VideoError: nothing decodes.
        WorkspaceError: the second decoder cannot be loaded.
        SourceError: the disk gives an error.
    """

    def read_again() -> None:
        for _ in read_through(path):
            on_progress(True)

    try:
        opened = VideoFile(path)
    except VideoError as error:
        if error.reason is Reason.UNREADABLE:
            read_again()
        raise
    with opened as video:
        declared = video.header_frames
        for index, _ in enumerate(video.decoded()):
            if index % PROGRESS_FRAMES == 0:
                on_progress(declared is not None and index < declared)
        if video.report.read_failed:
            read_again()
        for _ in video.settling():
            on_progress(True)
        if video.report.num_frames == 0:
            raise VideoError(Reason.NO_FRAMES, f"{path}: not one frame decodes")
        reason, message = video.report.fault or (None, video.report.note)
        return VideoProbe(
            num_frames=video.report.num_frames,
            fps=video.fps,
            height=video.display_size[0],
            width=video.display_size[1],
            declared_frames=video.report.declared_frames,
            complete=reason is None,
            reason=reason,
            message=message,
        )
