"""Hypervolume against closed forms."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from naturalize.search import hypervolume

Floats = NDArray[np.float64]


def points(m: int, most: int) -> st.SearchStrategy[Floats]:
    return st.integers(0, most).flatmap(lambda n: arrays(np.float64, (n, m), elements=st.floats(0, 1.5)))


def area_by_sweep(values: Floats) -> float:
    """From left to right: each step down of the staircase adds a rectangle."""
    area, height = 0.0, 1.0
    for x, y in sorted(values.tolist()):
        if x < 1 and y < height:
            area += (1 - x) * (height - y)
            height = y
    return area


def volume_by_inclusion_exclusion(values: Floats) -> float:
    """Boxes overlap in the box of the largest corner."""
    boxes = [np.clip(1 - row, 0, None) for row in values]
    return sum(
        (-1) ** (size + 1) * float(np.prod(np.min(some, axis=0)))
        for size in range(1, len(boxes) + 1)
        for some in combinations(boxes, size)
    )


@given(points(2, 12))
@settings(max_examples=150, deadline=None)
def test_two_objectives_agree_with_a_sweep(values: Floats) -> None:
    assert hypervolume(values, [1, 1]) == pytest.approx(area_by_sweep(values), abs=1e-9)


@given(points(3, 7))
@settings(max_examples=150, deadline=None)
def test_three_objectives_agree_with_inclusion_and_exclusion(values: Floats) -> None:
    assert hypervolume(values, [1, 1, 1]) == pytest.approx(volume_by_inclusion_exclusion(values), abs=1e-9)


def test_one_objective_is_the_distance_from_the_reference() -> None:
    assert hypervolume([[30.0], [20.0]], [80.0]) == pytest.approx(0.75)


def test_S08_units_cancel() -> None:
    percent_and_madds = hypervolume([[20.0, 3e8], [30.0, 1e8]], [50.0, 6e8])
    assert hypervolume([[0.2, 0.3], [0.3, 0.1]], [0.5, 0.6]) == pytest.approx(percent_and_madds)


def test_rows_at_or_beyond_the_reference_add_nothing() -> None:
    assert hypervolume([[1.0, 0.1], [0.1, np.inf], [2.0, 2.0]], [1, 1]) == 0
    assert hypervolume([[0.5, 0.5], [0.1, 3.0]], [1, 1]) == pytest.approx(0.25)


def test_the_ideal_has_all_of_it_and_nothing_has_none() -> None:
    assert hypervolume([[0.0, 0.0]], [5, 7]) == 1
    assert hypervolume([[-1.0, 0.0]], [5, 7]) == 1
    assert hypervolume(np.empty((0, 2)), [5, 7]) == 0


@pytest.mark.parametrize("reference", [[0, 1], [-1, 1], [np.nan, 1], [np.inf, 1]])
def test_a_reference_that_is_not_positive_is_refused(reference: list[float]) -> None:
    with pytest.raises(ValueError, match="positive"):
        hypervolume([[0.5, 0.5]], reference)


def test_nan_is_refused() -> None:
    with pytest.raises(ValueError, match="nan"):
        hypervolume([[np.nan, 0.5]], [1, 1])
