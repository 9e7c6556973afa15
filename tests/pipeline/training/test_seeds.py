"""Order and randomness are functions of seed and position alone."""

import numpy as np

from pipeline.training.seeds import epoch_order, item_generator, num_epoch_steps, step_items


def test_an_epoch_is_a_permutation_that_changes_with_seed_and_epoch() -> None:
    orders = [epoch_order(50, seed=seed, epoch=epoch) for seed in (0, 1) for epoch in (0, 1)]
    for order in orders:
        assert sorted(order) == list(range(50))
    assert len({tuple(order) for order in orders}) == 4
    assert np.array_equal(orders[1], epoch_order(50, seed=0, epoch=1))


def test_items_have_streams_of_their_own() -> None:
    draws = {
        item_generator(index, seed=seed, epoch=epoch).integers(2**62)
        for index in range(5) for seed in range(5) for epoch in range(5)
    }  # fmt: skip
    assert len(draws) == 125


def test_an_epochs_steps_are_whole_batches_or_one_small_one() -> None:
    assert num_epoch_steps(10, 4) == 2
    assert num_epoch_steps(3, 4) == 1
    order = epoch_order(10, seed=0, epoch=0)
    assert [*step_items(order, 0, 4), *step_items(order, 1, 4)] == list(order[:8])
    assert len(step_items(epoch_order(3, seed=0, epoch=0), 0, 4)) == 3
