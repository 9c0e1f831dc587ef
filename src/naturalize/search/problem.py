"""The problem of a search: a space, objectives that are minimised, and limits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from naturalize.errors import UserError
from naturalize.search.operators import Operators
from naturalize.space import WIDEST, Codes, SearchSpace, unique_rows

Floats = NDArray[np.float64]
Function = Callable[[Codes], Floats]
"""A function of architectures: codes `(n, d)` to values `(n,)`."""

MOST_OBJECTIVES = 15
DRAWS = 12  # rounds of uniform draws, before walks among allowed architectures take over
SWEEPS = 10  # changes of each variable in a walk
POPULATION, GENERATIONS = 400, 200  # of the evolution towards the limits
ENUMERATED = 20_000
"""Spaces of up to so many architectures are searched as a whole, in place of drawing some."""


@dataclass(frozen=True)
class SearchProblem:
    """A space and objectives, all minimised. Raises `UserError` for what makes no sense.

    Attributes:
        space: of the architectures.
        objectives: names, in the order of the columns of values.
        exact: functions in closed form, by name: objectives, and others with a limit.
        candidates: the only architectures that may be measured, `(c, d)`, as those of a table; all where None.
        limits: the largest value wanted, by name. A limit on an exact function is never exceeded. A limit on another
            objective marks the preferred region: values beyond it count for nothing.

    Example:
        >>> from naturalize.space import SearchSpace, Variable
        >>> space = SearchSpace("cups", [Variable("height", 3, 20), Variable("radius", 1, 12)])
        >>> area = lambda codes: 2.0 * np.pi * codes[:, 0] * codes[:, 1]
        >>> problem = SearchProblem(space, ["loss", "area"], exact={"area": area}, limits={"area": 100})
        >>> problem.measured
        ['loss']
        >>> problem.allowed(np.array([[3, 5], [3, 6]])).tolist()
        [True, False]
    """

    space: SearchSpace
    objectives: Sequence[str]
    exact: Mapping[str, Function] = field(default_factory=dict)
    limits: Mapping[str, float] = field(default_factory=dict)
    candidates: Codes | None = None

    def __post_init__(self) -> None:
        if not 1 <= len(self.objectives) <= MOST_OBJECTIVES or len(set(self.objectives)) < len(self.objectives):
            raise UserError(f"a search has 1 to {MOST_OBJECTIVES} different objectives, not {list(self.objectives)}")
        for name, limit in self.limits.items():
            if name not in self.exact and name not in self.objectives:
                raise UserError(f"the limit on {name} is on no objective, and no exact function of that name is given")
            if not isinstance(limit, Real) or not np.isfinite(limit):
                raise UserError(f"the limit on {name} must be a finite number, not {limit!r}")
        if self.candidates is not None:
            candidates = checked_codes(self.space, self.candidates, "candidates")
            if not len(candidates):
                raise UserError("candidates are empty: give the architectures that may be measured, or leave them out")
            object.__setattr__(self, "candidates", unique_rows(candidates))

    @property
    def measured(self) -> list[str]:
        """The objectives that are not exact: the expensive ones."""
        return [name for name in self.objectives if name not in self.exact]

    def column(self, name: str) -> int:
        """Position of an objective among the columns of values."""
        return list(self.objectives).index(name)

    def exact_values(self, codes: Codes) -> Floats:
        """Values of the exact objectives; nan for the others. Shapes: `(n, d) -> (n, m)`."""
        values = np.full((len(codes), len(self.objectives)), np.nan)
        for column, name in enumerate(self.objectives):
            if name in self.exact:
                values[:, column] = self.exact_value(name, codes)
        return values

    def exact_value(self, name: str, codes: Codes) -> Floats:
        """Values of an exact function, which gets a copy. `(n, d) -> (n,)`. Raises `UserError` for a bad answer.

        It is not called for no architectures, of which it need know nothing.
        """
        if not len(codes):
            return np.empty(0)
        values = floats(self.exact[name](codes.copy()), f"the exact function {name}")
        if values.shape != (len(codes),):
            raise UserError(f"the exact function {name} gave the shape {values.shape} for {len(codes)} architectures")
        if not np.isfinite(values).all():
            first = self.space.strings(codes[~np.isfinite(values)][:1])[0]
            raise UserError(f"the exact function {name} gave {values[~np.isfinite(values)][0]} for {first}")
        return values

    def checked(self, codes: Any, values: Any) -> tuple[Codes, Floats]:
        """Architectures and their objectives from outside as arrays `(n, d)` and `(n, m)`.

        Raises `UserError` for other shapes, and for codes that are no architectures of the space.
        """
        codes, values = checked_codes(self.space, codes, "codes"), floats(values, "values")
        wanted = (len(codes), len(self.objectives))
        if values.shape != wanted:
            columns = ", ".join(self.objectives)
            raise UserError(f"values have the shape {wanted}, columns {columns}, not {values.shape}")
        return codes, values

    def allowed(self, codes: Codes) -> NDArray[np.bool_]:
        """Whether each architecture is within the limits on exact functions. Shapes: `(n, d) -> (n,)`."""
        allowed = np.ones(len(codes), dtype=bool)
        if self.candidates is not None:
            allowed &= np.array([tuple(row) in self._rows for row in codes.tolist()], dtype=bool)
        for name, limit in self.limits.items():
            if name in self.exact:
                allowed &= self.exact_value(name, codes) <= limit
        return allowed

    def excess(self, codes: Codes) -> Floats:
        """Excess over all limits on exact functions, each in units of the largest one here. `(n, d) -> (n,)`."""
        total = np.zeros(len(codes))
        for name, limit in self.limits.items():
            if name in self.exact:
                beyond = np.maximum(self.exact_value(name, codes) - limit, 0.0)
                total += beyond / max(float(beyond.max(initial=0.0)), np.finfo(float).tiny)
        return total

    @cached_property
    def _rows(self) -> set[tuple[int, ...]]:
        return set() if self.candidates is None else set(map(tuple, self.candidates.tolist()))

    @cached_property
    def operators(self) -> Operators:
        """Crossover and mutation of the space's architectures."""
        return Operators(self.space)

    @cached_property
    def every(self) -> Codes | None:
        """All allowed architectures, `(k, d)`, where the space is small enough to enumerate; None elsewhere."""
        found = self.candidates
        if found is None and self.space.size <= ENUMERATED:
            found = self.space.sample_distinct(self.space.size, np.random.default_rng(0))
        return None if found is None else found[self.allowed(found)]

    def sample(self, n: int, rng: np.random.Generator) -> Codes:
        """Up to n distinct allowed architectures, uniform. Shape `(k, d)`, k <= n.

        Where fewer than one in some hundred is allowed, the rest is found by random walks among allowed ones.
        """
        if self.every is not None:
            return rng.permutation(self.every)[:n]
        found: Codes = np.empty((0, len(self.space)), dtype=np.int64)
        for _ in range(DRAWS):
            drawn = self.space.sample(4 * n + 100, rng)
            found = unique_rows(np.concatenate([found, drawn[self.allowed(drawn)]]))
            if len(found) >= n:
                return found[:n]
        start = found if len(found) else self.within_limits(rng)
        return unique_rows(np.concatenate([found, self.walked(start, n, rng)]))[:n] if len(start) else found

    def walked(self, start: Codes, n: int, rng: np.random.Generator) -> Codes:
        """Allowed architectures that n random walks visit, `(k, d)`; a step changes one or two variables.

        In the long run each allowed architecture within reach is visited equally often (Metropolis et al., 1953). Some
        steps change two variables, since limits may tie variables together, as a sum that must not change; of these
        some move both equally far, since a difference that must stay small leaves little room in wide ranges.

        Args:
            start: allowed architectures, `(s, d)`.
            n: number of walks.
            rng: generator of all draws.
        """
        free = np.flatnonzero(self.space.upper > self.space.lower)
        at, rows, met = start[rng.integers(len(start), size=n)], np.arange(n), []
        for step in range(SWEEPS * len(free)):
            moved = at.copy()
            drawn = free[rng.integers(len(free), size=(1 + step % 2, n))]
            far = np.exp(rng.random(n) * np.log1p(self.space.upper[drawn[0]] - self.space.lower[drawn[0]])).astype(int)
            for columns in drawn:
                if step % 4 < 2:
                    moved[rows, columns] = rng.integers(self.space.lower[columns], self.space.upper[columns] + 1)
                else:
                    moved[rows, columns] += rng.choice([-1, 1], n) * far
            inside = np.logical_and(self.space.lower <= moved, moved <= self.space.upper).all(axis=1, keepdims=True)
            moved = self.space.repair(np.where(inside, moved, at))
            at = np.where(self.allowed(moved)[:, None], moved, at)
            if step % len(free) == len(free) - 1:
                met.append(at)
        return unique_rows(np.concatenate([start[:0], *reversed(met)]))

    def within_limits(self, rng: np.random.Generator) -> Codes:
        """Allowed architectures that an evolution towards the limits finds, `(k, d)`; there may be none."""
        codes = np.concatenate([self.space.corners(), self.space.sample(POPULATION, rng)])
        for _ in range(GENERATIONS):
            excess = self.excess(codes)
            if (excess <= 0).any():
                break
            codes = codes[np.argsort(excess, kind="stable")[: POPULATION // 4]]
            codes = unique_rows(np.concatenate([codes, self.operators.children(codes, POPULATION, rng)]))
        return codes[self.allowed(codes)]


def floats(values: Any, what: str) -> Floats:
    """A copy of numbers from outside; nan where they are masked. Raises `UserError` for other than real numbers.

    Args:
        values: an array, or what makes one.
        what: their name in error messages.
    """
    try:
        if np.iscomplexobj(values):
            raise UserError(f"{what}: complex numbers have no order")
        plain: Floats = np.ma.filled(np.ma.array(values, dtype=np.float64, copy=True), np.nan)
        return plain
    except (TypeError, ValueError, OverflowError) as error:
        raise UserError(f"{what}: these are no real numbers: {error}") from error


def checked_codes(space: SearchSpace, codes: Any, what: str) -> Codes:
    """Codes from outside as an array `(n, d)`. Raises `UserError` where they are not of the space.

    Args:
        space: of the codes.
        codes: `(n, d)`; an empty list for none.
        what: their name in error messages.
    """
    if np.ma.is_masked(codes):
        raise UserError(f"{what} are masked in places: fill them in")
    try:
        found = np.asarray(codes)
        whole = np.equal(found, np.rint(found)).all()
    except (TypeError, ValueError, OverflowError) as error:
        raise UserError(f"{what} are whole numbers, a row each: {error}") from error
    if found.shape == (0,):
        found = found.reshape(0, len(space))
    if found.ndim != 2 or found.shape[1] != len(space):
        raise UserError(f"{what} have the shape (n, {len(space)}), a row each, not {found.shape}")
    if not whole or (np.abs(found) > WIDEST).any():
        raise UserError(f"{what} are whole numbers, up to {WIDEST}")
    found = found.astype(np.int64)
    wrong = np.flatnonzero(~space.is_valid(found))
    if len(wrong):
        raise UserError(f"{what}: row {wrong[0]}, {found[wrong[0]].tolist()}, is no architecture of {space.name}")
    return found
