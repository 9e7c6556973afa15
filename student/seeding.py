"""A random start that depends on a seed alone."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw weights from `seed` inside the block, and leave torch's global generator as it was.

    torch's layers draw their start from the global generator; this is the only way to pass them a seed.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
