"""Which network of a front to take: the most accurate within limits, the knee, or the one nearest to a cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from naturalize.errors import UserError, unknown
from naturalize.numbers import plural
from naturalize.objectives import BALANCED_ERROR, ENERGY, INT8_ERROR, LATENCY, deciding_error, objective_of, of_kind
from naturalize.objectives.requirement import Requirement, number_of
from naturalize.run.front import FrontNetwork, best, meeting

# that networks can be put in order by, besides costs
COLUMNS = ("resolution", "val_error", "test_error", "val_balanced_error", "test_balanced_error")


@dataclass(frozen=True)
class Choice:
    """A rule that picks one network.

    Attributes:
        require: limits that the network has to meet, whatever else is asked.
        knee: whether to take the knee, see `knee`.
        at: a cost to come near to, as `madds=20M`.
    """

    require: Sequence[Requirement] = ()
    knee: bool = False
    at: str | None = None

    def __post_init__(self) -> None:
        if self.knee and self.at is not None:
            raise UserError("a network is chosen by its knee or by being near to a cost, not by both: leave one out")


def choose(networks: Sequence[FrontNetwork], choice: Choice, objectives: Sequence[str]) -> tuple[FrontNetwork, str]:
    """The network that a rule picks, and why, in words.

    Args:
        networks: of a front, one at least.
        choice: the rule.
        objectives: of the run, which the knee is of, and which say by which error networks are judged.
    """
    left = meeting(networks, choice.require)
    limits = " and ".join(requirement.text for requirement in choice.require)
    among = plural(len(left), "network") + (f" with {limits}" if limits else "")
    if choice.knee:
        return knee(left, objectives), f"the knee of {among}"
    if choice.at is not None:
        found = nearest(left, choice.at)
        name, _ = parse_at(choice.at)
        return found, f"nearest to {choice.at} of {among}: {objective_of(name).shown(found.value(name))}"
    return best(left, by=deciding_error(objectives)), f"the most accurate of {among}"


def knee(networks: Sequence[FrontNetwork], objectives: Sequence[str]) -> FrontNetwork:
    """The network farthest from the plane through the extremes of a front, towards better values (Das, 1999).

    Objectives are scaled to 0 for the lowest and 1 for the highest value, so that it has the smallest sum of them.

    Args:
        networks: one at least.
        objectives: of the run; error counts as all views have it.
    """
    values = np.array([[network.value(name) for name in objectives] for network in networks])
    low, span = values.min(axis=0), np.ptp(values, axis=0)
    return networks[int(((values - low) / np.where(span > 0, span, 1.0)).sum(axis=1).argmin())]


def nearest(networks: Sequence[FrontNetwork], at: str) -> FrontNetwork:
    """The network whose cost is nearest to a wanted one by its factor; of equals, the more accurate."""
    name, wanted = parse_at(at)
    return min(networks, key=lambda n: (abs(np.log(max(n.value(name), 1e-9) / wanted)), n.val_error_views))


def parse_at(text: str) -> tuple[str, float]:
    """Objective and number of a cost, as `madds=20M`. Raises `UserError`."""
    name, sign, number = (part.strip() for part in text.rpartition("="))
    if not sign:
        raise UserError(f"--at {text!r} is not understood: write a cost, as madds=20M")
    found = objective_of(name)
    if found.kind == "measured":
        raise UserError(f"--at {text!r}: {name} is no cost: take one of {', '.join(of_kind('exact'))} or a latency")
    return found.name, number_of(name, number, f"--at {text!r}")


def ordered(networks: Sequence[FrontNetwork], by: str) -> list[FrontNetwork]:
    """Networks in ascending order of a cost or one of `COLUMNS`; those without a value last. Raises `UserError`."""
    counted = (*of_kind("exact"), BALANCED_ERROR, INT8_ERROR)
    if by not in COLUMNS and by.partition(":")[0] not in (LATENCY, ENERGY) and by not in counted:
        raise unknown("column", by, (*COLUMNS, *counted))
    name = by if by in COLUMNS else objective_of(by).name
    values = [getattr(network, name) if by in COLUMNS else network.value(name) for network in networks]
    rows = sorted(range(len(networks)), key=lambda row: (values[row] is None, values[row] or 0))
    return [networks[row] for row in rows]
