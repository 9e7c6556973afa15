"""A decoding process that ends no video before as many others as it is told are as far as their last frames."""

import time
from collections.abc import Iterator
from pathlib import Path

from pipeline.label import decoder_process
from pipeline.label.messages import DecodeLimits, FrameChunk, Message
from tests.pipeline.label.slow_decoder import decode_frames

WAIT_SEC = 120.0


def decode(path: Path, limits: DecodeLimits, slot: decoder_process.Slot) -> Iterator[Message]:
    """Decode video FOLDER/NUMBER.mp4 of a FOLDER named by how many videos meet in it and their frames: 8-of-304."""
    num_videos, num_frames = map(int, path.parent.name.split("-of-"))
    for message in decode_frames(num_frames, slot, chunk_sec=0.0):
        if isinstance(message, FrameChunk) and message.hashes[-1] == num_frames - 1:
            path.touch()
            _wait_for_all(path.parent, num_videos)
        yield message


def _wait_for_all(folder: Path, num_videos: int) -> None:
    """Return once all videos of the folder have come so far; die where they do not come."""
    deadline = time.monotonic() + WAIT_SEC
    while len(list(folder.iterdir())) < num_videos:
        if time.monotonic() > deadline:
            raise SystemExit(f"after {WAIT_SEC} s not all of {num_videos} videos are decoded: {folder}")
        time.sleep(0.01)


if __name__ == "__main__":
    decoder_process.main(decode)
