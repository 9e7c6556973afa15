"""Real video files for tests, encoded here with PyAV."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray


def moving_frames(num_frames: int, height: int = 96, width: int = 128, seed: int = 0) -> NDArray[np.uint8]:
    """Draw frames uint8 [n, height, width, 3] that all differ: a bright bar moves over a textured ground."""
    generator = np.random.default_rng(seed)
    ground = np.kron(generator.integers(40, 160, (height // 8, width // 8, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    frames = np.repeat(ground[None], num_frames, axis=0)
    for index in range(num_frames):
        start = 5 * index % (width - 12)
        frames[index, :, start : start + 12] = 240
        frames[index, 6 * index % (height - 8) :][:8] = 20
    return frames


def write_video(
    path: Path,
    frames: NDArray[np.uint8],
    *,
    codec: str = "libx264",
    fps: int = 25,
    keyframe_every: int = 12,
    pix_fmt: str = "yuv420p",
    pts: Sequence[int] | None = None,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    metadata: Sequence[tuple[str, str]] = (),
) -> Path:
    """Encode frames uint8 [n, H, W, 3] to a file and return its path; `pts`, in frames, is 0, 1, 2, ... by default."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", container_options=container_options or {}) as container:
        for key, value in metadata:
            container.metadata[key] = value
        stream = container.add_stream(codec, rate=fps, options=options or {})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = pix_fmt
        stream.codec_context.gop_size = keyframe_every
        stream.time_base = Fraction(1, fps)
        for index, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts = index if pts is None else pts[index]
            frame.time_base = Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_audio(path: Path, seconds: float = 0.5) -> Path:
    """Write a file with sound and no pictures."""
    rate = 44100
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=rate)
        samples = np.zeros((1, int(seconds * rate)), dtype=np.float32)
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
        frame.sample_rate = rate
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path
