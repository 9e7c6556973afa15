"""The program of a decoding process: it decodes the videos it is told to, in order, and sends their frames.

Started by `pipeline.label.decoder` as ``python -m pipeline.label.decoder_process CONNECTION MEMORY FREE PARENT``:
descriptors of a duplex connection and of a ring of frames, and the labeller's process id. A process of its own, so that
a file that crashes, hangs or bloats a decoder takes nothing else with it. It ends when the other side of the connection
is closed, and when the labeller dies while a decoder hangs in native code.
"""

import contextlib
import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import Reason, SourceError, VideoError, WorkspaceError
from pipeline.label.frame_ring import CHUNK_FRAMES, FrameSink, LabellerGoneError
from pipeline.label.messages import (
    EXIT_OUT_OF_MEMORY,
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
from pipeline.video import VideoFile, hash_frames, is_seek_exact
from pipeline.video_disk import read_through

# A header may understate a short video by any factor; only beyond these does its count bound anything.
FRAMES_NEVER_ENDLESS = 10_000
# Native decoders fill memory at 1 to 2 GB/s: the watch is late by so much of it at most.
MEMORY_WATCH_SEC = 0.1

_PR_SET_PDEATHSIG = 1

# Gives the memory for the next chunk, once it is free.
Slot = Callable[[], NDArray[np.uint8]]
Decode = Callable[[Path, DecodeLimits, Slot], Iterator[Message]]


def decode_video(path: Path, limits: DecodeLimits, slot: Slot) -> Iterator[Message]:
    """Decode a video into one slot after the other; yield a chunk when its slot is full, and its VideoDone.

    Where the disk fails, or the second decoder cannot be loaded, an OutsideFault comes instead.
    """
    num_frames = 0
    read_failed = False
    all_hashes = []
    try:
        with (yield from _open_video(path)) as video:
            declared = video.header_frames
            most_frames = _most_frames(declared, limits)
            pixels = slot()
            undeclared_sec, resumed = 0.0, time.monotonic()
            valid: list[bool] = []
            for frame, is_valid in video.decoded():
                video.resize_into(frame, pixels[len(valid)])
                valid.append(is_valid)
                if len(valid) == CHUNK_FRAMES:
                    hashes = hash_frames(pixels)
                    all_hashes.append(hashes)
                    num_frames += len(valid)
                    # A video that its header says is not over makes progress, however slow: three hours of 4K take ten.
                    if declared is None or num_frames > declared:
                        undeclared_sec += time.monotonic() - resumed
                    if num_frames > most_frames or undeclared_sec > limits.video_sec:
                        endless = _endless_message(path, num_frames, declared, undeclared_sec)
                        yield VideoDone(0, video.report.declared_frames, Reason.TIMEOUT, endless, False)
                        return
                    yield FrameChunk(len(valid), np.array(valid), hashes)
                    pixels, valid = slot(), []
                    resumed = time.monotonic()
            if valid:
                hashes = hash_frames(pixels[: len(valid)])
                all_hashes.append(hashes)
                yield FrameChunk(len(valid), np.array(valid), hashes)
                num_frames += len(valid)
        read_failed = video.report.read_failed
        if read_failed:
            yield from _read_again(path)
        if num_frames == 0:
            raise VideoError(Reason.NO_FRAMES, f"{path}: not one frame decodes")
        for _ in video.settling():
            yield StillSettling()
        report = video.report
        seek_exact = is_seek_exact(path, report, np.concatenate(all_hashes))
        reason, message = report.fault or (None, report.note)
        yield VideoDone(num_frames, report.declared_frames, reason, message, seek_exact, read_failed)
    except VideoError as error:
        yield VideoDone(num_frames, None, error.reason, error.message, False, read_failed)
    except (WorkspaceError, SourceError) as error:
        yield OutsideFault(error)


def _open_video(path: Path) -> Generator[Message, None, VideoFile]:
    """Open a video; once more where libav made nothing of it: it hides an error of the disk in a header."""
    try:
        return VideoFile(path)
    except VideoError as error:
        if error.reason is not Reason.UNREADABLE:
            raise
    yield from _read_again(path)
    return VideoFile(path)


def _read_again(path: Path) -> Iterator[Message]:
    for _ in read_through(path):
        yield StillSettling()


def look(check: SightCheck) -> InSight | OutsideFault:
    """Look at the witnesses of a video."""
    try:
        check.witnesses.require_sight(Path(check.path))
    except SourceError as error:
        return OutsideFault(error)
    return InSight()


def _endless_message(path: Path, num_frames: int, declared: int | None, undeclared_sec: float) -> str:
    if declared is None:
        return f"{path}: {num_frames} frames in {undeclared_sec:.0f} s of decoding, none declared, and still no end"
    return (
        f"{path}: {num_frames} frames, of which the header declares {declared}; {undeclared_sec:.0f} s of decoding the "
        "others, and still no end"
    )


def _most_frames(declared: int | None, limits: DecodeLimits) -> int:
    """Bound the frames of a video by what its header declares, and by the absolute limit."""
    if declared is None:
        return limits.video_frames
    return min(limits.video_frames, limits.declared_factor * declared + FRAMES_NEVER_ENDLESS)


def serve(connection: Connection, frames: FrameSink, decode: Decode = decode_video) -> None:
    """Answer each request that arrives, as far ahead of the other side's reading as the ring has slots."""
    limits: DecodeLimits = connection.recv()
    threading.Thread(target=_watch_memory, args=(limits.memory_bytes,), daemon=True).start()
    connection.send(READY)
    # Without a labeller the process has no reason to be.
    with contextlib.suppress(LabellerGoneError):
        while True:
            with frames.waiting():
                request = _next_request(connection)
            messages: Iterator[Message]
            if isinstance(request, SightCheck):
                messages = iter([look(request)])
            else:
                messages = decode(Path(request), limits, frames.slot)
            for message in messages:
                if isinstance(message, FrameChunk):
                    frames.pass_on()
                try:
                    connection.send(message)
                except OSError as error:
                    raise LabellerGoneError from error


def _next_request(connection: Connection) -> Request:
    try:
        request: Request = connection.recv()
        return request
    except (EOFError, OSError) as error:
        raise LabellerGoneError from error


def die_with_parent(parent_pid: int) -> None:
    """Have the kernel end this process with the labeller's: one that hangs in native code notices nothing else."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent_pid:
        # It died before this was asked for.
        os._exit(0)


def _watch_memory(memory_bytes: int) -> None:
    """End the process when it has grown beyond its limit.

    Resident memory, not an address-space limit: under one, libav takes a failed allocation for a damaged packet, and
    the video would be called corrupt. The ring of frames, which it shares, is not of its making.
    """
    page_bytes = os.sysconf("SC_PAGE_SIZE")
    with open("/proc/self/statm", "rb", buffering=0) as statm:  # noqa: PTH123 - kept open: no allocation to read it
        while True:
            resident_pages, shared_pages = map(int, os.pread(statm.fileno(), 200, 0).split()[1:3])
            if (resident_pages - shared_pages) * page_bytes > memory_bytes:
                os._exit(EXIT_OUT_OF_MEMORY)
            time.sleep(MEMORY_WATCH_SEC)


def main(decode: Decode = decode_video) -> None:
    """Serve the connection named on the command line."""
    connection, memory, free, parent_pid = map(int, sys.argv[1:])
    die_with_parent(parent_pid)
    serve(Connection(connection), FrameSink(memory, free), decode)


if __name__ == "__main__":
    main()
