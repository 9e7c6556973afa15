"""One decoding process, and what it may do: crash, hang, or be ended from outside."""

import contextlib
import logging
import multiprocessing.connection
import os
import platform
import socket
import struct
import subprocess
import sys
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import KinetError, Reason, SourceError, WorkspaceError
from pipeline.label.decoder_end import Death, EndedFromOutside, judge_exit
from pipeline.label.frame_ring import FrameSource
from pipeline.label.last_words import LastWords
from pipeline.label.messages import (
    READY,
    DecodeLimits,
    FrameChunk,
    InSight,
    Message,
    OutsideFault,
    Request,
    SightCheck,
    StillSettling,
    VideoDone,
)

logger = logging.getLogger(__name__)

DECODER_PROGRAM = "pipeline.label.decoder_process"
# A process that was killed but reads from a disk that does not answer cannot end; it is left to the system.
KILL_WAIT_SEC = 10.0
# Imports from a busy network disk may take minutes; a process that was killed meanwhile is started again.
START_SEC = 300.0
MAX_STARTS = 3


@dataclass(frozen=True)
class DecodedChunk:
    """Frames of the video now being read.

    Attributes:
        pixels: uint8 RGB [n, 256, 340, 3]; only until the next event is asked for.
        valid: bool [n].
        hashes: uint64 [n].
    """

    pixels: NDArray[np.uint8]
    valid: NDArray[np.bool_]
    hashes: NDArray[np.uint64]


