"""Survival and fronts, against brute force and against what must not matter: units, constants, outliers."""

import warnings
from collections.abc import Iterator
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from naturalize.search import non_dominated, survive
from naturalize.search.survival import evenly, reference_directions

Floats = NDArray[np.float64]

sets_of_values = st.integers(1, 4).flatmap(
    lambda m: st.integers(1, 30).flatmap(
        lambda n: arrays(np.float64, (n, m), elements=st.integers(0, 12).map(lambda value: value / 4))
    )
)


@pytest.fixture(autouse=True)
def warnings_are_errors() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def front_by_brute_force(values: Floats) -> list[bool]:
    """A row is on the front unless some row is nowhere worse and somewhere better."""
    return [not any((other <= row).all() and (other < row).any() for other in values) for row in values]


@given(sets_of_values)
@settings(max_examples=150, deadline=None)
def test_non_dominated_agrees_with_brute_force(values: Floats) -> None:
    assert non_dominated(values).tolist() == front_by_brute_force(values)


@given(sets_of_values, st.integers(0, 35), st.integers(0, 3))
@settings(max_examples=150, deadline=None)
def test_survivors_are_distinct_rows_front_first_with_its_extremes(values: Floats, n_survive: int, seed: int) -> None:
    kept = survive(values, n_survive, seed)
    assert len(set(kept.tolist())) == len(kept) == min(n_survive, len(values))
    front = non_dominated(values)
    assert front[kept].tolist() == sorted(front[kept], reverse=True)
    assert front[kept].sum() == min(n_survive, front.sum())
    if n_survive >= values.shape[1]:
        np.testing.assert_array_equal(values[kept].min(axis=0), values.min(axis=0))
    np.testing.assert_array_equal(kept, survive(values, n_survive, seed))


@given(sets_of_values, st.lists(st.integers(-9, 9), min_size=4, max_size=4))
@settings(max_examples=150, deadline=None)
def test_S08_units_do_not_change_who_survives(values: Floats, powers: list[int]) -> None:
    other_units = values * 10.0 ** np.array(powers[: values.shape[1]])
    np.testing.assert_array_equal(survive(values, 7, seed=0), survive(other_units, 7, seed=0))


def test_S08_error_in_percent_or_fraction_and_madds_or_gmadds() -> None:
    rng = np.random.default_rng(0)
    error = rng.uniform(20, 40, 300)
    madds = rng.uniform(1e8, 6e8, 300)
    once = survive(np.column_stack([error, madds]), 100, seed=0)
    again = survive(np.column_stack([error / 100, madds / 1e9]), 100, seed=0)
    np.testing.assert_array_equal(once, again)


def test_S03_the_front_is_as_large_as_it_is_whatever_survives() -> None:
    rng = np.random.default_rng(0)
    x = rng.permutation(60) / 59
    measured = np.column_stack([x, 1 - x])
    assert non_dominated(measured).sum() == 60
    assert len(survive(measured, 8, seed=0)) == 8


@pytest.mark.parametrize("constant", [0.0, 1.0, -3e9])
def test_S06_a_constant_objective_has_no_say(constant: float) -> None:
    rng = np.random.default_rng(0)
    values = rng.uniform(size=(50, 2))
    with_constant = np.column_stack([values[:, 0], np.full(50, constant), values[:, 1]])
    np.testing.assert_array_equal(survive(with_constant, 10, seed=0), survive(values, 10, seed=0))


def test_S06_beside_a_constant_the_front_is_the_best_error() -> None:
    values = np.column_stack([[3.0, 1.0, 2.0], np.ones(3)])
    assert non_dominated(values).tolist() == [False, True, False]
    assert survive(values, 2, seed=0).tolist() == [1, 2]


def test_S06_when_nothing_varies_anyone_may_survive() -> None:
    assert len(set(survive(np.full((9, 3), 2.0), 4, seed=0).tolist())) == 4


def test_S06_an_objective_that_varies_by_rounding_only_is_constant() -> None:
    error = np.linspace(1, 2, 20)
    rounding = 5 * (1 + 1e-15 * np.arange(20)[::-1])
    assert survive(np.column_stack([error, rounding]), 3, seed=0).tolist() == [0, 1, 2]


def test_S06_fewer_survivors_than_directions() -> None:
    values = np.random.default_rng(0).uniform(size=(40, 6))
    assert len(survive(values, 3, seed=0)) == 3


def test_S10_one_objective_keeps_the_best() -> None:
    values = np.random.default_rng(0).permutation(50)[:, None].astype(float)
    assert sorted(values[survive(values, 5, seed=0), 0]) == [0, 1, 2, 3, 4]
    assert non_dominated(values).sum() == 1


def test_survivors_of_a_line_are_spread_over_it() -> None:
    x = np.linspace(0, 1, 1001)
    kept = survive(np.column_stack([x, 1 - x]), 11, seed=0)
    np.testing.assert_allclose(np.sort(x[kept]), np.linspace(0, 1, 11), atol=1e-3)


def test_a_dominated_outlier_does_not_change_the_spread() -> None:
    x = np.linspace(0, 1, 1001)
    line = np.column_stack([x, 1 - x])
    outlier = np.concatenate([line, [[1e9, 1e9]]])
    np.testing.assert_array_equal(survive(outlier, 11, seed=0), survive(line, 11, seed=0))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(bad: float) -> None:
    values = np.ones((3, 2))
    values[1, 0] = bad
    with pytest.raises(ValueError, match="1 rows are not"):
        survive(values, 2, seed=0)
    with pytest.raises(ValueError, match="finite"):
        non_dominated(values)


def test_nothing_survives_of_nothing() -> None:
    assert len(survive(np.empty((0, 2)), 5, seed=0)) == 0
    assert len(non_dominated(np.empty((0, 2)))) == 0


@pytest.mark.parametrize("m", [1, 2, 3, 4, 6, 12])
@pytest.mark.parametrize("n", [1, 8, 100, 300])
def test_reference_directions_are_distinct_points_of_the_simplex_with_its_corners(m: int, n: int) -> None:
    directions = reference_directions(m, n)
    assert len(directions) <= max(n, m)
    assert len(np.unique(directions.round(9), axis=0)) == len(directions)
    np.testing.assert_allclose(directions.sum(axis=1), 1)
    assert (directions.max(axis=0) == 1).all()


def test_reference_directions_are_as_many_as_the_grid_allows() -> None:
    assert len(reference_directions(2, 100)) == 100
    assert len(reference_directions(3, 100)) == comb(14, 2)
    assert len(reference_directions(12, 100)) == comb(13, 2) + 12


def test_rows_are_taken_evenly_along_a_front_in_any_unit() -> None:
    x = np.concatenate([np.linspace(0, 1, 200) ** 3, [1.0]])
    front = np.column_stack([x, 1 - x])
    for unit in (1.0, 1e6):
        rows = evenly(front * [1, unit], 11)
        np.testing.assert_allclose(front[rows, 0], np.linspace(0, 1, 11), atol=0.02)
    assert evenly(front[:5], 11).tolist() == [0, 1, 2, 3, 4]
    assert evenly(front[:0], 11).tolist() == []
