"""The processors this process may use: in a container or a Slurm step fewer than the machine has; and how it waits."""

import os
from pathlib import Path

from pipeline.control_groups import CGROUPS, OWN_CGROUP, groups_of


def count_processors() -> int:
    """Count the processors that this process may run on, bounded by the quota of its control groups; 1 at least."""
    quota = cgroup_quota(CGROUPS, OWN_CGROUP)
    available = len(os.sched_getaffinity(0))
    return available if quota is None else max(1, min(available, int(quota)))


def let_waiting_threads_sleep() -> None:
    """Have PyTorch's threads sleep soon while they wait for an operation; of use before torch is first imported.

    As GNU OpenMP is built they spin for 300,000 rounds, on processors that decoders, loaders and other jobs could use.
    Asleep at once they wake too late for the short operations of small inputs. So many rounds keep most of both: two
    threads took 349 ms (300,000 rounds: 295, none: 446) for a pass of PSPNet-DenseNet121 alone on two processors, and
    1.3 s (2.5, 1.2) beside four busy processes. Who sets ``OMP_WAIT_POLICY`` or ``GOMP_SPINCOUNT`` is left their way.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "20000")


def cgroup_quota(root: Path, own: Path) -> float | None:
    """Return the processors that the control groups of a process let it use together; None where nothing bounds it.

    Args:
        root: where the groups are mounted (version 2).
        own: the process's file `cgroup`, whose line ``0::/path`` names its group.
    """
    quotas = [_read_quota(folder / "cpu.max") for folder in groups_of(root, own)]
    return min((quota for quota in quotas if quota is not None), default=None)


def _read_quota(path: Path) -> float | None:
    """Read ``quota period`` in microseconds; "max" is no bound, nor is a file that is not there."""
    try:
        quota, period = path.read_text().split()
        return float(quota) / float(period)
    except (OSError, ValueError):
        return None
