"""Encodings: from codes to the numbers that a predictor learns from. They matter more than the model.

All follow from the variables of a search space, so a space of one's own has them too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin

from naturalize.errors import UserError
from naturalize.predictor import Counts
from naturalize.space import SearchSpace

Floats = NDArray[np.float64]

Column = tuple[str, dict[int, Floats]]
"""A kind, and for each variable involved the number of each of its options; the numbers of a row are added up."""


COUNTS = "counts"
WIDE = 64  # options above which a variable has no one-hot part


class Encoding(TransformerMixin, BaseEstimator):
    """Codes `(n, d)` as columns of numbers `(n, p)`.

    - `raw`: the code of each variable, scaled to [0, 1] by its range, as the paper has it.
    - `base`: the factors of each variable (its code where it has none), counted from the mean of their options, 0 where
      it is absent; whether it is present; and the number of present variables of each group.
    - `sums`: each factor summed over the present variables of each group.
    - `one-hot`: each option of each variable, and of each factor where a variable has several.
    - `counts`: inverse hyperbolic sines of `counts`: logarithms of large numbers, and defined for all.

    Every part but the last is a sum of one number for each variable. So all are one matrix product with the one-hot
    form of the codes; only variables with more than `WIDE` options are looked up instead, and have no one-hot part.
    Without factors the numbers of such a variable lie on a line, and the ends of it are all that is kept. Variables
    with a single option are left out.

    Args:
        space: of the codes.
        parts: names of the above, in order.
        counts: functions for the part `counts`.

    Attributes:
        kinds_: kind of each column, `p` names; columns of one kind are alike.
        matrix_: the number that each option of each variable adds to each column but the counts.
        wide_: for variables with many options, which add to few columns: variable, column, numbers at `knots`.
    """

    def __init__(self, space: SearchSpace, parts: Sequence[str] = ("base",), counts: Sequence[Counts] = ()) -> None:
        self.space = space
        self.parts = parts
        self.counts = counts

    def fit(self, X: Any, y: Any = None) -> Encoding:
        """Set up the columns; nothing is learnt from the codes. Raises `ValueError` for another number of variables."""
        self._codes(X)
        columns = [column for part in self.parts if part != COUNTS for column in PARTS[part](self.space)]
        counted = self._counted(self.space.corners()[:1]).shape[1]
        starts, wide = self._starts(), self._options() > WIDE
        self.kinds_ = [kind for kind, _ in columns] + ["count"] * counted
        self.matrix_ = np.zeros((starts[-1], len(columns)))
        self.wide_: list[tuple[int, int, Floats]] = []
        for place, (_, numbers) in enumerate(columns):
            for variable, values in numbers.items():
                if wide[variable]:
                    self.wide_.append((variable, place, values))
                else:
                    self.matrix_[starts[variable] : starts[variable + 1], place] = values
        return self

    def transform(self, X: Any) -> Floats:
        """The columns of codes. Shapes: `(n, d) -> (n, p)`."""
        codes, starts, narrow = self._codes(X), self._starts(), self._options() <= WIDE
        one_hot = np.zeros((len(codes), starts[-1]))
        np.put_along_axis(one_hot, (codes - self.space.lower + starts[:-1])[:, narrow], 1.0, axis=1)
        columns = one_hot @ self.matrix_
        for variable, place, values in self.wide_:
            columns[:, place] += np.interp(codes[:, variable], knots(self.space, variable), values)
        return np.concatenate([columns, self._counted(codes)], axis=1)

    def _codes(self, X: Any) -> NDArray[np.int64]:
        codes = np.asarray(X)
        if codes.ndim != 2 or codes.shape[1] != len(self.space):
            raise ValueError(f"codes of {self.space.name} have the shape (n, {len(self.space)}), not {codes.shape}")
        return codes.astype(np.int64)

    def _starts(self) -> NDArray[np.int64]:
        """Start of each variable's options in the one-hot form, then its length, `(d + 1,)`."""
        options = self._options()
        return np.concatenate([[0], np.cumsum(np.where(options > WIDE, 0, options))])

    def _options(self) -> NDArray[np.int64]:
        """Number of options of each variable, `(d,)`."""
        return self.space.upper - self.space.lower + 1

    def _counted(self, codes: NDArray[np.int64]) -> Floats:
        counts = self.counts if COUNTS in self.parts else ()
        found = [counted(count, codes) for count in counts]
        return np.arcsinh(np.concatenate([np.empty((len(codes), 0)), *found], axis=1))


