"""A process whose teachers hang ends, whatever the state of the disk."""

import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]

_HANG = """
import sys, time
from pathlib import Path
from pipeline.label.journal import note_hang
from pipeline.label.watchdog import ended_when_stuck

def last_words(seconds):
    note_hang(Path(sys.argv[1]), "attempt", seconds)
    return "noted"

with ended_when_stuck(lambda: 1000.0, 0.1, last_words):
    time.sleep(3600)
"""


@pytest.mark.parametrize("folder", ["", "gone"])
def test_a_process_that_hangs_ends_even_where_its_journal_cannot_be_written(tmp_path: Path, folder: str) -> None:
    command = [sys.executable, "-c", _HANG, str(tmp_path / folder / "s.journal")]
    ended = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert ("cannot be written" if folder else "noted") in ended.stderr
