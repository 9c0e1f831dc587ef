"""Requirements: limits on exact objectives, as `madds<5M`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from naturalize.errors import UserError, unknown
from naturalize.objectives import OBJECTIVES, of_kind
from naturalize.space import Codes, SearchSpace

if TYPE_CHECKING:  # reading a requirement needs no torch
    from naturalize.objectives.exact import Exact

MULTIPLES = {"": 1.0, "K": 1e3, "M": 1e6, "G": 1e9}


@dataclass(frozen=True)
class Requirement:
    """A requirement `objective <= limit`; the limit is exclusive where the text says `<`."""

    text: str
    objective: str
    limit: float
    exclusive: bool

    @property
    def largest(self) -> float:
        """The largest number that meets it."""
        return float(np.nextafter(self.limit, 0)) if self.exclusive else self.limit

    def met(self, values: ArrayLike) -> NDArray[np.bool_]:
        """Whether each value meets it. Shapes: `(n,) -> (n,)`."""
        return np.asarray(values) <= self.largest


def parse_requirement(text: str) -> Requirement:
    """The requirement in a text as `madds<5M` or `params <= 300K`. Raises `UserError` for anything else."""
    match = re.fullmatch(r"\s*([\w:@-]+)\s*(<=?)\s*(\d+(?:\.\d*)?(?:[eE][+-]?\d+)?)\s*([KMGkmg]?)\s*", text)
    if not match:
        raise UserError(
            f"requirement {text!r} is not understood: write an upper limit, as 'madds<5M' or 'params<=300K'"
        )
    objective, sign, number, multiple = match.groups()
    exact = of_kind("exact")
    if objective not in OBJECTIVES:
        raise unknown("objective", objective, exact)
    if objective not in exact:
        raise UserError(
            f"requirement {text!r}: {objective} is measured, so a limit on it cannot be kept in the search; "
            f"limits go on {' and '.join(exact)}"
        )
    limit = float(number) * MULTIPLES[multiple.upper()]
    if not 0 < limit < np.inf:
        raise UserError(f"requirement {text!r}: the limit must be a positive number")
    return Requirement(text.strip(), objective, limit, sign == "<")


def check_feasible(requirements: Sequence[Requirement], exact: Mapping[str, Exact], space: SearchSpace) -> None:
    """Raise `UserError` for limits that no architecture meets, with the smallest value that can be reached.

    Exact counts grow with every variable, so the smallest architecture has the smallest of each.
    """
    smallest: Codes = space.corners()[:1]
    for requirement in requirements:
        value = exact[requirement.objective](smallest)
        if not requirement.met(value)[0]:
            raise UserError(
                f"nothing meets {requirement.text!r}: the smallest {requirement.objective} that can be reached is "
                f"{value[0]:,.0f} (architecture {space.strings(smallest)[0]}); raise the limit above it"
            )
