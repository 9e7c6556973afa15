"""Connecting to Ray from a plain command and from within a job that Ray was given."""

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.errors import KinetError

pytestmark = pytest.mark.ray

CONNECT = """
import ray, sys
from pathlib import Path
from pipeline.ray_cluster import connect
connect(sys.argv[2] if sys.argv[2:] else None, num_cpus=1, empty_dir=sys.argv[1])
print(ray.get(ray.remote(lambda: sorted(path.name for path in Path().iterdir())).remote()))
"""


@pytest.fixture
def head_with_token(tmp_path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Start `ray start --head` as a user who has a token; give its address, and that user's environment."""
    (tmp_path / "home" / ".ray").mkdir(parents=True)
    (tmp_path / "home" / ".ray" / "auth_token").write_text("0123456789abcdef" * 4)
    environment = {**os.environ, "HOME": str(tmp_path / "home"), "RAY_USAGE_STATS_ENABLED": "0"}
    del environment["RAY_AUTH_MODE"]
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    # Ray's sockets allow no long path.
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as folder:
        command = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", "--num-cpus=1"]
        command += [f"--port={port}", "--include-dashboard=false", f"--temp-dir={folder}"]
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as head:
            assert head.stdout is not None
            assert any("Ray runtime started" in line for line in head.stdout)
            yield f"127.0.0.1:{port}", environment
            head.terminate()
            head.communicate(timeout=60)


def connect_elsewhere(empty_dir: Path, address: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Connect in a process with that environment."""
    empty_dir.mkdir(exist_ok=True)
    command = [sys.executable, "-c", CONNECT, str(empty_dir), address]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def test_a_cluster_that_asks_for_a_token_is_shown_the_users(
    tmp_path: Path, head_with_token: tuple[str, dict[str, str]]
) -> None:
    address, environment = head_with_token
    done = connect_elsewhere(tmp_path / "empty", address, environment)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    stranger = {**environment, "HOME": str(tmp_path), "RAY_AUTH_MODE": "token"}
    refused = connect_elsewhere(tmp_path / "empty", address, stranger)
    assert refused.returncode == 1
    assert re.search(r"KinetError: Ray at .* takes no driver: .*no authentication token", refused.stderr)


def test_within_a_submitted_job_the_jobs_own_working_dir_holds(tmp_path: Path) -> None:
    job_dir, empty_dir = tmp_path / "job", tmp_path / "empty"
    job_dir.mkdir()
    empty_dir.mkdir()
    (job_dir / "mine.txt").touch()
    config = {"runtime_env": {"working_dir": str(job_dir)}, "metadata": {}}
    environment = {**os.environ, "RAY_JOB_CONFIG_JSON_ENV_VAR": json.dumps(config)}
    done = subprocess.run(
        [sys.executable, "-c", CONNECT, str(empty_dir)], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "mine.txt" in done.stdout


def test_what_ray_does_not_take_is_one_line(tmp_path: Path) -> None:
    from pipeline.ray_cluster import connect

    with pytest.raises(KinetError, match=r"takes no driver: .*nowhere"):
        connect(None, num_cpus=1, empty_dir=str(tmp_path / "nowhere"))
