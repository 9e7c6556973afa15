"""Pixels from a decoding process to its labeller, through memory that both see: decoded there, and read there."""

import contextlib
import math
import mmap
import os
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from pipeline.video import FRAME_HEIGHT, FRAME_WIDTH

CHUNK_FRAMES = 16
# Decoders work side by side as far as each one's video has room: 1,024 frames, 267 MB, are 17 s at 60 frames/s.
MAX_SLOTS = 64
MIN_SLOTS = 8
# All rings of a machine together take no more of its memory.
_MEMORY_SHARE = 1 / 8
_SLOT_SHAPE = (CHUNK_FRAMES, FRAME_HEIGHT, FRAME_WIDTH, 3)
_SLOT_BYTES = math.prod(_SLOT_SHAPE)


def choose_num_slots(num_rings: int, *, memory_bytes: int, num_processors: int) -> int:
    """Choose the slots of each of a worker's rings, as if every processor of the machine had one.

    Args:
        num_rings: of this worker.
        memory_bytes, num_processors: of the machine, or of the container that bounds them.
    """
    ring_bytes = memory_bytes * _MEMORY_SHARE / max(num_rings, num_processors)
    return max(MIN_SLOTS, min(MAX_SLOTS, int(ring_bytes / _SLOT_BYTES)))


def _map(descriptor: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Map the ring's memory: its slots, and one byte that is 1 while the decoder is at work.

    It stays mapped as long as the arrays, or views of them, are in use.
    """
    memory = np.frombuffer(mmap.mmap(descriptor, 0), dtype=np.uint8)
    return memory[:-1].reshape(-1, *_SLOT_SHAPE), memory[-1:]


class FrameSource:
    """The labeller's side of a ring: it makes the memory, reads the slots in turn and gives them back.

    Args:
        num_slots: how many chunks a decoder may be ahead of the teachers; the system gives memory for those in use.

    Attributes:
        descriptors: of the memory and of the pipe that tells of free slots; the decoding process inherits both.

    Raises:
        OSError: the system gives no memory, or no more descriptors; none stays open.
    """

    def __init__(self, num_slots: int) -> None:
        with contextlib.ExitStack() as if_it_fails:
            memory = os.memfd_create("kinet-frames")
            if_it_fails.callback(os.close, memory)
            os.ftruncate(memory, num_slots * _SLOT_BYTES + 1)
            free_for_reading, self._free = os.pipe()
            if_it_fails.callback(os.close, free_for_reading)
            if_it_fails.callback(os.close, self._free)
            self.descriptors = (memory, free_for_reading)
            self._slots, self._at_work = _map(memory)
            if_it_fails.pop_all()
        self._turn = 0

    @property
    def decoder_is_at_work(self) -> bool:
        """Whether the decoder decodes now, and waits neither for a free slot nor for a video."""
        return bool(self._at_work[0])

    def take(self, num_frames: int) -> NDArray[np.uint8]:
        """Return the next chunk's frames, uint8 [n, 256, 340, 3]; they stay as they are until `give_back`."""
        return self._slots[self._turn, :num_frames]

    def give_back(self) -> None:
        """Let the decoder use the slot last taken again."""
        self._turn = (self._turn + 1) % len(self._slots)
        # Without a decoder nobody waits for it.
        with contextlib.suppress(BrokenPipeError):
            os.write(self._free, b"1")

    def drop_inherited(self) -> None:
        """Close what the decoding process has inherited by now."""
        for descriptor in self.descriptors:
            os.close(descriptor)

    def close(self) -> None:
        """Close the pipe; a decoder that waits for a free slot finds its end."""
        os.close(self._free)


class LabellerGoneError(Exception):
    """The labeller of a decoding process has closed its side, or has ended."""


class FrameSink:
    """The decoder's side of a ring, over the descriptors it inherited."""

    def __init__(self, memory: int, free: int) -> None:
        self._slots, self._at_work = _map(memory)
        self._free = free
        self._num_passed_on = 0
        self._is_free = False

    def slot(self) -> NDArray[np.uint8]:
        """Return the next slot, uint8 [16, 256, 340, 3], once it is free; the same one until it is passed on.

        Raises:
            LabellerGoneError: nobody will free it.
        """
        if not self._is_free:
            if self._num_passed_on >= len(self._slots):
                with self.waiting():
                    given_back = os.read(self._free, 1)
                if not given_back:
                    raise LabellerGoneError
            self._is_free = True
        return self._slots[self._num_passed_on % len(self._slots)]

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Tell the labeller that the decoder has nothing to do meanwhile."""
        self._at_work[0] = 0
        yield
        self._at_work[0] = 1

    def pass_on(self) -> None:
        """Leave the slot to the labeller, who is to be told of it."""
        self._num_passed_on += 1
        self._is_free = False
