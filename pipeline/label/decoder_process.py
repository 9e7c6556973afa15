"""The program of a decoding process: it decodes the videos it is told to, in order, and sends their frames.

Started by `pipeline.label.decode_ahead` as ``python -m pipeline.label.decoder_process FD``, where FD is a duplex
connection. A process of its own, so that a file that crashes or hangs a decoder takes nothing else with it. It ends
when the other side of the connection is closed, however that happened.
"""

import os
import queue
import sys
import threading
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from pipeline.errors import Reason, VideoError
from pipeline.label.messages import FrameChunk, Message, VideoDone
from pipeline.video import FRAME_HEIGHT, FRAME_WIDTH, VideoFile, hash_frames, is_seek_exact

CHUNK_FRAMES = 16
CHUNKS_AHEAD = 8


def decode_video(path: Path) -> Iterator[Message]:
    """Yield a video's chunks with pixels uint8 [n, 256, 340, 3], then its VideoDone."""
    num_frames = 0
    all_hashes = []
    try:
        with VideoFile(path) as video:
            pixels = np.empty((CHUNK_FRAMES, FRAME_HEIGHT, FRAME_WIDTH, 3), dtype=np.uint8)
            valid: list[bool] = []
            for frame, is_valid in video.frames():
                pixels[len(valid)] = frame
                valid.append(is_valid)
                if len(valid) == CHUNK_FRAMES:
                    hashes = hash_frames(pixels)
                    all_hashes.append(hashes)
                    yield FrameChunk(len(valid), np.array(valid), hashes), pixels
                    num_frames += len(valid)
                    pixels, valid = np.empty_like(pixels), []
            if valid:
                hashes = hash_frames(pixels[: len(valid)])
                all_hashes.append(hashes)
                yield FrameChunk(len(valid), np.array(valid), hashes), pixels[: len(valid)]
                num_frames += len(valid)
        report = video.report
        if num_frames == 0:
            raise VideoError(Reason.NO_FRAMES, f"{path}: not one frame decodes")
        seek_exact = is_seek_exact(path, report, np.concatenate(all_hashes))
        reason, message = report.fault or (None, None)
        yield VideoDone(num_frames, report.declared_frames, reason, message, seek_exact), None
    except VideoError as error:
        yield VideoDone(num_frames, None, error.reason, error.message, False), None


def serve(connection: Connection) -> None:
    """Decode each path that arrives, some chunks ahead of the other side's reading."""
    outbox: queue.Queue[Message | None] = queue.Queue(maxsize=CHUNKS_AHEAD)

    def send_all() -> None:
        while (item := outbox.get()) is not None:
            message, pixels = item
            connection.send(message)
            if pixels is not None:
                connection.send_bytes(pixels.reshape(-1).data)

    def send_or_leave() -> None:
        try:
            send_all()
        except OSError:
            # Nobody reads any more: the labeller is gone, and so is this process's reason.
            os._exit(0)

    sender = threading.Thread(target=send_or_leave, daemon=True)
    sender.start()
    while True:
        try:
            path = connection.recv()
        except (EOFError, OSError):
            break
        for message in decode_video(Path(path)):
            outbox.put(message)
    outbox.put(None)
    sender.join(timeout=1)


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])))
