"""The folder of real data, where the machine has one."""

import os
from pathlib import Path

import pytest


def real_data_dir() -> Path:
    """Return the folder named by KINET_REAL_DATA; skip the test where it is unset."""
    folder = os.environ.get("KINET_REAL_DATA")
    if not folder:
        pytest.skip("KINET_REAL_DATA is not set: no real data here")
    return Path(folder)