def counted(count: Counts, codes: NDArray[np.int64]) -> Floats:
    """Known numbers of architectures, `(n, d) -> (n, k)`; the function gets a copy of the codes.

    Raises `UserError` for another number of answers, and for answers that are not finite.
    """
    found = np.array(count(codes.copy()), dtype=np.float64)
    if found.ndim not in (1, 2) or len(found) != len(codes) or not np.isfinite(found).all():
        what = "values that are not finite" if found.shape[:1] == (len(codes),) else f"the shape {found.shape}"
        raise UserError(f"a known function gave {what} for {len(codes)} architectures: it gives (n,) or (n, k)")
    return found.reshape(len(codes), -1)


def free(space: SearchSpace) -> list[int]:
    """The variables with more than one option."""
    return np.flatnonzero(space.upper > space.lower).tolist()


def groups(space: SearchSpace) -> dict[str, list[int]]:
    """The free variables of each group."""
    found: dict[str, list[int]] = {}
    for column in free(space):
        if group := space.variables[column].group:
            found.setdefault(group, []).append(column)
    return found


def knots(space: SearchSpace, column: int) -> NDArray[np.int64]:
    """The codes of a variable at which its numbers are listed: all, or the ends of a line on which many lie."""
    lower, upper = int(space.lower[column]), int(space.upper[column])
    if upper - lower < WIDE or space.variables[column].factors:
        return np.arange(lower, upper + 1)
    return np.array([0, 1, upper] if space.optional[column] else [lower, upper])


def present(space: SearchSpace, column: int) -> NDArray[np.bool_]:
    """Whether a variable is present, for each of its `knots`."""
    return (knots(space, column) > 0) | ~space.optional[column]


def factors(space: SearchSpace, column: int) -> Iterator[tuple[str, Floats]]:
    """The factors of a variable: kind, and the value at each of its `knots`; 0 for absence."""
    variable = space.variables[column]
    there = present(space, column)
    codes = knots(space, column).astype(np.float64)
    if not variable.factors:
        yield ("code" if variable.group or space.optional[column] else variable.name), np.where(there, codes, 0)
    for name, values in variable.factors:
        options = np.zeros(len(codes))
        options[there] = np.asarray(values, dtype=np.float64)[codes[there].astype(int) - 1]
        yield name, options


def raw(space: SearchSpace) -> Iterator[Column]:
    """The columns of `raw`."""
    for column in free(space):
        codes = knots(space, column)
        yield "raw", {column: (codes - codes[0]) / (codes[-1] - codes[0])}


def base(space: SearchSpace) -> Iterator[Column]:
    """The columns of `base`."""
    for column in free(space):
        there = present(space, column)
        for name, values in factors(space, column):
            if np.ptp(values[there]) > 0:
                yield name, {column: np.where(there, values - np.unique(values[there]).mean(), 0)}
        if not there.all():
            yield "presence", {column: there.astype(np.float64)}
    for columns in groups(space).values():
        if any(space.optional[columns]):
            yield "depth", {column: present(space, column).astype(np.float64) for column in columns}


def sums(space: SearchSpace) -> Iterator[Column]:
    """The columns of `sums`."""
    for columns in groups(space).values():
        by_kind: dict[str, dict[int, Floats]] = {}
        for column in columns:
            for name, values in factors(space, column):
                by_kind.setdefault(name, {})[column] = values
        for name, numbers in by_kind.items():
            yield f"sum of {name}", numbers


def one_hot(space: SearchSpace) -> Iterator[Column]:
    """The columns of `one-hot`. A variable with two options needs one."""
    for column in free(space):
        if space.upper[column] - space.lower[column] >= WIDE:
            continue
        there = present(space, column)
        count = len(there)
        for option in range(count if count > 2 else 1):
            yield "option", {column: np.eye(count)[option]}
        several = list(factors(space, column)) if len(space.variables[column].factors) > 1 else []
        for name, values in several:
            for value in np.unique(values[there]):
                yield f"option of {name}", {column: (there & (values == value)).astype(np.float64)}


PARTS: dict[str, Callable[[SearchSpace], Iterator[Column]]] = {
    "raw": raw, "base": base, "sums": sums, "one-hot": one_hot,
}  # fmt: skip
