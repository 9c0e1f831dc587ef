"""Gains of hypervolume against differences of hypervolumes."""

import numpy as np
import pytest

from naturalize.search import hypervolume
from naturalize.search.gain import gains, greedy_batch

ONE = [1.0, 1.0]


@pytest.mark.parametrize("size", [0, 1, 2, 15])
def test_a_gain_is_the_difference_of_two_hypervolumes(size: int, rng: np.random.Generator) -> None:
    front = rng.random((size, 2)) * 1.3
    values = np.concatenate([rng.random((40, 2)) * 1.3, rng.normal(size=(10, 2)), front])
    before = hypervolume(front, ONE)
    expected = [hypervolume(np.concatenate([front, value[None]]), ONE) - before for value in values]
    np.testing.assert_allclose(gains(front, values), expected, atol=1e-12)


def test_a_batch_takes_the_largest_gain_first_and_counts_what_it_took(rng: np.random.Generator) -> None:
    front, values = rng.random((5, 2)), rng.random((60, 2)) * 0.9
    chosen = greedy_batch(front, values[None], 4)
    for place, index in enumerate(chosen):
        so_far = np.concatenate([front, values[chosen[:place]]])
        assert gains(so_far, values)[index] == pytest.approx(gains(so_far, values).max())
    assert len(set(chosen)) == len(chosen) > 0


def test_each_member_of_a_batch_is_chosen_by_its_own_optimism() -> None:
    front = np.array([[0.5, 0.5]])
    sober = np.array([[0.4, 0.5], [0.6, 0.6], [0.9, 0.9]])
    hopeful = np.array([[0.4, 0.5], [0.6, 0.1], [0.9, 0.9]])
    assert greedy_batch(front, np.stack([sober, hopeful]), 2) == [0, 1]


def test_what_gains_nothing_is_left_out() -> None:
    front = np.array([[0.1, 0.1]])
    assert greedy_batch(front, np.array([[[0.5, 0.5], [0.1, 0.1], [2.0, 0.0]]]), 3) == []
    assert greedy_batch(front, np.empty((1, 0, 2)), 3) == []
