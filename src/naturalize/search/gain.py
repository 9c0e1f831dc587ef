"""What an architecture would add to a front: its gain of hypervolume, for two objectives, many at once."""

from __future__ import annotations

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


def greedy_batch(front: Floats, optimistic: Floats, n: int) -> list[int]:
    """Up to n architectures, each with the largest gain over the front and those before it; without gain, none.

    Args:
        front: `(k, 2)`, in units of the reference point.
        optimistic: values `(b, c, 2)` of c architectures by b degrees of optimism; the i-th is chosen by the i-th, and
            round again.
        n: at most.

    Returns:
        Distinct indices below c.
    """
    chosen: list[int] = []
    for number in range(n):
        values = optimistic[number % len(optimistic)]
        found = gains(front, values)
        found[chosen] = 0
        best = int(np.argmax(found)) if len(found) else -1
        if best < 0 or found[best] <= 0:
            continue
        chosen.append(best)
        front = np.concatenate([front, values[best : best + 1]])
    return chosen
