"""The walk over a test's processes goes on where they end under its eyes."""

import os
import subprocess
import sys
import time

from tests.processes import descendants, has_open, title

# Two threads of one process with a child each; all end when their common input does.
PROGRAM = """
import subprocess, threading
threading.Thread(target=subprocess.run, args=(["cat"],)).start()
subprocess.run(["cat"])
"""


def test_processes_are_found_and_passed_over_once_they_ended() -> None:
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE) as parent:
        deadline = time.monotonic() + 60
        while [title(pid) for pid in descendants(parent.pid)] != ["cat ", "cat "]:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert parent.pid in descendants(os.getpid())
        walk = descendants(parent.pid)
        child = next(walk)
        parent.communicate()
    # The walk holds threads and a child that are gone by now.
    assert list(walk) == []
    assert title(child) == "" and not has_open(child, "")
