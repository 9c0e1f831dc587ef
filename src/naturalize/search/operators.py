"""Crossover and mutation that know which variables belong together: whole groups, single factors, depths.

They handle all rows at once. In a space without groups and factors, only neighbours and uniform draws remain.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from naturalize.space import Codes, SearchSpace

ROUNDS = 0.4  # chance of another mutation of the same row
CROSSED = 0.7  # share of children that have two parents


class Operators:
    """Children of architectures of one space.

    - Crossover: each group, and each variable outside of groups, from one parent or the other.
    - Mutation, one or more of: a variable to a neighbour (another value of one factor; the next code where it has
      none), a variable to any option, a group one layer deeper or shallower, all layers of a group alike.
    """

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        self.free = np.flatnonzero(space.upper > space.lower)
        names: dict[str, list[int]] = {}
        for column in self.free.tolist():
            names.setdefault(space.variables[column].group or f"variable {column}", []).append(column)
        self.blocks = list(names.values())
        self.groups = [block for block in self.blocks if len(block) > 1]
        self.deep = [block for block in self.groups if space.optional[block].any()]

    def children(self, parents: Codes, n: int, rng: np.random.Generator) -> Codes:
        """n valid children of parents `(p, d)`, drawn by `rng`. Shape `(n, d)`; some may be equal."""
        first, second = parents[rng.integers(len(parents), size=(2, n))]
        crossed = self.crossover(first, second, rng)
        children = np.where(rng.random(n)[:, None] < CROSSED, crossed, first)
        going = np.arange(n)
        while len(going):
            children[going] = self.mutate(children[going], rng)
            going = going[rng.random(len(going)) < ROUNDS]
        return children

    def crossover(self, first: Codes, second: Codes, rng: np.random.Generator) -> Codes:
        """Children that have each block from the first or the second parent. Shapes: `(n, d), (n, d) -> (n, d)`."""
        children = first.copy()
        for block in self.blocks:
            other = rng.random(len(first)) < 0.5
            children[:, block] = np.where(other[:, None], second[:, block], children[:, block])
        return self.space.repair(children)

    def mutate(self, codes: Codes, rng: np.random.Generator) -> Codes:
        """The rows with one mutation each, `(n, d)`."""
        kinds = [self.to_neighbour, self.to_neighbour, self.to_any]
        kinds += [self.to_other_depth] if self.deep else []
        kinds += [self.to_one_layer] if self.groups else []
        chosen = rng.integers(len(kinds), size=len(codes))
        codes = codes.copy()
        for number, kind in enumerate(kinds):
            rows = np.flatnonzero(chosen == number)
            if len(rows):
                codes[rows] = kind(codes[rows], rng)
        return self.space.repair(codes)

    def to_neighbour(self, codes: Codes, rng: np.random.Generator) -> Codes:
        """Set one variable of each row to a neighbour of its code."""
        rows, columns, pick = np.arange(len(codes)), rng.choice(self.free, len(codes)), rng.random(len(codes))
        lower, upper, here = self.space.lower[columns], self.space.upper[columns], codes[rows, columns]
        near = here + np.where((here > lower) & ((pick < 0.5) | (here == upper)), -1, 1)
        row = self._row[columns]
        there = np.flatnonzero((row >= 0) & (here > 0))
        codes_of, counts = self._neighbours
        of = row[there], here[there]
        near[there] = codes_of[*of, (pick[there] * counts[of]).astype(int)]
        codes[rows, columns] = near
        return codes

    def to_any(self, codes: Codes, rng: np.random.Generator) -> Codes:
        """Set one variable of each row to any other option."""
        rows, columns = np.arange(len(codes)), rng.choice(self.free, len(codes))
        lower, upper = self.space.lower[columns], self.space.upper[columns]
        drawn = rng.integers(lower, upper)
        codes[rows, columns] = drawn + (drawn >= codes[rows, columns])
        return codes

    def to_other_depth(self, codes: Codes, rng: np.random.Generator) -> Codes:
        """Make one group of each row a layer deeper, with a copy of its last one, or a layer shallower."""
        chosen = rng.integers(len(self.deep), size=len(codes))
        deeper = rng.random(len(codes)) < 0.5
        for number in np.unique(chosen).tolist():
            rows, block = np.flatnonzero(chosen == number), self.deep[number]
            layers = codes[rows][:, block]
            there = layers > 0
            some, each = there.any(axis=1), np.arange(len(rows))
            last, absent = len(block) - 1 - there[:, ::-1].argmax(axis=1), there.argmin(axis=1)
            grows = deeper[rows] & ~there.all(axis=1)
            shrinks = ~deeper[rows] & some & (self.space.lower[block][last] == 0)
            model = layers[each, last]
            model[~some] = rng.integers(1, self.space.upper[block[0]] + 1, size=int((~some).sum()))
            layers[each[grows], absent[grows]] = model[grows]
            layers[each[shrinks], last[shrinks]] = 0
            codes[rows[:, None], block] = layers
        return codes

    def to_one_layer(self, codes: Codes, rng: np.random.Generator) -> Codes:
        """Set all present variables of one group of each row to the code of one of them."""
        chosen = rng.integers(len(self.groups), size=len(codes))
        for number in np.unique(chosen).tolist():
            rows, block = np.flatnonzero(chosen == number), self.groups[number]
            layers = codes[rows][:, block]
            model = layers[np.arange(len(rows)), rng.integers(len(block), size=len(rows))][:, None]
            codes[rows[:, None], block] = np.where((layers > 0) & (model > 0), model, layers)
        return codes

    @cached_property
    def _row(self) -> NDArray[np.intp]:
        """Row of each variable in `_neighbours`, `(d,)`; -1 for those without factors or with one option alone."""
        found = np.array([bool(variable.factors) for variable in self.space.variables])
        found &= self.space.upper > self.space.lower
        return np.where(found, np.cumsum(found) - 1, -1)

    @cached_property
    def _neighbours(self) -> tuple[Codes, Codes]:
        """Neighbours of each code of the k variables with factors, `(k, codes, most)`; their numbers, `(k, codes)`."""
        with_factors = np.flatnonzero(self._row >= 0).tolist()
        of = {
            (row, code): neighbours(self.space, column, code)
            for row, column in enumerate(with_factors)
            for code in range(1, int(self.space.upper[column]) + 1)
        }
        shape = len(with_factors), 1 + max((code for _, code in of), default=0)
        counts = np.zeros(shape, dtype=np.int64)
        found = np.zeros((*shape, max(map(len, of.values()), default=0)), dtype=np.int64)
        for place, codes in of.items():
            counts[place], found[place][: len(codes)] = len(codes), codes
        return found, counts


def neighbours(space: SearchSpace, column: int, code: int) -> list[int]:
    """Codes of a variable, by its column, that differ from `code` in one factor alone; next ones without factors."""
    variable = space.variables[column]
    if variable.factors and code > 0:
        values = np.array([of for _, of in variable.factors])
        differing = (values != values[:, code - 1 : code]).sum(axis=0)
        return (1 + np.flatnonzero(differing == 1)).tolist() or [code]
    return [near for near in (code - 1, code + 1) if variable.lower <= near <= variable.upper] or [code]
