"""Gains of hypervolume against differences of hypervolumes, gains along lines against what is written of them."""

import numpy as np
import pytest

from naturalize.search import hypervolume
from naturalize.search.gain import AreaGain, LineGain, along, gains, greedy_batch

ONE = [1.0, 1.0]
NOWHERE = np.inf


@pytest.mark.parametrize("size", [0, 1, 2, 15])
def test_a_gain_is_the_difference_of_two_hypervolumes(size: int, rng: np.random.Generator) -> None:
    front = rng.random((size, 2)) * 1.3
    values = np.concatenate([rng.random((40, 2)) * 1.3, rng.normal(size=(10, 2)), front])
    before = hypervolume(front, ONE)
    expected = [hypervolume(np.concatenate([front, value[None]]), ONE) - before for value in values]
    np.testing.assert_allclose(gains(front, values), expected, atol=1e-12)


def test_a_batch_takes_the_largest_gain_first_and_counts_what_it_took(rng: np.random.Generator) -> None:
    front, values = rng.random((5, 2)), rng.random((60, 2)) * 0.9
    chosen = greedy_batch(AreaGain(front, values[None]), 4)
    for place, index in enumerate(chosen):
        so_far = np.concatenate([front, values[chosen[:place]]])
        assert gains(so_far, values)[index] == pytest.approx(gains(so_far, values).max())
    assert len(set(chosen)) == len(chosen) > 0


def test_what_is_hoped_to_lie_beyond_the_ideal_has_an_area_too() -> None:
    front = np.array([[0.0, 0.5], [0.5, 0.0]])
    assert AreaGain(front, np.array([[[0.2, 0.6], [-0.5, 0.5]]])).of_all(0).argmax() == 1


def test_each_member_of_a_batch_is_chosen_by_its_own_optimism() -> None:
    front = np.array([[0.5, 0.5]])
    sober = np.array([[0.4, 0.5], [0.6, 0.6], [0.9, 0.9]])
    hopeful = np.array([[0.4, 0.5], [0.6, 0.1], [0.9, 0.9]])
    assert greedy_batch(AreaGain(front, np.stack([sober, hopeful])), 2) == [0, 1]
    assert greedy_batch(AreaGain(front, np.stack([sober, hopeful])), 1, first=1) == [1]  # asked one by one, in turns


def test_an_optimism_by_which_nothing_gains_is_passed_over() -> None:
    front = np.array([[0.3, 0.3]])
    sober, hopeful = np.array([[0.4, 0.4], [0.6, 0.6]]), np.array([[0.2, 0.2], [0.4, 0.1]])
    assert greedy_batch(AreaGain(front, np.stack([sober, hopeful])), 2) == [0, 1]
    assert greedy_batch(AreaGain(front, np.stack([sober, hopeful])), 5) == [0, 1]


def test_what_gains_nothing_is_left_out() -> None:
    front = np.array([[0.1, 0.1]])
    assert greedy_batch(AreaGain(front, np.array([[[0.5, 0.5], [0.1, 0.1], [2.0, 0.0]]])), 3) == []
    assert greedy_batch(AreaGain(front, np.empty((1, 0, 2))), 3) == []


def test_on_a_line_through_a_point_its_distance_is_the_lines_length(rng: np.random.Generator) -> None:
    lines = np.abs(rng.normal(size=(20, 5)))
    lines /= np.linalg.norm(lines, axis=1, keepdims=True)
    distance = along(0.7 * lines, lines, np.full(5, NOWHERE))
    np.testing.assert_allclose(np.diag(distance), 0.7)
    assert (distance >= 0.7 - 1e-12).all()  # elsewhere it is no nearer than where it lies


def test_a_dominated_value_is_farther_on_every_line(rng: np.random.Generator) -> None:
    lines, values = np.abs(rng.normal(size=(30, 4))), rng.random((50, 4))
    ends = np.full(4, 0.8)
    assert (along(values + 0.01, lines, ends) > along(values, lines, ends)).all()


def test_what_lies_beyond_the_region_is_farther_than_all_that_lies_within(rng: np.random.Generator) -> None:
    lines, ends = np.abs(rng.normal(size=(30, 3))), np.array([NOWHERE, 1.0, NOWHERE])
    within, beyond, farther = np.array([[9.0, 1.0, 9.0], [0.0, 1.01, 0.0], [0.0, 1.2, 0.0]])[:, None]
    assert (along(beyond, lines, ends) > along(within, lines, ends)).all()
    assert (along(farther, lines, ends) > along(beyond, lines, ends)).all()


def test_gains_along_lines_are_sums_of_what_became_nearer(rng: np.random.Generator) -> None:
    told, values, lines = rng.random((6, 3)), rng.random((2, 40, 3)), np.abs(rng.normal(size=(25, 3)))
    ends = np.full(3, NOWHERE)
    gain = LineGain(told, values, lines, ends)
    chosen = greedy_batch(gain, 3)
    so_far = told
    for number, row in enumerate(chosen):
        nearest = along(so_far, lines, ends).min(axis=0)
        asked = values[number % 2]
        one_by_one = [sum(max(nearest[w] - max(v / lines[w]), 0) for w in range(len(lines))) for v in asked]
        assert one_by_one[row] == pytest.approx(max(one_by_one))
        so_far = np.concatenate([so_far, asked[row][None]])
    assert len(chosen) == 3
