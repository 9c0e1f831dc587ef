"""What is searched: a space, objectives that are minimised, and limits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from naturalize.errors import UserError
from naturalize.space import Codes, SearchSpace, unique_rows

Floats = NDArray[np.float64]
Function = Callable[[Codes], Floats]
"""Of architectures: codes `(n, d)` to values `(n,)`."""

MOST_OBJECTIVES = 15
ENUMERATED = 20_000
"""Architectures of a space up to which all of them are looked at, in place of drawing some."""


@dataclass(frozen=True)
class SearchProblem:
    """A space and objectives, all minimised. Raises `UserError` for what makes no sense.

    Attributes:
        objectives: names, in the order of the columns of values.
        exact: what is known in closed form, by name: objectives, and what has a limit besides.
        candidates: the only architectures that may be measured, `(c, d)`, as those of a table; all where None.
        limits: the largest value wanted, by name. One on an exact function is never exceeded. One on another objective
            tells which region is preferred: what lies beyond it counts for nothing.
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
            if not np.isfinite(limit):
                raise UserError(f"the limit on {name} must be a finite number, not {limit}")

    @property
    def measured(self) -> list[str]:
        """The objectives that are not exact: the expensive ones."""
        return [name for name in self.objectives if name not in self.exact]

    def column(self, name: str) -> int:
        """Of an objective, among the columns of values."""
        return list(self.objectives).index(name)

    def exact_values(self, codes: Codes) -> Floats:
        """Objectives as far as they are exact, nan elsewhere. Shapes: `(n, d) -> (n, m)`."""
        values = np.full((len(codes), len(self.objectives)), np.nan)
        for column, name in enumerate(self.objectives):
            if name in self.exact:
                values[:, column] = self.exact[name](codes)
        return values

    def allowed(self, codes: Codes) -> NDArray[np.bool_]:
        """Whether each architecture is within the limits on exact functions. Shapes: `(n, d) -> (n,)`."""
        allowed = np.ones(len(codes), dtype=bool)
        if self.candidates is not None:
            allowed &= np.array([tuple(row) in self._rows for row in codes.tolist()], dtype=bool)
        for name, limit in self.limits.items():
            if name in self.exact:
                allowed &= self.exact[name](codes) <= limit
        return allowed

    @cached_property
    def _rows(self) -> set[tuple[int, ...]]:
        return set() if self.candidates is None else set(map(tuple, self.candidates.tolist()))

    @cached_property
    def every(self) -> Codes | None:
        """All allowed architectures, `(k, d)`, where they are few enough to look at each; None elsewhere."""
        found = self.candidates
        if found is None and self.space.size <= ENUMERATED:
            found = self.space.sample_distinct(self.space.size, np.random.default_rng(0))
        return None if found is None else found[self.allowed(found)]

    def sample(self, n: int, rng: np.random.Generator) -> Codes:
        """Up to n distinct allowed architectures, uniform; where those are rare, smaller ones are more likely.

        Shape `(k, d)`, k <= n.
        """
        if self.every is not None:
            return rng.permutation(self.every)[:n]
        found: Codes = np.empty((0, len(self.space)), dtype=np.int64)
        for least_of in range(1, 12):
            drawn = np.min([self.space.sample(4 * n + 100, rng) for _ in range(least_of)], axis=0)
            drawn = self.space.repair(drawn)
            found = unique_rows(np.concatenate([found, drawn[self.allowed(drawn)]]))
            if len(found) >= n:
                break
        return found[:n]
