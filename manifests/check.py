"""Every video opened, in processes of its own: what it holds, and what is wrong with it.

How a video is probed is passed in, since decoding belongs to the floor above.
"""

import csv
import math
import multiprocessing
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from manifests.atomic import publish
from manifests.errors import KinetError
from manifests.record import VideoRecord

CRASHED = "crashed"
TIMEOUT = "timeout"


@dataclass(frozen=True, slots=True)
class ProbedVideo:
    """What opening a video showed.

    Attributes:
        num_frames, fps, height, width: as in `VideoRecord`; None where unknown.
        reason: the typed reason of its fault, or None for a sound video.
        message: the fault in words.
    """

    num_frames: int | None = None
    fps: float | None = None
    height: int | None = None
    width: int | None = None
    reason: str | None = None
    message: str = ""


# Calls its second argument every now and then, as a sign of life: with True while there should be more of the video.
Probe = Callable[[Path, Callable[[bool], None]], ProbedVideo]


def probe_videos(
    paths: Sequence[Path], probe: Probe, *, num_workers: int, stall_sec: float, timeout_sec: float
) -> Iterator[tuple[int, ProbedVideo]]:
    """Yield (position in `paths`, result) as they come.

    A video that brings its process down is "crashed", one that hangs or does not end is "timeout"; each process holds
    one video at a time, so that no other video is blamed.

    Args:
        paths: the videos.
        probe: run in fresh processes, so a function at the top of a module.
        num_workers: processes, 1 or more.
        stall_sec: a probe that gives no sign of life for so long hangs.
        timeout_sec: for one video, however lively, from the last sign of life that was to be expected.

    Raises:
        KinetError: a probe raised it: what it met is no video's fault.
    """
    if num_workers < 1:
        raise ValueError(f"num_workers {num_workers}: expected 1 or more")
    pending = iter(enumerate(paths))
    workers = [_Worker(probe, stall_sec, timeout_sec) for _ in range(min(num_workers, len(paths)))]
    try:
        busy = {worker.connection: worker for worker in workers if worker.take(pending)}
        while busy:
            remaining_sec = min(worker.deadline for worker in busy.values()) - time.monotonic()
            ready = set(wait(list(busy), timeout=max(0.0, remaining_sec)))
            for connection, worker in list(busy.items()):
                result = worker.collect() if connection in ready else None
                if result is None:
                    if time.monotonic() < worker.deadline:
                        continue
                    result = worker.give_up()
                position = worker.position
                del busy[connection]
                if worker.take(pending):
                    busy[worker.connection] = worker
                yield position, result
    finally:
        for worker in workers:
            worker.stop()


def with_probe(record: VideoRecord, probed: ProbedVideo) -> VideoRecord:
    """Return the record with the probed values; a video that could not be probed has none."""
    return replace(record, num_frames=probed.num_frames, fps=probed.fps, height=probed.height, width=probed.width)


def write_faults(path: Path, faults: Sequence[tuple[VideoRecord, ProbedVideo]]) -> None:
    """Write the list of faulty videos as CSV ``video_id,path,reason,message``."""
    with (
        publish(path) as part_path,
        part_path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as part_file,
    ):
        writer = csv.writer(part_file, lineterminator="\n")
        writer.writerow(("video_id", "path", "reason", "message"))
        writer.writerows((record.video_id, record.path, probed.reason, probed.message) for record, probed in faults)


class _Worker:
    """One process and the video it holds."""

    connection: Connection
    position: int
    path: Path
    deadline: float
    _last: float

    def __init__(self, probe: Probe, stall_sec: float, timeout_sec: float) -> None:
        self._probe = probe
        self._stall_sec = stall_sec
        self._timeout_sec = timeout_sec
        self._process: BaseProcess | None = None
        self._start()

    def take(self, pending: Iterator[tuple[int, Path]]) -> bool:
        """Hand the next video to the process; False when none is left."""
        for position, path in pending:
            self.position, self.path = position, path
            try:
                self.connection.send(path)
            except OSError:  # it died idle: not this video's fault
                self.restart()
                self.connection.send(path)
            # Its time runs from the first sign of life: a slow start is no video's doing.
            self._last = math.inf
            self._live(expected=False)
            return True
        return False

    def collect(self) -> ProbedVideo | None:
        """Receive the result, or None for a sign of life; a closed connection means that the process is gone.

        Raises:
            KinetError: what the probe met is no video's fault.
        """
        try:
            result: ProbedVideo | KinetError | bool = self.connection.recv()
        except (EOFError, OSError):
            assert self._process is not None
            self._process.join()
            code = self._process.exitcode
            self.restart()
            return ProbedVideo(reason=CRASHED, message=f"{self.path}: the decoding process died (exit code {code})")
        if isinstance(result, bool):
            self._live(expected=result)
            return None
        if isinstance(result, KinetError):
            raise result
        return result

    def give_up(self) -> ProbedVideo:
        """End the process at its deadline."""
        if self.deadline < self._last:
            message = f"no sign of life for {self._stall_sec:g} s"
        else:
            message = f"no end {self._timeout_sec:g} s after the last frame that its header declares"
        self.restart()
        return ProbedVideo(reason=TIMEOUT, message=f"{self.path}: {message}")

    def _live(self, *, expected: bool) -> None:
        if expected:
            self._last = time.monotonic() + self._timeout_sec
        self.deadline = min(time.monotonic() + self._stall_sec, self._last)

    def restart(self) -> None:
        self.stop()
        self._start()

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process.close()
            self.connection.close()
            self._process = None

    def _start(self) -> None:
        # Spawned, not forked: decoders do not survive a fork.
        context = multiprocessing.get_context("spawn")
        self.connection, child_end = context.Pipe()
        self._process = context.Process(target=_serve, args=(child_end, self._probe), daemon=True)
        self._process.start()
        child_end.close()


def _serve(connection: Connection, probe: Probe) -> None:
    """Probe the paths that come until the other end closes."""
    # Ctrl-C reaches the whole group; the parent decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        try:
            path = connection.recv()
        except EOFError:
            return
        connection.send(True)
        try:
            connection.send(probe(path, connection.send))
        except KinetError as error:
            connection.send(error)
