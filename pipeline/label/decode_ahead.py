"""Decode the videos of a shard ahead of the teachers, in processes that may crash or hang without harm."""

import multiprocessing.connection
import os
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from manifests import VideoRecord
from pipeline.errors import Reason
from pipeline.label.messages import FrameChunk, VideoDone
from pipeline.video import FRAME_HEIGHT, FRAME_WIDTH

MAX_ATTEMPTS = 3


@dataclass(frozen=True)
class DecodedChunk:
    """Frames of the video now being read.

    Attributes:
        pixels: uint8 RGB [n, 256, 340, 3].
        valid: bool [n].
        hashes: uint64 [n].
    """

    pixels: NDArray[np.uint8]
    valid: NDArray[np.bool_]
    hashes: NDArray[np.uint64]


@dataclass(frozen=True)
class VideoRestarted:
    """The decoder died on the video; what came of it before is void, and it is decoded from its first frame again."""


@dataclass(frozen=True)
class VideoEnd:
    """How a video ended, and in how many attempts."""

    done: VideoDone
    attempts: int


DecodeEvent = tuple[VideoRecord, DecodedChunk | VideoRestarted | VideoEnd]


class DecodeAhead:
    """A few decoding processes that work through lists of videos; close it after use.

    Args:
        num_processes: how many decode side by side.
        stall_sec: a decoder that sends nothing for so long while its video is waited for has hung.
    """

    def __init__(self, num_processes: int, *, stall_sec: float = 120.0) -> None:
        if num_processes < 1:
            raise ValueError(f"num_processes is {num_processes}; give 1 or more")
        self.wait_sec = 0.0
        self._stall_sec = stall_sec
        self._idle = [_Decoder() for _ in range(num_processes)]

    def close(self) -> None:
        """End the processes."""
        for decoder in self._idle:
            decoder.close()

    def events(self, records: Sequence[VideoRecord]) -> Iterator[DecodeEvent]:
        """Yield the events of all videos, video after video in the order given; each ends in one VideoEnd."""
        waiting = deque(records)
        at_work: deque[tuple[VideoRecord, _Decoder]] = deque()
        try:
            while waiting or at_work:
                while waiting and self._idle:
                    decoder = self._idle.pop(0)
                    decoder.start(waiting[0].path)
                    at_work.append((waiting.popleft(), decoder))
                record, decoder = at_work[0]
                for event in self._read_video(record, decoder):
                    yield record, event
                at_work.popleft()
                self._idle.append(decoder)
        finally:
            # Left early: what the others were sending belongs to nobody.
            for _, decoder in at_work:
                decoder.close()
                self._idle.append(decoder)

    def _read_video(
        self, record: VideoRecord, decoder: "_Decoder"
    ) -> Iterator[DecodedChunk | VideoRestarted | VideoEnd]:
        attempt = 1
        while True:
            started = time.monotonic()
            received = decoder.receive(self._stall_sec)
            self.wait_sec += time.monotonic() - started
            if isinstance(received, DecodedChunk):
                yield received
            elif isinstance(received, VideoDone):
                yield VideoEnd(received, attempt)
                return
            elif attempt < MAX_ATTEMPTS:
                attempt += 1
                yield VideoRestarted()
                decoder.start(record.path)
            else:
                message = f"{record.path}: {received.message}, in each of {MAX_ATTEMPTS} attempts"
                yield VideoEnd(VideoDone(0, None, received.reason, message, False), attempt)
                return


@dataclass(frozen=True)
class _Death:
    reason: Reason
    message: str


class _Decoder:
    """One decoding process, started when it is first needed and again after it died."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None

    def start(self, path: Path) -> None:
        """Tell the process to decode a video; start one where none runs."""
        for _ in range(2):
            if self._process is None or self._process.poll() is not None:
                self._launch()
            assert self._connection is not None
            try:
                self._connection.send(str(path))
                return
            except OSError:
                # It died idle, between two videos: nobody's fault but its own.
                self.close()
        raise RuntimeError("a decoding process ended as soon as it was started")

    def receive(self, stall_sec: float) -> DecodedChunk | VideoDone | _Death:
        """Wait for the next message of the video, or find that the process is dead or hangs."""
        assert self._connection is not None and self._process is not None
        try:
            if not self._connection.poll(stall_sec):
                self.close()
                return _Death(Reason.TIMEOUT, f"the decoder gave nothing for {stall_sec:.0f} s")
            message: FrameChunk | VideoDone = self._connection.recv()
            if isinstance(message, VideoDone):
                return message
            pixels = np.empty((message.num_frames, FRAME_HEIGHT, FRAME_WIDTH, 3), dtype=np.uint8)
            self._connection.recv_bytes_into(pixels.reshape(-1).data)
            return DecodedChunk(pixels, message.valid, message.hashes)
        except (EOFError, OSError):
            code = self._process.wait()
            self.close()
            ended = f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
            return _Death(Reason.CRASHED, f"the decoder {ended}")

    def close(self) -> None:
        """End the process, whatever it is doing, and wait for it."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _launch(self) -> None:
        self.close()
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                # -P and PYTHONPATH: this very package, not a folder called pipeline where the user stands.
                [sys.executable, "-P", "-m", "pipeline.label.decoder_process", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                # Away from the terminal's group: an interrupt is the labeller's to answer.
                start_new_session=True,
                env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": _package_path()},
            )
        self._connection = multiprocessing.connection.Connection(ours.detach())


def _package_path() -> str:
    """Return a PYTHONPATH under which a new process finds this package first."""
    here = str(Path(__file__).resolve().parents[2])
    return os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")]))
