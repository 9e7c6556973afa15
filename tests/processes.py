"""The processes that a test started, as /proc shows them; one that ends while it is looked at is passed over."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_ENDED = (FileNotFoundError, ProcessLookupError)


def descendants(pid: int) -> Iterator[int]:
    """Walk the process tree below a process, parents first."""
    # As a list: the folder may go while it is listed, and its tasks one by one.
    tasks: list[Path] = []
    with suppress(*_ENDED):
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
    for task in tasks:
        children = ""
        with suppress(*_ENDED):
            children = (task / "children").read_text()
        for child in map(int, children.split()):
            yield child
            yield from descendants(child)


def title(pid: int) -> str:
    """Return a process's command line, or the title it gave itself; empty where it has ended."""
    with suppress(*_ENDED):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return ""


def has_open(pid: int, suffix: str) -> bool:
    """Tell whether a process has a file open whose name ends so; a file closed meanwhile counts for nothing."""
    with suppress(*_ENDED):
        return any(_target(entry).suffix == suffix for entry in Path(f"/proc/{pid}/fd").iterdir())
    return False


def own_peak_bytes() -> int:
    """Return this process's peak resident memory: not getrusage's, which begins with that of the parent."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) * 1024


def _target(entry: Path) -> Path:
    """Return what a descriptor stands for; an empty path where it is closed."""
    with suppress(*_ENDED):
        return entry.readlink()
    return Path()
