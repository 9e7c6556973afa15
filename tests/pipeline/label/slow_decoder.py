"""A decoding process whose work is to sleep: as many of them as a test likes decode side by side on any machine."""

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pipeline.label import decoder_process
from pipeline.label.messages import DecodeLimits, FrameChunk, Message, VideoDone

CHUNK_SEC = 0.06


def decode(path: Path, limits: DecodeLimits, slot: decoder_process.Slot) -> Iterator[Message]:
    """Give as many frames as the file's name says, at one pace."""
    return decode_frames(int(path.stem), slot, chunk_sec=CHUNK_SEC)


def decode_frames(num_frames: int, slot: decoder_process.Slot, *, chunk_sec: float) -> Iterator[Message]:
    """Give so many frames, whose hashes are their indices, chunk by chunk."""
    for start in range(0, num_frames, decoder_process.CHUNK_FRAMES):
        num_here = min(decoder_process.CHUNK_FRAMES, num_frames - start)
        slot()[:num_here] = start % 256
        time.sleep(chunk_sec)
        yield FrameChunk(num_here, np.ones(num_here, bool), np.arange(start, start + num_here, dtype=np.uint64))
    yield VideoDone(num_frames, num_frames, None, None, True)


if __name__ == "__main__":
    decoder_process.main(decode)
