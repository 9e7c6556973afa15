"""What the chaos program has labelled: real clips, and among them one video of each kind of poison."""

import os
import random
import struct
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from numpy.typing import NDArray
from workload import find_videos

from manifests import VideoRecord

# Of a whole frame, RGB: what the teachers of `chaos_teachers` die of, never come back from, and do not wait at.
DEADLY, HANGING, ENDLESS = (255, 255, 255), (255, 0, 255), (0, 255, 0)
# More than a decoder of the small clips takes, less than one that holds a frame of GIANT pixels.
DECODER_MEMORY_GIB = 0.25
GIANT_HEIGHT, GIANT_WIDTH = 8_000, 10_000
# A file is endless beyond 20 times what its header declares and 10,000 more.
DECLARED_FRAMES, ENDLESS_FRAMES = 1, 10_240


class Poison(NamedTuple):
    """How a bad video must end: its outcome, and the reasons that may be given for it."""

    outcome: str
    reasons: frozenset[str]


POISON = {
    # A worker that is killed while a video hangs in it is a death like any other.
    "hang": Poison("quarantined", frozenset({"timeout", "crashed"})),
    "crash": Poison("quarantined", frozenset({"crashed"})),
    "leak": Poison("quarantined", frozenset({"out_of_memory"})),
    "endless": Poison("quarantined", frozenset({"timeout"})),
    "half": Poison("partial", frozenset({"truncated"})),
    "cut": Poison("quarantined", frozenset({"unreadable"})),
    "text": Poison("quarantined", frozenset({"unreadable"})),
    "empty": Poison("quarantined", frozenset({"empty_file"})),
    "fifo": Poison("quarantined", frozenset({"unreadable"})),
    "absent": Poison("quarantined", frozenset({"missing"})),
}


def make_videos(
    videos_dir: Path, num_videos: int, folder: Path, generator: random.Random, kinds: list[str]
) -> list[VideoRecord]:
    """Mix real clips, where they are too few under several ids, with poison of these kinds, its name its id."""
    clips = find_videos(videos_dir, num_videos)
    records = [
        VideoRecord(f"{i:05d}-{clip.path.stem}", clip.path, "train", 0, "any")
        for i, clip in ((i, clips[i % len(clips)]) for i in range(num_videos))
    ]
    folder.mkdir(parents=True)
    for kind in kinds:
        path = _write_poison(kind, folder)
        records.insert(generator.randrange(len(records) + 1), VideoRecord(kind, path, "train", 0, "any"))
    return records


def _write_poison(kind: str, folder: Path) -> Path:
    path = folder / f"{kind}.mp4"
    if kind in ("crash", "hang"):
        _write(path, [_plain(DEADLY if kind == "crash" else HANGING)] * 30)
    elif kind == "leak":
        path = path.with_suffix(".avi")
        _write(path, [_plain((0, 0, 0), GIANT_HEIGHT, GIANT_WIDTH)] * 2, codec="png", pix_fmt="rgb24")
    elif kind == "endless":
        path = path.with_suffix(".avi")
        _write(path, [_plain(ENDLESS, 32, 32)] * ENDLESS_FRAMES, codec="mpeg4")
        _understate(path)
    elif kind in ("half", "cut"):
        # Its index before its frames: those before the cut decode. Else nothing does.
        noise = np.random.default_rng(0).integers(0, 255, (60, 96, 128, 3), np.uint8)
        _write(path, list(noise), container_options={"movflags": "faststart"} if kind == "half" else {})
        os.truncate(path, path.stat().st_size // 2)
    elif kind == "text":
        path.write_text("no video " * 100)
    elif kind == "empty":
        path.touch()
    elif kind == "fifo":
        os.mkfifo(path)
    return path


def _plain(colour: tuple[int, int, int], height: int = 240, width: int = 320) -> NDArray[np.uint8]:
    return np.broadcast_to(np.array(colour, np.uint8), (height, width, 3))


def _write(
    path: Path,
    frames: list[NDArray[np.uint8]],
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    container_options: dict[str, str] | None = None,
) -> None:
    with av.open(str(path), "w", container_options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pix_fmt
        picture = made = None
        for image in frames:
            if image is not picture:
                picture, made = image, av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=pix_fmt)
            assert made is not None
            made.pts = None
            container.mux(stream.encode(made))
        container.mux(stream.encode(None))


def _understate(path: Path) -> None:
    """Have an AVI file's headers declare next to no frames."""
    content = bytearray(path.read_bytes())
    # Frames in the main header, and the length of the stream in its own: 16 and 32 bytes into their chunks.
    for chunk, offset in ((b"avih", 16), (b"strh", 32)):
        start = content.index(chunk) + 8 + offset
        content[start : start + 4] = struct.pack("<I", DECLARED_FRAMES)
    path.write_bytes(content)
