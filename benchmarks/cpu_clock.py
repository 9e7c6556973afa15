"""Processor seconds of this process and of all that descend from it: other work on a machine hardly moves them.

A process that is not waited for, as Ray's are not, takes its count with it when it ends: so all are looked at now and
then, and each counts with what it had when it was last seen.
"""

import os
import threading
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

LOOK_SEC = 0.5
_TICKS_PER_SEC = os.sysconf("SC_CLK_TCK")


class Run(NamedTuple):
    """What something took, for how many frames."""

    frames: int
    seconds: float
    cpu_sec: float

    @property
    def frames_per_sec(self) -> float:
        return self.frames / self.seconds

    @property
    def cpu_ms_per_frame(self) -> float:
        return 1000 * self.cpu_sec / self.frames


class _Process(NamedTuple):
    """One line of the process table: `key` tells a process from a later one with its number."""

    key: tuple[int, int]
    parent: int
    cpu_sec: float


class CpuClock:
    """Count while the context lasts.

    Attributes:
        seconds: the count, once the context has ended.
    """

    def __init__(self) -> None:
        self.seconds = 0.0

    def __enter__(self) -> "CpuClock":
        self._seen: dict[tuple[int, int], float] = {}
        self._before = sum(self._look().values())
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        self.seconds = sum(self._look().values()) - self._before

    def _watch(self) -> None:
        while not self._ended.wait(LOOK_SEC):
            self._look()

    def _look(self) -> dict[tuple[int, int], float]:
        """Note what every descendant has used; those that ended keep what they had."""
        table = _read_process_table()
        family = {os.getpid()}
        # A child's number may be below its parent's: until no more are found.
        while more := {number for number, row in table.items() if row.parent in family} - family:
            family |= more
        self._seen |= {table[number].key: table[number].cpu_sec for number in family}
        return self._seen


def _read_process_table() -> dict[int, _Process]:
    table = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            text = (folder / "stat").read_text()
        except OSError:
            # It has ended.
            continue
        # The name before may hold anything, brackets too; then state, parent, ..., see proc(5).
        fields = text.rpartition(")")[2].split()
        user, system = int(fields[11]), int(fields[12])
        number = int(folder.name)
        table[number] = _Process((number, int(fields[19])), int(fields[1]), (user + system) / _TICKS_PER_SEC)
    return table
