"""Search spaces: ordered integer variables, the rules that bind them, and the architectures that they describe.

Everything works on *codes*, an int array `(n, d)` of n points, for all rows at once; `Architecture` is the immutable
single-value view of a row. No torch: a space of one's own can be searched in a process that never imports it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from naturalize.errors import UserError, whole

Codes = NDArray[np.int64]

WIDEST = 2**53  # codes beyond this are no longer told apart as floats
REJECTED = 64  # combinations of options per valid one, from which on rejection is too slow


@dataclass(frozen=True)
class Variable:
    """One integer variable: its codes run from `lower` to `upper`, both included.

    `group` and `factors` may be missing; predictors and operators of a search are better with them.

    Attributes:
        group: name shared by variables that belong together, as the layers of a stage; empty for none.
        factors: names of the quantities that codes stand for, each with its value for codes 1, 2, ...; 0 is absence.
    """

    name: str
    lower: int
    upper: int
    group: str = ""
    factors: tuple[tuple[str, tuple[float, ...]], ...] = ()

    def __post_init__(self) -> None:
        for name, values in self.factors:
            if len(values) != self.upper:
                raise UserError(f"{self.name}: {name} has {len(values)} values for the codes 1 to {self.upper}")

    def within(self, lower: int, upper: int) -> Variable:
        """The variable with narrower bounds."""
        return replace(
            self, lower=lower, upper=upper, factors=tuple((name, values[:upper]) for name, values in self.factors)
        )

    @property
    def digits(self) -> int:
        """Number of characters of its code in the string form: as many as its longest code has."""
        return max(len(str(self.lower)), len(str(self.upper)))


class Architecture:
    """One valid point of a search space: immutable, hashable, equal by its codes, printed as its string form.

    Deliberately no dataclass and no sequence: Fabric walks into those when it wraps a module for mixed precision.
    """

    __slots__ = ("code", "text")

    code: tuple[int, ...]
    text: str

    def __init__(self, code: Sequence[int], text: str) -> None:
        object.__setattr__(self, "code", tuple(int(value) for value in code))
        object.__setattr__(self, "text", text)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("an architecture is immutable")

    def __reduce__(self) -> tuple[type, tuple[tuple[int, ...], str]]:
        return Architecture, (self.code, self.text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Architecture) and self.code == other.code

    def __hash__(self) -> int:
        return hash(self.code)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"Architecture({self.text!r})"


class SearchSpace:
    """Integer variables with bounds, and rules (child, parent): the child is absent (code 0) where its parent is.

    Args:
        name: what messages call the space.
        variables: in the order of the columns of codes.
        rules: pairs of column indices (child, parent).

    Raises `UserError` for bounds and rules that make no sense.

    Example:
        >>> space = SearchSpace("cups", [Variable("height", 3, 20), Variable("radius", 1, 12)])
        >>> len(space), space.size
        (2, 216)
        >>> space.strings(np.array([[7, 12]])), space.parse("0712").code
        (['0712'], (7, 12))
    """

    def __init__(self, name: str, variables: Sequence[Variable], rules: Sequence[tuple[int, int]] = ()) -> None:
        self.name = name
        check_space(name, variables, rules)
        self.rules = parents_before(rules)
        self.variables = within_rules(variables, self.rules)
        self.lower: Codes = np.array([variable.lower for variable in self.variables], dtype=np.int64)
        self.upper: Codes = np.array([variable.upper for variable in self.variables], dtype=np.int64)
        self._digits = [variable.digits for variable in self.variables]

    def __len__(self) -> int:
        return len(self.variables)

    @cached_property
    def optional(self) -> NDArray[np.bool_]:
        """Whether each variable may be absent, as code 0: where rules or factors give that meaning. Shape `(d,)`."""
        ruled = {column for rule in self.rules for column in rule}
        told = [column in ruled or bool(variable.factors) for column, variable in enumerate(self.variables)]
        return np.array(told) & (self.lower == 0)

    @property
    def free(self) -> int:
        """Number of variables with more than one option: those that a predictor learns from."""
        return int((self.upper > self.lower).sum())

    @property
    def size(self) -> int:
        """Number of valid architectures, exactly: a product over the variables without a parent."""
        parents = dict(self.rules)
        return math.prod(sum(self._below[column]) for column in range(len(self)) if column not in parents)

    @cached_property
    def _below(self) -> list[tuple[int, int]]:
        """Number of valid combinations of each variable and its dependents, where it is absent and where it is not."""
        children: dict[int, list[int]] = {}
        for child, parent in self.rules:
            children.setdefault(parent, []).append(child)
        found: dict[int, tuple[int, int]] = {}
        for column in reversed(self._parents_first):
            lower, upper, dependent = int(self.lower[column]), int(self.upper[column]), children.get(column, [])
            may_be_absent = lower <= 0 <= upper and all(self.lower[child] == 0 for child in dependent)
            present = upper - lower + 1 - (lower <= 0 <= upper)
            found[column] = int(may_be_absent), present * math.prod(sum(found[child]) for child in dependent)
        return [found[column] for column in range(len(self))]

    @cached_property
    def _parents_first(self) -> list[int]:
        """The columns, each after the column that it depends on."""
        parents, order = dict(self.rules), dict[int, None]()
        for column in range(len(self)):
            above = [column]
            while above[-1] in parents:
                above.append(parents[above[-1]])
            order |= dict.fromkeys(reversed(above))
        return list(order)

    def is_valid(self, codes: Codes) -> NDArray[np.bool_]:
        """Whether each row lies within the bounds and obeys the rules. Shapes: `(n, d) -> (n,)`."""
        codes = np.asarray(codes)
        valid: NDArray[np.bool_] = np.all((codes >= self.lower) & (codes <= self.upper), axis=1)
        for child, parent in self.rules:
            valid &= (codes[:, child] == 0) | (codes[:, parent] != 0)
        return valid

    def repair(self, codes: Codes) -> Codes:
        """Valid rows near the given ones: clipped to the bounds, children of absent parents made absent. `(n, d)`."""
        codes = np.clip(np.asarray(codes, dtype=np.int64), self.lower, self.upper)
        for child, parent in self.rules:
            codes[:, child] = np.where(codes[:, parent] == 0, 0, codes[:, child])
        return codes

    def sample(self, n: int, rng: np.random.Generator) -> Codes:
        """n rows drawn uniformly from the valid architectures, with replacement. Shape `(n, d)`.

        Where few combinations of options obey the rules, each variable is drawn after its parent, and is absent in
        proportion to the valid combinations without it. Elsewhere rows are drawn by rejection, which is faster.
        """
        if self.size * REJECTED < math.prod((self.upper - self.lower + 1).tolist()):
            return self._sample_by_counts(n, rng)
        drawn: list[Codes] = []
        missing = n
        while missing > 0:
            codes = rng.integers(self.lower, self.upper + 1, size=(2 * missing + 16, len(self)))
            valid = codes[self.is_valid(codes)][:missing]
            drawn.append(valid)
            missing -= len(valid)
        return np.concatenate(drawn) if drawn else np.empty((0, len(self)), dtype=np.int64)

    def _sample_by_counts(self, n: int, rng: np.random.Generator) -> Codes:
        parents, ruled = dict(self.rules), {column for rule in self.rules for column in rule}
        codes = rng.integers(self.lower, self.upper + 1, size=(n, len(self)))
        for column in (column for column in self._parents_first if column in ruled):
            absent, present = self._below[column]
            there = rng.integers(max(self.lower[column], 1), max(self.upper[column], 1) + 1, size=n)
            codes[:, column] = np.where(rng.random(n) < absent / (absent + present), 0, there)
            if column in parents:
                codes[codes[:, parents[column]] == 0, column] = 0
        return codes

    def sample_trimmed(self, n: int, rng: np.random.Generator) -> Codes:
        """n rows that share some variables with the largest architecture, from none to all. Shape `(n, d)`.

        Each row draws uniformly the share of variables that it keeps; the others are drawn as in `sample`, and so is
        the first one, which is the resolution of every supernet.
        """
        kept = rng.random((n, len(self))) < rng.random((n, 1))
        kept[:, 0] = False
        return self.repair(np.where(kept, self.upper, self.sample(n, rng)))

    def sample_distinct(self, n: int, rng: np.random.Generator) -> Codes:
        """Up to n distinct rows, drawn uniformly, in the order drawn; all rows of a space that has no more."""
        n = min(n, self.size)
        codes = unique_rows(self.sample(2 * n, rng))
        while len(codes) < n:
            codes = unique_rows(np.concatenate([codes, self.sample(4 * n, rng)]))
        return codes[:n]

    def corners(self) -> Codes:
        """The smallest and the largest architecture: every variable at its lower or upper bound. Shape `(2, d)`."""
        return np.stack([self.lower, self.upper])

    @property
    def largest(self) -> Architecture:
        """The largest architecture: the second of the corners."""
        return self.architectures(self.corners()[1:])[0]

    def wholes(self) -> Codes:
        """The largest architecture at every resolution, ascending. Shape `(resolutions, d)`."""
        codes = np.tile(self.upper, (self.upper[0] - self.lower[0] + 1, 1))
        codes[:, 0] = np.arange(self.lower[0], self.upper[0] + 1)
        return codes

    def up_to(self, code: int) -> SearchSpace:
        """The part of the space where variable 1 has `code` at most. Codes and strings mean what they mean here."""
        first, *others = self.variables
        part = SearchSpace(self.name, [first.within(first.lower, code), *others], self.rules)
        part._digits = self._digits
        return part

    def scale(self, codes: Codes) -> NDArray[np.float64]:
        """Codes scaled to [0, 1] by each variable's range (method.md, section 4), `(n, d)`. Fixed variables give 0."""
        return (np.asarray(codes) - self.lower) / np.maximum(self.upper - self.lower, 1)

    def strings(self, codes: Codes) -> list[str]:
        """The string form of each row: its codes joined, each as long as its variable's longest code."""
        return [
            "".join(f"{value:0{width}d}" for value, width in zip(row, self._digits, strict=True))
            for row in codes.tolist()
        ]

    def architectures(self, codes: Codes) -> list[Architecture]:
        """The architecture of every row, without checking: for codes that the space itself made."""
        return [Architecture(row, text) for row, text in zip(codes.tolist(), self.strings(codes), strict=True)]

    def parse(self, text: str) -> Architecture:
        """The architecture of a string form. Raises `UserError` for a string of another space."""
        widths = self._digits
        ends = np.cumsum(widths)
        parts = [text[end - width : end] for end, width in zip(ends, widths, strict=True)]
        if len(text) != sum(widths) or not all(re.fullmatch(r"-?[0-9]+", part) for part in parts):
            raise UserError(
                f"{text!r} is no architecture of {self.name}: its strings are {sum(widths)} digits, "
                f"as {self.strings(self.corners())[1]}"
            )
        code = list(map(int, parts))
        for variable, value in zip(self.variables, code, strict=True):
            if not variable.lower <= value <= variable.upper:
                raise UserError(
                    f"{text!r} is no architecture of {self.name}: {variable.name} is {value}, "
                    f"not {variable.lower} to {variable.upper}"
                )
        for child, parent in self.rules:
            if code[child] and not code[parent]:
                names = self.variables[child].name, self.variables[parent].name
                raise UserError(f"{text!r} is no architecture of {self.name}: {names[0]} is there without {names[1]}")
        return Architecture(code, text)

    def codes(self, architectures: Sequence[Architecture]) -> Codes:
        """The codes of architectures, one row each. Shape `(n, d)`."""
        return np.array([a.code for a in architectures], dtype=np.int64).reshape(-1, len(self))


