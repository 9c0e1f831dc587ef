"""What an architecture would add to what was measured: area for two objectives, nearness along lines for any number."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from naturalize.search.survival import non_dominated

Floats = NDArray[np.float64]


def gains(front: Floats, values: Floats) -> Floats:
    """The area that each of the values dominates within the unit square and the front does not.

    Over the first objective the front is a staircase of heights h, and what lies below it and above a value (x, y) has
    the area  sum_i  |[t_i, t_i+1] beyond x| max(h_i - y, 0).

    Args:
        front: `(k, 2)`, in any order; what it dominates itself and what lies outside of the square does no harm.
        values: `(n, 2)`, minimised.

    Returns:
        `(n,)`.
    """
    inside = front[(front < 1).all(axis=1)]
    inside = inside[non_dominated(inside)] if len(inside) else inside.reshape(0, 2)
    inside = np.maximum(inside[np.argsort(inside[:, 0])], 0)
    steps = np.concatenate([[0], inside[:, 0], [1]])
    heights = np.concatenate([[1], inside[:, 1]])
    x, y = np.maximum(values, 0).T[:, :, None]
    widths = np.clip(steps[1:] - np.maximum(steps[:-1], x), 0, None)
    return (widths * np.maximum(heights - y, 0)).sum(axis=1)


class Gain(Protocol):
    """What architectures would add to what was measured, by degree of optimism."""

    n_optimisms: int

    def of_all(self, optimism: int) -> Floats:
        """The gain of each architecture, by the values of one degree of optimism, `(c,)`."""

    def add(self, optimism: int, row: int) -> None:
        """Count an architecture as measured, with the values of one degree of optimism."""


class AreaGain:
    """Two objectives: the area that is dominated besides.

    Args:
        told: what was measured, `(k, 2)`, 1 being the reference point.
        optimistic: values of c architectures by b degrees of optimism, `(b, c, 2)`.
    """

    def __init__(self, told: Floats, optimistic: Floats) -> None:
        self.n_optimisms = len(optimistic)
        least = np.concatenate([np.zeros((1, 2)), optimistic.reshape(-1, 2)]).min(axis=0)
        self.front, self.optimistic = (told - least) / (1 - least), (optimistic - least) / (1 - least)

    def of_all(self, optimism: int) -> Floats:
        return gains(self.front, self.optimistic[optimism])

    def add(self, optimism: int, row: int) -> None:
        self.front = np.concatenate([self.front, self.optimistic[optimism, row][None]])


class LineGain:
    """Any number of objectives: how much nearer to the ideal than what was measured, summed over lines.

    Args:
        told: what was measured, `(k, m)`, 0 being the ideal.
        optimistic: values of c architectures by b degrees of optimism, `(b, c, m)`.
        lines, ends: `(w, m)` and `(m,)`, as `along` has them.
    """

    def __init__(self, told: Floats, optimistic: Floats, lines: Floats, ends: Floats) -> None:
        self.n_optimisms = len(optimistic)
        self.nearest = along(told, lines, ends).min(axis=0)
        self.reached = [along(values, lines, ends) for values in optimistic]

    def of_all(self, optimism: int) -> Floats:
        return np.maximum(self.nearest - self.reached[optimism], 0).sum(axis=1)

    def add(self, optimism: int, row: int) -> None:
        self.nearest = np.minimum(self.nearest, self.reached[optimism][row])


OUTSIDE = 1e6
"""Farther than anything within the region is."""


def along(values: Floats, lines: Floats, ends: Floats) -> Floats:
    """How far from the ideal each value lies on each line: max_i value_i / line_i (Chebyshev's scalarisation).

    What lies beyond the region is farther than all that lies within, by the most that an objective exceeds its end.

    Args:
        values: `(n, m)`, minimised, 0 being the ideal.
        lines: positive, `(w, m)`.
        ends: of the region that is wanted, `(m,)`; infinite where there is none.

    Returns:
        `(n, w)`.
    """
    farthest = values[:, None, 0] / lines[:, 0]
    for column in range(1, values.shape[1]):
        np.maximum(farthest, values[:, None, column] / lines[:, column], out=farthest)
    excess = (values - ends).max(axis=1, keepdims=True)
    return farthest + np.where(excess > 0, OUTSIDE * (1 + excess), 0)


def greedy_batch(gain: Gain, n: int, first: int = 0) -> list[int]:
    """Up to n architectures, each with the largest gain after those before it; fewer where nothing else gains.

    Degrees of optimism take turns, the one numbered `first` first; one by which nothing gains is passed over. Distinct
    indices.
    """
    chosen: list[int] = []
    turn, passed = first, 0
    while len(chosen) < n and passed < gain.n_optimisms:
        optimism = turn % gain.n_optimisms
        found = gain.of_all(optimism)
        found[chosen] = 0
        turn, passed = turn + 1, passed + 1
        if len(found) and found.max() > 0:
            chosen.append(int(found.argmax()))
            gain.add(optimism, chosen[-1])
            passed = 0
    return chosen
