"""The memory this process may use together with its neighbours: in a container less than the machine has."""

import os
from pathlib import Path

from pipeline.control_groups import CGROUPS, OWN_CGROUP, groups_of


def count_memory_bytes() -> int:
    """Return the machine's memory, bounded by the limit of this process's control groups."""
    machine_bytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit_bytes = cgroup_memory_bytes(CGROUPS, OWN_CGROUP)
    return machine_bytes if limit_bytes is None else min(machine_bytes, limit_bytes)


def cgroup_memory_bytes(root: Path, own: Path) -> int | None:
    """Return the memory that a process's control groups let it have; None where nothing bounds it.

    Args:
        root, own: see `groups_of`.
    """
    limits = [_read_limit(folder / "memory.max") for folder in groups_of(root, own)]
    return min((limit for limit in limits if limit is not None), default=None)


def _read_limit(path: Path) -> int | None:
    """Read a number of bytes; "max" is no bound, nor is a file that is not there."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