def unique_rows(codes: Codes) -> Codes:
    """The distinct rows, in the order in which they first occur. Shapes: `(n, d) -> (k, d)`."""
    in_bytes = np.ascontiguousarray(codes).view(np.dtype((np.void, codes.itemsize * codes.shape[1])))
    rows = in_bytes.ravel().tolist()
    first = dict(zip(reversed(rows), reversed(range(len(rows))), strict=True))
    return codes[sorted(first.values())]


def check_space(name: str, variables: Sequence[Variable], rules: Sequence[tuple[int, int]]) -> None:
    """Raise `UserError` for a space that describes nothing: without variables, with crossed bounds or rules.

    Args:
        name, variables, rules: as of `SearchSpace`.
    """
    if not variables:
        raise UserError(f"the search space {name} has no variables")
    for variable in variables:
        if not isinstance(variable, Variable):
            raise UserError(f"{name}: {variable!r} is no variable: give Variable(name, lower, upper)")
        for bound in (variable.lower, variable.upper):
            if whole(f"{name}: a bound of {variable.name}", bound, -WIDEST) > WIDEST:
                raise UserError(f"{name}: a bound of {variable.name} is at most {WIDEST}, not {bound}")
        if variable.lower > variable.upper:
            raise UserError(
                f"{name}: {variable.name} has no options: it runs from {variable.lower} to {variable.upper}"
            )
    parents: dict[int, int] = {}
    for child, parent in rules:
        if not (0 <= child < len(variables) and 0 <= parent < len(variables)):
            raise UserError(f"{name}: the rule {(child, parent)} is on a variable that is not there")
        if child in parents:
            raise UserError(f"{name}: {variables[child].name} depends on two variables: a rule gives it one parent")
        if min(variables[child].lower, variables[parent].lower) < 0:
            raise UserError(f"{name}: codes of variables with a rule start at 0, which is absence, or later")
        parents[child] = parent
    for child in parents:
        above = child
        for _ in parents:
            above = parents.get(above, above)
        if above in parents:
            raise UserError(f"{name}: {variables[child].name} depends on itself by way of its rules")


def parents_before(rules: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """The rules in an order in which absence spreads: the rule of a parent before those of its children."""
    parents = dict(rules)

    def depth(column: int) -> int:
        above = 0
        while column in parents:
            column, above = parents[column], above + 1
        return above

    return tuple(sorted(rules, key=lambda rule: depth(rule[0])))


def within_rules(variables: Sequence[Variable], rules: Sequence[tuple[int, int]]) -> tuple[Variable, ...]:
    """The variables without the options that rules never allow, so that both corners of a space are valid."""
    found = list(variables)
    for child, parent in rules:
        if found[parent].upper == 0:
            found[child] = found[child].within(found[child].lower, 0)
    for child, parent in reversed(rules):
        if found[child].lower > 0 and found[parent].lower == 0:
            found[parent] = found[parent].within(1, found[parent].upper)
    return tuple(found)
