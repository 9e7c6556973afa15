"""The control groups that bound what this process may use: a container's, a Slurm step's."""

from pathlib import Path

# Version 2.
CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUP = Path("/proc/self/cgroup")


def groups_of(root: Path, own: Path) -> list[Path]:
    """Return the folders of a process's group and of all around it, the innermost first; each bounds the process.

    Args:
        root: where the groups are mounted.
        own: the process's file `cgroup`, whose line ``0::/path`` names its group.
    """
    try:
        path = next((line[3:] for line in own.read_text().splitlines() if line.startswith("0::")), "/")
    except OSError:
        path = "/"
    group = root / path.strip("/")
    return [folder for folder in (group, *group.parents) if folder.is_relative_to(root)]
