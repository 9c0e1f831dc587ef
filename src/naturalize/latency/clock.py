"""Times of networks that are run in turn with a reference, so that a neighbour slows all of them alike.

Needs NumPy alone: `naturalize latency` puts this file beside networks that are measured on another machine.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Once = Callable[[], object]
"""A function that runs a network once. Where it returns a float, that is how many seconds it took by its own clock."""

BURST_S = 0.004  # runs of one network in a row take at least so long
LEAST_RUNS, MOST_RUNS = 5, 50


def burst(once: Once, runs: int) -> float:
    """The least of the seconds of runs in a row, without the first, which finds its caches cold.

    A neighbour on the same CPU stops some runs for milliseconds; the least is one that it let pass.
    """
    once()
    return min(seconds_of(once) for _ in range(runs))


def seconds_of(once: Once) -> float:
    """Seconds of one run."""
    start = time.perf_counter()
    told = once()
    return told if isinstance(told, float) else time.perf_counter() - start


def runs_for(once: Once) -> int:
    """The number of runs in a burst of a network."""
    once()
    return int(np.clip(BURST_S / max(seconds_of(once), 1e-7), LEAST_RUNS, MOST_RUNS))


def ratios(networks: Sequence[Once], reference: Once, rounds: int, check: Callable[[], object]) -> Floats:
    """Times of networks over the reference's in the same round, `(rounds, n)`; the order is another in every round.

    The reference is run before and after each network, and the mean of both counts.

    Args:
        networks: n of them, opened.
        reference: the network that all are compared with.
        rounds: number of bursts of each.
        check: called before every burst; it may raise to stop.
    """
    runs, of_reference = [runs_for(once) for once in networks], runs_for(reference)
    found = np.empty((rounds, len(networks)))
    generator = np.random.default_rng(0)
    for row in found:
        before = burst(reference, of_reference)
        for number in generator.permutation(len(networks)).tolist():
            check()
            seconds = burst(networks[number], runs[number])
            after = burst(reference, of_reference)
            row[number] = 2.0 * seconds / (before + after)
            before = after
    return found


def spread_of(values: Floats) -> Floats:
    """Standard error of the medians of columns `(rounds, n)`, by their median absolute deviation, relative; `(n,)`."""
    middle = np.median(values, axis=0)
    deviation = 1.4826 * np.median(np.abs(values - middle), axis=0)
    error: Floats = 1.2533 * deviation / np.sqrt(len(values)) / middle
    return error
