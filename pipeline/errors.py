"""The error tree of the engine and of the floors above it.

KinetError                     (manifests.errors) one line on stderr, exit code 1
├── ManifestError              (manifests.errors)
├── OptionError                a value given on the command line is wrong; exit code 2
├── WorkspaceError             a workspace that lacks or contradicts what a command needs
├── SourceError                the disk of the videos fails or is not mounted, which is no video's fault
├── VideoError                 one video cannot be labelled; `.reason` is the typed reason that is counted
├── ShardError                 a shard or receipt that is damaged or not what it should be
├── PlanError                  a plan that contradicts what is on disk (fingerprint, manifest changed)
├── TeacherError               a teacher file that is missing, malformed, or holds code
├── LabellingError             a teacher or a worker fails on shards, for no fault of their videos
├── PredictionError            a teacher raises an error on frames, or gives labels that are none
├── CheckpointError            a checkpoint or file of weights that is missing, damaged, holds code or is of another run
└── InterruptedRun             SIGINT or SIGTERM; exit code 130 or 143
"""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum

from manifests.errors import KinetError, ManifestError, UnknownDatasetError

__all__ = [
    "CheckpointError",
    "InterruptedRun",
    "KinetError",
    "LabellingError",
    "ManifestError",
    "OptionError",
    "PlanError",
    "PredictionError",
    "Reason",
    "ShardError",
    "SourceError",
    "TeacherError",
    "UnknownDatasetError",
    "VideoError",
    "WorkspaceError",
    "option_errors",
]


class Reason(StrEnum):
    """Why a video has no labels, or not all of them. The names stand in receipts, quarantine.csv and partial.csv."""

    MISSING = "missing"
    EMPTY_FILE = "empty_file"
    UNREADABLE = "unreadable"
    NO_VIDEO_STREAM = "no_video_stream"
    NO_FRAMES = "no_frames"
    FRAME_COUNT = "frame_count"
    COUNT_UNKNOWN = "count_unknown"
    TRUNCATED = "truncated"
    CORRUPT = "corrupt"
    CRASHED = "crashed"
    TIMEOUT = "timeout"
    OUT_OF_MEMORY = "out_of_memory"
    TEACHER_FAILED = "teacher_failed"


class OptionError(KinetError):
    """A value given on the command line is wrong; exit code 2."""


@contextmanager
def option_errors() -> Iterator[None]:
    """Turn a ValueError into an OptionError: for the building of options and configuration, and nothing else.

    A ValueError from anywhere else is a fault of the program and must show its traceback.
    """
    try:
        yield
    except ValueError as error:
        raise OptionError(str(error)) from error


class WorkspaceError(KinetError):
    """The workspace lacks or contradicts what a command needs."""


class SourceError(KinetError):
    """The disk that holds the videos fails or is not there on this machine; it says nothing of any video."""


class VideoError(KinetError):
    """One video cannot be decoded.

    Attributes:
        reason: the typed reason under which the video is counted.
    """

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(reason, message)
        self.reason = reason
        self.message = message

    def __str__(self) -> str:
        return self.message


class ShardError(KinetError):
    """A shard or its receipt is damaged, or is not what the plan says."""


class PlanError(KinetError):
    """The plan on disk and what was asked for do not fit together."""


class TeacherError(KinetError):
    """A teacher file is missing, malformed, or would execute code."""


class LabellingError(KinetError):
    """A teacher or a worker fails on a shard, for no fault of its videos."""


class PredictionError(KinetError):
    """A teacher raised an error on frames, or gave labels that are none, such as NaN.

    Attributes:
        with_videos: videos were in the teachers; else it was a batch of plain frames, which is no video's doing.
    """

    def __init__(self, message: str, with_videos: bool) -> None:
        super().__init__(message, with_videos)
        self.message = message
        self.with_videos = with_videos

    def __str__(self) -> str:
        return self.message


class CheckpointError(KinetError):
    """A checkpoint or file of weights is missing, damaged, holds code, or belongs to another configuration."""


class InterruptedRun(KinetError):
    """The user or the scheduler ended the run.

    Attributes:
        exit_code: 130 for SIGINT, 143 for SIGTERM.
    """

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message, exit_code)
        self.message = message
        self.exit_code = exit_code

    def __str__(self) -> str:
        return self.message
