"""Connecting to Ray: a running cluster, or one on this machine for this process alone."""

import contextlib
import logging
import os
import signal
import socket
from collections.abc import Mapping
from pathlib import Path

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
# Ray would hide the GPUs from actors that ask for none; the choice of device is the worker's.
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

import ray
from ray.exceptions import RayError

from pipeline.errors import KinetError
from pipeline.malloc import ONE_ARENA

# Ray gives its node half a minute and no setting for it: too little where all files come from a cold network disk.
_LOCAL_STARTS = 2
# Set by `ray job submit` for the command that it runs.
_JOB_CONFIG_VARIABLE = "RAY_JOB_CONFIG_JSON_ENV_VAR"
_TOKEN_HINT = "; one that runs takes only who has its token: RAY_AUTH_MODE and ~/.ray/auth_token must be as there"


def connect(address: str | None, *, num_cpus: int, empty_dir: str) -> None:
    """Connect this process to Ray; `ray.shutdown` ends it.

    Args:
        address: of a running cluster ("auto", "ray://host:10001"); None starts one on this machine.
        num_cpus: of the cluster on this machine.
        empty_dir: becomes the workers' working directory. Ray puts the driver's first on their path, and a folder
            called pipeline there would shadow this package.

    Raises:
        KinetError: no cluster answers at the address or it wants another token, or Ray does not start.
    """
    # Within `ray job submit` the job's own runtime environment holds, and Ray takes no second working directory.
    runtime_env = {} if _JOB_CONFIG_VARIABLE in os.environ else {"working_dir": empty_dir, "env_vars": dict(ONE_ARENA)}
    try:
        if address is None:
            _start_here(num_cpus, runtime_env)
        else:
            _require_listener(address)
            _take_up_token()
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, runtime_env=runtime_env)
    except ConnectionError as error:
        raise _no_cluster(address or "this machine", str(error), _TOKEN_HINT) from error
    except (ValueError, RuntimeError, RayError) as error:
        ray.shutdown()
        where = f"at {address}" if address else "on this machine"
        raise KinetError(f"Ray {where} takes no driver: {' '.join(str(error).split())[:300]}") from error


def _start_here(num_cpus: int, runtime_env: Mapping[str, object]) -> None:
    """Start Ray on this machine and connect; what is not up in time is begun anew, now that its files are at hand.

    Raises:
        RuntimeError: it was not up in time again.
    """
    for start in range(1, _LOCAL_STARTS + 1):
        others = _children()
        try:
            ray.init(
                address="local",
                num_cpus=num_cpus,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
                runtime_env=runtime_env,
            )
            return
        except Exception as error:
            # Ray says that its node is late with a bare Exception; what has a class of its own is something else.
            if type(error) is not Exception:
                raise
            ray.shutdown()
            # Ray forgets what it started and did not come to know.
            for pid in _children() - others:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if start == _LOCAL_STARTS:
                hint = "this machine may be too busy; more is in /tmp/ray/session_latest/logs"
                raise RuntimeError(f"{error} Tried {start} times: {hint}") from error


def _children() -> set[int]:
    """List this process's own children; none where the system does not say."""
    pids: set[int] = set()
    for path in Path("/proc/self/task").glob("*/children"):
        # A thread may end while it is asked.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            pids |= {int(pid) for pid in path.read_text().split()}
    return pids


def share_processors(num_parts: int) -> int:
    """Return the processors of each of so many parts of the connected cluster, 1 or more.

    A part must fit on one node: the smallest that has processors sets the bound.
    """
    node_cpus = [node["Resources"].get("CPU", 0.0) for node in ray.nodes() if node["Alive"]]
    smallest = int(min(filter(None, node_cpus), default=1.0))
    return max(1, min(int(ray.cluster_resources().get("CPU", 1.0)) // num_parts, smallest))


def _take_up_token() -> None:
    """Have Ray show the token that this user has, unless RAY_AUTH_MODE says something.

    `ray start --head` asks for one as soon as there is one, and each local cluster leaves one behind; but Ray itself
    shows it to no cluster whose address is given.
    """
    # Ray would warn that it does so.
    logging.getLogger("ray").setLevel(logging.ERROR)
    # Not in every Ray, and nowhere public: what was read at Ray's import must be read again.
    with contextlib.suppress(ImportError):
        from ray._private.authentication import authentication_token_setup

        authentication_token_setup.maybe_enable_token_auth_if_token_available(warn_if_disabled=False)


def _require_listener(address: str) -> None:
    """Raise KinetError where nothing listens at ``host:port``: Ray itself would go on asking for ten minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        return
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except OSError as error:
        raise _no_cluster(address, error.strerror or str(error)) from error


def _no_cluster(address: str, cause: str, hint: str = "") -> KinetError:
    return KinetError(
        f"no Ray cluster at {address} ({' '.join(cause.split())[:200]}); start one with `ray start --head`, "
        f"or leave --address away to work on this machine{hint}"
    )
