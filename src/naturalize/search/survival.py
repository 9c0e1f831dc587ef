"""Survival: the choice of architectures that go on, along reference directions (NSGA-III; Deb and Jain, TEVC 2014).

Everything here is minimised and free of units: an objective in percent or as a fraction gives the same choice.
"""

import warnings
from functools import cache
from math import comb

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pymoo.algorithms.moo.nsga3 import ReferenceDirectionSurvival
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.util.nds.non_dominated_sorting import NonDominatedSorting
from pymoo.util.ref_dirs import get_reference_directions

from naturalize.rng import generator

Floats = NDArray[np.float64]

NOISE = 1e-9
"""Relative differences up to this are rounding, not information: an objective that varies no more is constant."""

HUGE = 1e100
"""Larger values count as this, and smaller ones as its negative: squares and sums stay finite."""

DIGITS = 10
"""Decimals that normalised objectives keep. A change of unit costs the last bit or two of a float; it must not change
which of two equals comes first."""


def non_dominated(values: ArrayLike) -> NDArray[np.bool_]:
    """Whether each row is dominated by no other; equal rows are treated alike. Shapes: `(n, m) -> (n,)`.

    Raises `ValueError` for values that are not finite.

    Example:
        >>> non_dominated([[1.0, 3.0], [2.0, 1.0], [2.0, 3.0]]).tolist()
        [True, True, False]
    """
    values = finite(values)
    if values.shape[1] == 2 and len(values):
        return below_the_staircase(*values.T)
    mask = np.zeros(len(values), dtype=bool)
    if len(values):
        mask[NonDominatedSorting().do(values, only_non_dominated_front=True)] = True
    return mask


def below_the_staircase(x: Floats, y: Floats) -> NDArray[np.bool_]:
    """Whether each point is on the front of two objectives: its y is the least at its x, and below all at smaller x."""
    different, place = np.unique(x, return_inverse=True)
    least = np.full(len(different), np.inf)
    np.minimum.at(least, place, y)
    before = np.minimum.accumulate(np.concatenate([[np.inf], least[:-1]]))
    return (y == least[place]) & (y < before[place])


def evenly(values: Floats, n: int) -> NDArray[np.intp]:
    """Up to n rows, evenly along fronts of two objectives, both ends among them. Shapes: `(k, 2) -> (<= n,)`.

    Lengths are city-block ones, each objective in units of its range.
    """
    if len(values) <= n:
        return np.arange(len(values))
    spans = np.ptp(values, axis=0)
    place = (values / np.where(spans > 0, spans, 1)) @ [1.0, -1.0]
    order = np.argsort(place, kind="stable")
    wanted = np.linspace(place.min(), place.max(), n)
    return order[np.unique(np.searchsorted(place[order], wanted))]


def first_fronts(values: Floats, n: int) -> NDArray[np.intp]:
    """Rows of the first fronts that together hold n rows, or of all; ascending."""
    left = np.arange(len(values))
    taken = np.zeros(len(values), dtype=bool)
    while len(left) and taken.sum() < n:
        front = non_dominated(values[left])
        taken[left[front]] = True
        left = left[~front]
    return np.flatnonzero(taken)


def survive(values: ArrayLike, n_survive: int, seed: int) -> NDArray[np.intp]:
    """The rows to keep: whole fronts in order, then rows of the next front nearest to the reference directions.

    The best row of each objective is kept, as far as `n_survive` goes. Objectives that do not vary have no influence.

    Args:
        values: objectives, minimised, `(n, m)`.
        n_survive: how many to keep; all where there are no more.
        seed: decides between equals.

    Returns:
        Indices of distinct rows, `(min(n, n_survive),)`, members of the front first.

    Raises:
        ValueError: for values that are not finite. The caller leaves failed measurements out.

    Example:
        >>> survive([[0.0, 9.0], [5.0, 5.0], [9.0, 0.0], [6.0, 6.0]], n_survive=3, seed=0).tolist()
        [0, 2, 1]
    """
    values = finite(values).clip(-HUGE, HUGE)
    if min(len(values), n_survive) <= 0:
        return np.empty(0, dtype=np.intp)
    values = normalise(values, *ranges(values))
    varies = np.ptp(values, axis=0) > 0
    varies[0] |= not varies.any()
    values = values[:, varies]
    rows = first_fronts(values, n_survive) if values.shape[1] == 2 else np.arange(len(values))
    values = values[rows]

    survival = ReferenceDirectionSurvival(reference_directions(values.shape[1], n_survive))
    with warnings.catch_warnings():  # pymoo silences warnings, and for the whole process
        chosen = survival.do(
            Problem(),
            Population.new("F", values),
            n_survive=n_survive,
            random_state=generator(seed, "survival"),
            return_indices=True,
        )
    return rows[list(dict.fromkeys([*extremes(values), *chosen]))[:n_survive]]


def extremes(values: Floats) -> list[int]:
    """For each objective the member of the front that is best in it; among equals the best in sum. Distinct indices."""
    front = np.flatnonzero(non_dominated(values))
    sums = values[front].sum(axis=1)
    return list(dict.fromkeys(int(front[np.lexsort((sums, column))[0]]) for column in values[front].T))


def finite(values: ArrayLike) -> Floats:
    """The values as floats `(n, m)`. Raises `ValueError` where one is not finite, and for another shape."""
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2:
        raise ValueError(f"objectives have the shape (architectures, objectives), not {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError(f"objectives must be finite: {int((~np.isfinite(values)).any(axis=1).sum())} rows are not")
    return values


def ranges(values: Floats) -> tuple[Floats, Floats]:
    """Each objective's least value and its unit, the range on the front. Shapes: `(n, m) -> (m,), (m,)`.

    The unit is the front's range, since one dominated outlier would press all else together; the range of all rows for
    an objective that does not vary on the front; its magnitude where it does not vary at all.
    """
    magnitude = np.abs(values).max(axis=0)
    unit = np.where(magnitude > 0, magnitude, 1)
    for part in (values, values[non_dominated(values)]):
        span = np.ptp(part, axis=0)
        unit = np.where(span > NOISE * np.abs(part).max(axis=0), span, unit)
    return values.min(axis=0), unit


def normalise(values: Floats, lower: Floats, unit: Floats) -> Floats:
    """Values `(n, m)` counted from `lower` in steps of `unit`, `(m,)` each, without the digits that are rounding."""
    return np.round((values - lower) / unit, DIGITS)


@cache
def reference_directions(n_objectives: int, n_points: int) -> Floats:
    """Up to n_points evenly spread directions, but at least one per objective. Shape `(points, n_objectives)`.

    Das and Dennis's grid, as fine as n_points allows. A grid coarser than the number of objectives has no point inside
    the simplex; what is left of n_points then goes to a second one at half scale (Deb and Jain, section IV-A).
    """
    if n_objectives == 1:
        return np.ones((1, 1))
    outer = partitions(n_objectives, n_points)
    layers = [max(outer, 1)]
    if outer < n_objectives:
        layers.append(partitions(n_objectives, n_points - comb(n_objectives + layers[0] - 1, layers[0])))
    grids = [
        get_reference_directions("das-dennis", n_objectives, n_partitions=layer, scaling=scaling)
        for layer, scaling in zip(layers, (1.0, 0.5), strict=False)
        if layer > 0
    ]
    return np.concatenate(grids)


def partitions(n_objectives: int, n_points: int) -> int:
    """The largest number of partitions of Das and Dennis's grid with at most n_points points; 0 where none fits."""
    count = 0
    while comb(n_objectives + count, count + 1) <= n_points:
        count += 1
    return count
