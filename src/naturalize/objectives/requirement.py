"""Requirements: limits on exact and modelled objectives, as `madds<5M`, `2M<madds<5M` or `latency:cpu<5ms`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from naturalize.errors import UserError
from naturalize.objectives import objective_of, of_kind
from naturalize.space import Codes, SearchSpace


@dataclass(frozen=True)
class Requirement:
    """A requirement `objective <= limit`, or `least <= objective <= limit`.

    The limit is exclusive where the text says `<`; so is the least value, which is 0.0 where there is none.
    """

    text: str
    objective: str
    limit: float
    exclusive: bool
    least: float = 0.0

    @property
    def largest(self) -> float:
        """The largest number that meets it."""
        return float(np.nextafter(self.limit, 0)) if self.exclusive else self.limit

    def met(self, values: ArrayLike) -> NDArray[np.bool_]:
        """Whether each value meets it. Shapes: `(n,) -> (n,)`."""
        found = np.asarray(values)
        return (self.least <= found) & (found <= self.largest)

    def excess(self, value: float) -> float:
        """How far a positive value is from meeting it: as a multiple of the limit, or of it in the least value."""
        return max(value / self.limit, self.least / value)


SAMPLE = 1000  # architectures that are asked for the smallest latency
NUMBER = r"([0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?)\s*([a-zA-Z]*)"


def parse_requirement(text: str) -> Requirement:
    """The requirement in a text as `madds<5M` or `params <= 300K`. Raises `UserError` for anything else."""
    match = re.fullmatch(
        rf"\s*(?:(?P<least>{NUMBER})\s*(?P<above><=?))?\s*(?P<name>[^<]*[^\s<])\s*(?P<sign><=?)\s*(?P<limit>{NUMBER})\s*",
        text,
    )
    if not match:
        raise UserError(
            f"requirement {text[:80]!r} is not understood: write an upper limit, as 'madds<5M', 'params<=300K' or "
            "'latency:cpu<5ms', or both, as '2M<madds<5M'"
        )
    objective, what = match["name"], f"requirement {text!r}"
    exact = of_kind("exact")
    found = objective_of(objective)
    if found.kind == "measured":
        raise UserError(
            f"requirement {text!r}: {objective} is measured, so a limit on it cannot be kept in the search; "
            f"limits go on {', '.join(exact)} and latencies"
        )
    limit = number_of(objective, match["limit"], what)
    least = 0.0 if match["least"] is None else number_of(objective, match["least"], what)
    if least >= limit:
        raise UserError(f"{what}: the number on the left is not below that on the right: write '2M<madds<5M'")
    least = float(np.nextafter(least, np.inf)) if match["above"] == "<" else least
    return Requirement(text.strip(), found.name, limit, match["sign"] == "<", least)


def number_of(objective: str, text: str, what: str) -> float:
    """A positive number of an objective, as `5M` or, of a size, `2MB`. Raises `UserError`.

    Args:
        objective: name of a known one.
        text: the number.
        what: where it stands, for messages.
    """
    match = re.fullmatch(NUMBER, text)
    found = objective_of(objective)
    multiples = found.multiples
    if not match or match[2].lower() not in multiples:
        known = ", ".join(map(str.upper, multiples) if found.kind == "exact" else multiples).strip(", ")
        raise UserError(f"{what}: {text!r} is no number of {objective}: write digits and {known} or nothing")
    number = float(match[1]) * multiples[match[2].lower()]
    if not 0 < number < np.inf:
        raise UserError(f"{what}: the limit must be a positive number, and not beyond what a computer can hold")
    return number


def check_feasible(
    requirements: Sequence[Requirement], exact: Mapping[str, Callable[[Codes], NDArray]], space: SearchSpace
) -> None:
    """Raise `UserError` for limits that no architecture meets, with the smallest or largest value within reach.

    Counts grow with every variable, so the corners have the smallest and the largest of each. A latency need not, so
    others are asked too.
    """
    codes: Codes = np.concatenate([space.corners(), space.sample(SAMPLE, np.random.default_rng(0))])
    for requirement in requirements:
        values = exact[requirement.objective](codes)
        smallest, largest = int(values.argmin()), int(values.argmax())
        if values[largest] < requirement.least:
            told = objective_of(requirement.objective).told(values[largest])
            raise UserError(
                f"nothing meets {requirement.text!r}: the largest {requirement.objective} that can be reached is "
                f"{told} (architecture {space.strings(codes[[largest]])[0]}); lower the number on the left below it"
            )
        if values[smallest] > requirement.largest:
            told = objective_of(requirement.objective).told(values[smallest])
            raise UserError(
                f"nothing meets {requirement.text!r}: the smallest {requirement.objective} that can be reached is "
                f"{told} (architecture {space.strings(codes[[smallest]])[0]}); raise the limit above it"
            )
