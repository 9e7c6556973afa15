"""The driver stays small: what only hands out shards loads no network library."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("module", ["pipeline.label.job", "pipeline.label.cluster", "pipeline.label.status"])
def test_the_driver_loads_no_torch(module: str) -> None:
    program = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
