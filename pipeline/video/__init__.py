"""Decoding: frame i of a video is the i-th frame of a full in-order decode, everywhere."""

from pipeline.video.decoding import DECODER, VideoFile
from pipeline.video.frames import is_seek_exact, read_frames
from pipeline.video.hashing import hash_frames
from pipeline.video.probe import VideoProbe, probe_video
from pipeline.video.resizing import FRAME_HEIGHT, FRAME_RESIZE, FRAME_WIDTH

__all__ = [
    "DECODER",
    "FRAME_HEIGHT",
    "FRAME_RESIZE",
    "FRAME_WIDTH",
    "VideoFile",
    "VideoProbe",
    "hash_frames",
    "is_seek_exact",
    "probe_video",
    "read_frames",
]
