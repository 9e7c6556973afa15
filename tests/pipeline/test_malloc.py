"""Memory that was freed is kept for the next operation, in every thread, unless the user has it otherwise."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import resource, threading
import numpy as np
from pipeline.malloc import keep_freed_memory

def count_faults():
    before = 0
    for number in range(6):
        if number == 2:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        blocks = [np.empty(100_000_000, np.uint8) for _ in range(2)]
        for block in blocks:
            block.fill(1)
        del block, blocks
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)

keep_freed_memory()
count_faults()
thread = threading.Thread(target=count_faults)
thread.start()
thread.join()
"""


def count_faults(**chosen: str) -> list[int]:
    """Return the page faults of taking the same memory again, in the first thread and in another."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True, env={**inherited, **chosen}
    )
    return [int(line) for line in done.stdout.split()]


@pytest.mark.skipif(os.confstr("CS_GNU_LIBC_VERSION") is None, reason="mallopt is glibc's")
def test_what_was_freed_is_taken_again_without_page_faults() -> None:
    assert max(count_faults()) < 100
    # Four times two blocks, in pages of 4 kB or huge ones of 2 MB.
    assert min(count_faults(MALLOC_TRIM_THRESHOLD_="100000")) > 300
