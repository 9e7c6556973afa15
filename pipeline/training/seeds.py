"""Randomness as a pure function of seed and position: a run can be repeated or taken up with any number of workers."""

import numpy as np
from numpy.typing import NDArray

# Streams that share a seed must not share numbers.
_ORDER_STREAM = 0
_ITEM_STREAM = 1
_DROPOUT_STREAM = 2


def epoch_order(num_items: int, *, seed: int, epoch: int) -> NDArray[np.int64]:
    """Return the order in which an epoch visits its items: a permutation, int64 [num_items]."""
    return np.random.default_rng([seed, _ORDER_STREAM, epoch]).permutation(num_items)


def item_generator(index: int, *, seed: int, epoch: int) -> np.random.Generator:
    """Make the generator of everything random about one item in one epoch."""
    return np.random.default_rng([seed, _ITEM_STREAM, epoch, index])


def dropout_seed(seed: int, rank: int) -> int:
    """Return the seed of torch's own generator on a rank: the run's seed on rank 0, another on every other rank."""
    if rank == 0:
        return seed
    return int(np.random.default_rng([seed, _DROPOUT_STREAM, rank]).integers(2**63))


def num_epoch_steps(num_items: int, batch_size: int) -> int:
    """Return the optimiser steps of an epoch: whole batches only, or one smaller batch where the data set is smaller.

    The remainder of an epoch is left out, as in TSN: a step on two videos at the learning rate of 256 is mostly noise.
    The order changes with every epoch, so no video is left out for good.
    """
    return max(1, num_items // batch_size)


def step_items(order: NDArray[np.int64], step: int, batch_size: int) -> NDArray[np.int64]:
    """Return the items of one optimiser step within an epoch."""
    return order[step * batch_size : (step + 1) * batch_size]
