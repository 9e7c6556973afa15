"""The synthetic data set on disk: H.264 MP4 files and the manifest that lists them."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np

from manifests.atomic import publish
from manifests.draft import ManifestDraft
from manifests.record import VideoRecord
from manifests.synthetic.render import render_clip
from manifests.synthetic.spec import PlannedClip, SyntheticSpec, plan_clips

# Counts up when the drawing changes, so that files of an older version are drawn anew.
DRAWING_VERSION = 1


def write_synthetic(
    videos_dir: Path, spec: SyntheticSpec, *, on_progress: Callable[[int, int], None] | None = None
) -> ManifestDraft:
    """Write the data set's videos as ``<split>/<video_id>.mp4`` and list them, probed.

    A file that is there, complete and of the same spec is kept, so that a second call is quick and a broken one goes
    on.

    Args:
        videos_dir: made when missing.
        spec: the data set.
        on_progress: called with (done, total) after each video.

    Raises:
        ManifestError: a file cannot be written.
    """
    clips = plan_clips(spec)
    records = []
    for number, clip in enumerate(clips, start=1):
        path = videos_dir.absolute() / clip.split / f"{clip.video_id}.mp4"
        fingerprint = _fingerprint(spec, clip)
        if not _is_intact(path, fingerprint, spec):
            with publish(path) as part_path:
                _encode(part_path, render_clip(spec, clip).frames_THWC, fps=spec.fps, comment=fingerprint)
        records.append(_record(spec, clip, path))
        if on_progress is not None:
            on_progress(number, len(clips))
    return ManifestDraft(records, [])


def _record(spec: SyntheticSpec, clip: PlannedClip, path: Path) -> VideoRecord:
    return VideoRecord(
        clip.video_id,
        path,
        clip.split,
        clip.label,
        clip.class_name,
        num_frames=spec.num_frames,
        fps=float(spec.fps),
        height=spec.height,
        width=spec.width,
    )


def _fingerprint(spec: SyntheticSpec, clip: PlannedClip) -> str:
    """Digest all that a clip's pixels depend on; it stands in the file as its comment."""
    settings = (DRAWING_VERSION, spec.seed, spec.num_frames, spec.height, spec.width, spec.fps, clip)
    return hashlib.sha256(repr(settings).encode()).hexdigest()


def _is_intact(path: Path, fingerprint: str, spec: SyntheticSpec) -> bool:
    """Say whether a file is a complete video of this fingerprint; its packets are counted, not decoded."""
    try:
        with av.open(path) as container:
            if container.metadata.get("comment") != fingerprint or not container.streams.video:
                return False
            num_packets = sum(1 for packet in container.demux(video=0) if packet.size)
    except (OSError, av.FFmpegError):
        return False
    return num_packets == spec.num_frames


def _encode(path: Path, frames_THWC: np.ndarray, *, fps: int, comment: str) -> None:
    """Encode uint8 RGB frames [T, H, W, 3] as H.264 in MP4; the same frames give the same bytes."""
    with av.open(path, "w", format="mp4") as container:
        container.metadata["comment"] = comment
        # One thread: the bytes must not depend on the machine's number of cores.
        stream = container.add_stream("libx264", rate=fps, options={"preset": "veryfast", "crf": "20", "threads": "1"})
        stream.height, stream.width = frames_THWC.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame in frames_THWC:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
