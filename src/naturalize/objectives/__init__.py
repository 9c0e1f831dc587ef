"""Objectives: a number per architecture, minimised. Exact ones are counted, measured ones are measured on a network.

A new objective is one line in `OBJECTIVES`: an exact one has the name of a count of `supernet.LayerTable`, a measured
one a function that opens it on a run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from naturalize.archive import TASK
from naturalize.errors import UserError, unknown
from naturalize.numbers import count, percent
from naturalize.space import Codes

if TYPE_CHECKING:  # naming an objective needs no torch
    from naturalize.objectives.error import Images
    from naturalize.progress import Progress
    from naturalize.tasks import Task
    from naturalize.training.subnets import Subnets

Kind = Literal["exact", "measured"]


@dataclass(frozen=True)
class Measured:
    """Values of n architectures.

    Attributes:
        values, spread: `(n,)`; NaN where `status` is not `ok`.
        status: `ok`, or in a few words why there is no value; `(n,)`.
        details: facts that belong to each value, as numbers of images; `(n,)`.
    """

    values: NDArray[np.float64]
    spread: NDArray[np.float64]
    status: list[str]
    details: list[dict[str, Any]] = field(default_factory=list)


class Measures(Protocol):
    """A measured objective that was opened on a run.

    It has no order and no memory, so rows may be spread over processes. For a network that cannot be measured it gives
    a status, and raises nothing.
    """

    def measure(self, codes: Codes) -> Measured:
        """Values of architectures, `(n, d) -> (n,)`."""


class OnRun(Protocol):
    """The parts of a run that a measured objective is opened on: subnets, task, validation images."""

    @property
    def subnets(self) -> Subnets:
        """Subnets by architecture."""

    @property
    def task(self) -> Task:
        """Task that is learnt."""

    @property
    def val(self) -> Images:
        """All validation images in all views."""

    @property
    def progress(self) -> Progress:
        """Progress for the threads that measure."""


@dataclass(frozen=True)
class Objective:
    """The description of an objective.

    Attributes:
        unit: of its values, as in messages.
        kind: `exact` objectives are known in closed form and may have limits; `measured` ones are predicted.
        words: its name in reports.
        shown: function from a value to a text for people.
        open: function that opens a measured objective on a run; None for an exact one.
    """

    name: str
    unit: str
    kind: Kind
    words: str
    shown: Callable[[float], str]
    open: Callable[[OnRun], Measures] | None = None


def open_error(run: OnRun) -> Measures:
    """Open the error on a run; see `error.Error`."""
    from naturalize.objectives.error import Error

    return Error(run.subnets, run.task, run.val, run.progress)


ERROR = "error"  # the objective that a task defines: every network of a front has it
COST = "madds"  # the objective that networks are sorted by
OBJECTIVES: dict[str, Objective] = {
    objective.name: objective
    for objective in (
        Objective(ERROR, "%", "measured", "error", percent, open_error),
        Objective(COST, "multiply-adds", "exact", "multiply-adds", count),
        Objective("params", "parameters", "exact", "parameters", count),
    )
}
DEFAULT = (ERROR, COST)


def of_kind(kind: Kind) -> list[str]:
    """Names of the objectives of a kind."""
    return [name for name, objective in OBJECTIVES.items() if objective.kind == kind]


def parse_objectives(names: Sequence[str]) -> tuple[str, ...]:
    """Distinct names of known objectives, one to three of them. `error@default` is `error`. Raises `UserError`."""
    parsed = []
    for name in names:
        base, _, task = name.partition("@")
        if base not in OBJECTIVES:
            raise unknown("objective", base, OBJECTIVES)
        if task not in ("", TASK):
            raise UserError(f"objective {name!r}: this run has one task, `{TASK}`; write `{base}`")
        parsed.append(base)
    if len(set(parsed)) < len(parsed):
        raise UserError(f"an objective is given twice: {', '.join(names)}")
    if not 1 <= len(parsed) <= 3:
        raise UserError(f"give one to three objectives, not {len(parsed)}")
    return tuple(parsed)
