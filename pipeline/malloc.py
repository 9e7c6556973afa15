"""What the C library does with memory that was freed: PyTorch's operations on processors take and free much of it."""

import ctypes
import os

# Given to workers when they start: what a thread has taken from an arena of its own is never kept for the next.
ONE_ARENA = {"MALLOC_ARENA_MAX": "1"}

# Of glibc's malloc.h; its limits are C's int, in bytes.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_KEPT_BYTES = 2_000_000_000
_LARGEST_BYTES = 1_000_000_000


def keep_freed_memory() -> None:
    """Have this process keep what it frees, up to 2 GB, for what it takes next; of use before it starts threads.

    As glibc is built it gives large blocks back at once, and the next operation's memory is mapped and zeroed anew, a
    page at a time by one thread: 930,000 page faults in a pass of PSPNet-DenseNet121 (16 frames, 2 threads), which
    took 3.96 s in a process's first thread and 4.45 s in another, and without them 3.27 s. Who sets glibc's own
    variables (``MALLOC_TRIM_THRESHOLD_``, ``MALLOC_MMAP_THRESHOLD_``) is left their way; another C library too.
    """
    if not os.environ.keys().isdisjoint(("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_")):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
    mallopt(_M_MMAP_THRESHOLD, _LARGEST_BYTES)
    if "MALLOC_ARENA_MAX" not in os.environ:
        mallopt(_M_ARENA_MAX, 1)
