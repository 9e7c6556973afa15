"""Connecting to Ray from a plain command and from within a job that Ray was given."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.errors import KinetError

pytestmark = pytest.mark.ray

CONNECT = """
import ray, sys
from pathlib import Path
from pipeline.ray_cluster import connect
connect(None, num_cpus=1, empty_dir=sys.argv[1])
print(ray.get(ray.remote(lambda: sorted(path.name for path in Path().iterdir())).remote()))
"""


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
