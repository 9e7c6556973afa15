"""Ray's fake cluster: a head in this process's charge, and the nodes that a test adds to it."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from tests.processes import descendants

if TYPE_CHECKING:
    from ray.cluster_utils import Cluster

# Ray gives a head half a minute, which two busy processors may exceed.
STARTS = 3


@contextmanager
def ray_head(**head_args: object) -> Iterator["Cluster"]:
    """Start a head, and end it with its nodes. Takes the parameters of Ray's ``Cluster.add_node``."""
    from ray.cluster_utils import Cluster

    for start in range(1, STARTS + 1):
        others = set(descendants(os.getpid()))
        cluster = Cluster()
        try:
            cluster.add_node(**head_args)
            break
        except Exception:
            # As bare as Ray raises it.
            for pid in set(descendants(os.getpid())) - others:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if start == STARTS:
                raise
    try:
        yield cluster
    finally:
        cluster.shutdown()
