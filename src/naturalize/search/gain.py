"""The gain of an architecture over the measured ones: area for two objectives, nearness along lines for any number."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from naturalize.search.survival import non_dominated

Floats = NDArray[np.float64]


def gains(front: Floats, values: Floats) -> Floats:
    """The area within the unit square that each value dominates and the front does not.

    Over the first objective the front is a staircase of heights h. The region below it that a value (x, y) dominates
    has the area  sum_i  |[t_i, t_i+1] beyond x| max(h_i - y, 0).

    Args:
        front: `(k, 2)`, in any order; dominated points and points outside the square do no harm.
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
    """Gains of architectures over the measured ones, by degree of optimism."""

    n_optimisms: int

    def of_all(self, optimism: int) -> Floats:
        """The gain of each architecture, by the values of one degree of optimism, `(c,)`."""

    def add(self, optimism: int, row: int) -> None:
        """Count an architecture as measured, with the values of one degree of optimism."""


class AreaGain:
    """Gains for two objectives: the area that is dominated in addition.

    Args:
        told: measured values, `(k, 2)`, 1 being the reference point.
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
    """Gains for any number of objectives: how much nearer to the ideal than the measured ones, summed over lines.

    Args:
        told: measured values, `(k, m)`, 0 being the ideal.
        optimistic: values of c architectures by b degrees of optimism, `(b, c, m)`.
        lines, ends: `(w, m)` and `(m,)`, as of `along`.
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
"""A distance farther than any within the region."""


def along(values: Floats, lines: Floats, ends: Floats) -> Floats:
    """Distance of each value from the ideal along each line: max_i value_i / line_i (Chebyshev's scalarisation).

    Values beyond the region are farther than all within it, by the most that an objective exceeds its end.

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
    """Distinct indices of up to n architectures, each with the largest gain after those before it.

    Degrees of optimism take turns; one by which nothing gains is passed over. There are fewer than n indices where no
    other architecture gains.

    Args:
        gain: of the architectures; those chosen are added to it.
        n: number of architectures, at most.
        first: number of the degree of optimism that begins.
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
