"""The processes of a chaos run: found through all of /proc by a mark in their environment, whoever their parent is."""

import os
import time
from collections.abc import Callable
from pathlib import Path

WORKER, DECODER = "ray::LabellingActor", "pipeline.label.decoder_process"


def marked_processes(mark: str) -> dict[int, str]:
    """Return the command lines of all running processes, but this one, whose environment holds a text."""
    found = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            # Those that ended and are not waited for have an empty environment.
            if mark.encode() in (folder / "environ").read_bytes():
                found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
        except OSError:
            continue
    return found


def parent_of(pid: int) -> int | None:
    """Return a process's parent; None when it is gone."""
    try:
        # The name before it stands in parentheses and may hold anything.
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None


def wait_for(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait until a condition holds, for so long; tell whether it does."""
    deadline = time.monotonic() + seconds
    while not (holds := condition()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return holds