class Decoder:
    """One decoding process, started when it is first needed and again after it died.

    The thread that starts it must live as long as it shall: the kernel ends it with it.

    Args:
        program: the module that decodes.
        limits: of the process and one video.
        stall_sec: a process that sends nothing for so long has hung.
        num_slots: chunks of 16 frames that it may decode before they are asked for.
    """

    def __init__(self, program: str, limits: DecodeLimits, stall_sec: float, num_slots: int) -> None:
        self._program = program
        self._limits = limits
        self._stall_sec = stall_sec
        self._num_slots = num_slots
        self._request: Request | None = None
        self._ready = False
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._frames: FrameSource | None = None
        self._stderr: LastWords | None = None
        self._holds_chunk = False
        self._owes_answer = False

    @property
    def is_at_work(self) -> bool:
        """Whether the process decodes, and waits neither for room nor for a video."""
        return self._frames is not None and self._frames.decoder_is_at_work

    def start(self, path: Path) -> None:
        """Tell the process to decode a video; start one where none runs.

        Raises:
            WorkspaceError: the system gives none.
        """
        self._ask(str(path))

    def require_sight(self, check: SightCheck) -> None:
        """Have the process look whether the disk of a video is there: a look may hang as the video did.

        Raises:
            SourceError: it is not, or does not answer.
        """
        for _ in range(MAX_STARTS):
            self._ask(check)
            found = self._answer()
            if isinstance(found, InSight):
                return
            if isinstance(found, Death) and found.reason is Reason.TIMEOUT:
                raise SourceError(
                    f"{check.path}: {found.message}, and its disk does not answer on {platform.node()} either; see "
                    "that it is mounted there and healthy, then run the same command again"
                )
        raise KinetError(f"{check.path}: decoding processes die before they can look at its disk; is memory short?")

    def _ask(self, request: Request) -> None:
        # Its frames would be taken for those of the other video.
        if self._owes_answer:
            raise ValueError(f"decoder asked for {_path_of(request)} while it is at {_path_of(self._request)}")
        self._request = request
        if self._process is None or self._process.poll() is not None:
            self._launch()
        assert self._connection is not None and self._stderr is not None
        self._stderr.clear()
        # One that died idle, between two videos, is found out by `receive`.
        with contextlib.suppress(OSError):
            self._connection.send(request)
        self._owes_answer = True

    def receive(self) -> DecodedChunk | VideoDone | Death | EndedFromOutside:
        """Wait for the next message of the video, or find that the process is dead or hangs.

        Raises:
            SourceError: the disk of the video fails.
            WorkspaceError: the machine cannot decode it, for no fault of the video.
        """
        message = self._answer()
        if isinstance(message, FrameChunk):
            assert self._frames is not None
            self._holds_chunk = True
            try:
                return DecodedChunk(self._frames.take(message.num_frames), message.valid, message.hashes)
            except (EOFError, OSError):
                return self._death()
        assert not isinstance(message, InSight)
        return message

    def _answer(self) -> FrameChunk | VideoDone | InSight | Death | EndedFromOutside:
        """Wait for the next message that is more than a sign of life."""
        if not self._ready:
            self._await_start()
        assert self._connection is not None and self._frames is not None
        if self._holds_chunk:
            self._frames.give_back()
            self._holds_chunk = False
        stalled = Death(Reason.TIMEOUT, f"the decoder gave nothing for {self._stall_sec:g} s")
        try:
            message: Message = StillSettling()
            while isinstance(message, StillSettling):
                if not self._connection.poll(self._stall_sec):
                    self.close()
                    return stalled
                message = self._connection.recv()
        except BlockingIOError:
            # It stopped in the middle of a message.
            self.close()
            return stalled
        except (EOFError, OSError):
            return self._death()
        if not isinstance(message, FrameChunk):
            self._owes_answer = False
        if isinstance(message, OutsideFault):
            raise message.error
        return message

    def close(self) -> None:
        """End the process, whatever it is doing, and wait for it."""
        self._owes_answer = False
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._frames is not None:
            self._frames.close()
            self._frames = None
            self._holds_chunk = False
        if self._process is not None:
            self._process.kill()
            try:
                self._process.wait(KILL_WAIT_SEC)
            except subprocess.TimeoutExpired:
                logger.warning("decoding process %d does not end; its disk may not answer", self._process.pid)
            self._process = None
        if self._stderr is not None:
            self._stderr.close()
            self._stderr = None

    def _await_start(self) -> None:
        """Wait until the process takes videos, so that a slow start counts against none; start it again if it ends."""
        for _ in range(MAX_STARTS):
            assert self._connection is not None and self._request is not None
            try:
                if self._connection.poll(START_SEC) and self._connection.recv() == READY:
                    self._ready = True
                    return
            except (EOFError, OSError):
                pass
            self._launch()
            with contextlib.suppress(OSError):
                self._connection.send(self._request)
            self._owes_answer = True
        raise KinetError(
            f"decoding processes do not start; run `python -m {self._program} 0 0 0 {os.getpid()}` to see why, and "
            "look at the machine's memory and process limits"
        )

    def _death(self) -> Death | EndedFromOutside:
        """Say why the process closed the connection."""
        assert self._process is not None
        try:
            code = self._process.wait(KILL_WAIT_SEC)
        except subprocess.TimeoutExpired:
            code = 0
        assert self._stderr is not None
        last_line = self._stderr.last_line()
        self.close()
        return judge_exit(code, last_line, self._limits)

    def _launch(self) -> None:
        self.close()
        try:
            self._open()
        except OSError as error:
            self.close()
            raise WorkspaceError(
                f"decoding processes do not start on {platform.node()} ({error.strerror or error}); see that the "
                "machine has memory, processes (ulimit -u) and open files (ulimit -n) to give, or give fewer "
                "--decoders, then run the same command again"
            ) from error
        self._ready = False
        assert self._connection is not None
        with contextlib.suppress(OSError):
            self._connection.send(self._limits)

    def _open(self) -> None:
        """Start the process and what it is talked to with; where OSError is raised, `close` ends what was begun."""
        with contextlib.ExitStack() as inheritance:
            frames = self._frames = FrameSource(self._num_slots)
            inheritance.callback(frames.drop_inherited)
            self._stderr = LastWords()
            ours, theirs = map(inheritance.enter_context, socket.socketpair())
            # A read in the middle of a message gives up as `poll` does between two: struct timeval.
            timeval = struct.pack("@ll", int(self._stall_sec), max(1, int(self._stall_sec % 1 * 1e6)))
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeval)
            self._connection = multiprocessing.connection.Connection(ours.detach())
            inherited = (theirs.fileno(), *frames.descriptors)
            self._process = subprocess.Popen(
                # -P and PYTHONPATH: this very package, not a folder called pipeline where the user stands.
                [sys.executable, "-P", "-m", self._program, *map(str, inherited), str(os.getpid())],
                pass_fds=inherited,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._stderr.descriptor,
                # Away from the terminal's group: an interrupt is the labeller's to answer.
                start_new_session=True,
                env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": _package_path()},
            )


def _path_of(request: Request | None) -> str:
    return request.path if isinstance(request, SightCheck) else str(request)


def _package_path() -> str:
    """Return a PYTHONPATH under which a new process finds this package first."""
    here = str(Path(__file__).resolve().parents[2])
    return os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")]))
