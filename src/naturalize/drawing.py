"""The architectures of a training step. Draws come from (seed, purpose, step): a resumed run repeats them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from naturalize import rng
from naturalize.space import Architecture, Codes, SearchSpace
from naturalize.supernet import Family

ARCHITECTURES = 4  # in a step of the sandwich rule, which sums their gradients


def distribution(space: SearchSpace, codes: Codes) -> NDArray[np.float64]:
    """Share of members with each option of each variable (NAT, section 3.4), among members whose parent is present.

    A variable with a parent is drawn only where the parent is present. Shares among all members would therefore count
    the parent's absence twice, and stages would be drawn too shallow.

    Args:
        space: of the codes.
        codes: of the members, `(n, d)`.

    Returns:
        `(d, k)`, rows sum to 1; column j is the share of code j, and k - 1 the largest code of all variables. A
        variable whose parent no member has is absent.
    """
    there = np.ones(codes.shape, dtype=bool)
    for child, parent in space.rules:
        there[:, child] &= codes[:, parent] != 0
    counts = ((codes[:, :, None] == np.arange(int(space.upper.max()) + 1)) & there[:, :, None]).sum(axis=0)
    counts[counts.sum(axis=1) == 0, 0] = 1
    shares: NDArray[np.float64] = counts / counts.sum(axis=1, keepdims=True)
    return shares


def drawn(space: SearchSpace, p: NDArray[np.float64], seed: int, step: int) -> Architecture:
    """The architecture of a step: each variable drawn by its row of p `(d, k)`, absent where its parent is."""
    return space.architectures(drawn_codes(space, p, rng.generator(seed, "draw", step).random((1, len(space)))))[0]


def drawn_codes(space: SearchSpace, p: NDArray[np.float64], chances: NDArray[np.float64]) -> Codes:
    """Codes that uniform draws in 0..1 pick from the shares p `(d, k)`. Shapes of draws and codes: `(n, d)`."""
    return space.repair((chances[:, :, None] >= p.cumsum(axis=1)[:, :-1]).sum(axis=2))


def in_rounds(archs: Sequence[Architecture], seed: int, step: int) -> Architecture:
    """The architecture of a step: each comes once in a round, in an order drawn for that round."""
    number, place = divmod(step, len(archs))
    return archs[rng.generator(seed, "round", number).permutation(len(archs))[place]]


def sandwich(family: Family, seed: int, step: int) -> Sequence[Architecture]:
    """The architectures of a step: largest, smallest, two uniform ones; all in one body, bodies taking turns."""
    random = family.space.sample(ARCHITECTURES - 2, rng.generator(seed, "sandwich", step))
    codes = np.concatenate([family.space.corners()[::-1], random])
    return family.space.architectures(family.in_body(codes, family.bodies[step % len(family.bodies)]))


def trimmed(space: SearchSpace, seed: int, step: int) -> Architecture:
    """The architecture of a step: the largest one with more or less left out, at any resolution."""
    return space.architectures(space.sample_trimmed(1, rng.generator(seed, "trimmed", step)))[0]


def uniform(space: SearchSpace, seed: int, step: int) -> Architecture:
    """The architecture of a step, drawn uniformly."""
    return space.architectures(space.sample(1, rng.generator(seed, "uniform", step)))[0]
