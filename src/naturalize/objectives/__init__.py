"""Objectives: a number per architecture, minimised. Exact ones are counted, measured ones are measured on a network.

Modelled ones, as `latency:cpu`, are measured too, but the search goes by a model of them: it treats them as exact ones.

A new objective is one line in `OBJECTIVES`: an exact one has the name of a count of `supernet.LayerTable` (`size:int8`
is its `size_int8`), a measured one a function that opens it on a run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from naturalize.archive import TASK
from naturalize.errors import UserError, unknown
from naturalize.latency.setting import COMMAND, Setting, parse_setting
from naturalize.latency.setting import NAMES as RUNTIMES
from naturalize.numbers import count, millijoules, milliseconds, percent, size
from naturalize.space import Architecture, Codes

if TYPE_CHECKING:  # naming an objective needs no torch
    from naturalize.progress import Progress
    from naturalize.tasks import Task
    from naturalize.training.batches import Images
    from naturalize.training.subnets import Subnets

Kind = Literal["exact", "measured", "modelled"]
MULTIPLES = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9}
MILLISECONDS = {"": 1.0, "ms": 1.0, "s": 1e3, "us": 1e-3}
MILLIJOULES = {"": 1.0, "mj": 1.0, "j": 1e3, "uj": 1e-3}
BYTES = {**MULTIPLES, "b": 1.0, "kb": 1e3, "mb": 1e6, "gb": 1e9}


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


def one_by_one(
    archs: Sequence[Architecture],
    value_of: Callable[[Architecture], tuple[float, dict[str, Any]]],
    status_of: Callable[[Exception], str | None],
) -> Measured:
    """Architectures measured one after the other; one that fails has a status.

    Args:
        archs: n of them.
        value_of: function from an architecture to its value and details.
        status_of: function from what it raised to a status of one line; None where that is no matter of the network,
            and is raised.
    """
    values, status, details = [], [], []
    for arch in archs:
        try:
            value, detail = value_of(arch)
            told = "ok"
        except Exception as error:
            failed = status_of(error)
            if failed is None:
                raise
            value, detail, told = np.nan, {}, failed.splitlines()[0][:200]
        values.append(value)
        status.append(told)
        details.append(detail)
    return Measured(np.array(values), np.zeros(len(values)), status, details)


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
        kind: `exact` and `modelled` objectives are known in closed form and may have limits; `measured` ones are
            predicted.
        words: its name in reports.
        shown: function from a value to a text for people.
        open: function that opens a measured objective on a run; None for an exact one, and for one that is read off
            the answers by which error is measured.
        multiples: what may stand behind a number in a requirement, in small letters, and the factor that it means.
    """

    name: str
    unit: str
    kind: Kind
    words: str
    shown: Callable[[float], str]
    open: Callable[[OnRun], Measures] | None = None
    multiples: Mapping[str, float] = field(default_factory=lambda: MULTIPLES)

    def told(self, value: float) -> str:
        """A value for a message that explains a limit: counts to the digit."""
        if self.kind != "exact":
            return self.shown(value)
        return f"{value:,.0f}" + (" bytes" if self.multiples is BYTES else "")


def open_error(run: OnRun) -> Measures:
    """Open the error on a run; see `error.Error`."""
    from naturalize.objectives.error import Error

    return Error(run.subnets, run.task, run.val, run.progress)


def open_int8_error(run: OnRun) -> Measures:
    """Open the error as int8 on a run; see `int8.Int8Error`."""
    from naturalize.objectives.error import Chosen
    from naturalize.objectives.int8 import IMAGES, Int8Error

    rows = np.linspace(0, len(run.val) - 1, min(IMAGES, len(run.val))).round().astype(np.int64)
    return Int8Error(run.subnets, run.task, Chosen(run.val, rows, 1), run.progress)


ERROR = "error"  # the objective that a task defines: every network of a front has it
BALANCED_ERROR = "balanced-error"  # the mean of the classes' errors, of the same answers; it may stand for `error`
INT8_ERROR = "error:int8"  # the same of the int8 file that is exported
LATENCY, ENERGY = "latency", "energy"  # what the names of modelled objectives begin with
COST = "madds"  # the objective that networks are sorted by
OBJECTIVES: dict[str, Objective] = {
    objective.name: objective
    for objective in (
        Objective(ERROR, "%", "measured", "error", percent, open_error),
        Objective(BALANCED_ERROR, "%", "measured", "balanced error", percent),
        Objective(INT8_ERROR, "%", "measured", "error as int8", percent, open_int8_error),
        Objective(COST, "multiply-adds", "exact", "multiply-adds", count),
        Objective("params", "parameters", "exact", "parameters", count),
        Objective("activations", "activations", "exact", "activations", count),
        Objective("size", "bytes", "exact", "size", size, multiples=BYTES),
        Objective("size:int8", "bytes", "exact", "size as int8", size, multiples=BYTES),
    )
}
LEARNT = (COST, "params")  # counts that predictors learn from, whatever the objectives are
DEFAULT = (ERROR, COST)


def deciding_error(objectives: Sequence[str]) -> str:
    """The error by which networks are judged, of a run's objectives: `error`, or `balanced-error` in its place."""
    return ERROR if ERROR in objectives or BALANCED_ERROR not in objectives else BALANCED_ERROR


def plain_error(value: float | None, detail: Mapping[str, Any]) -> float:
    """Error in percent of the images as they are deployed; of all views where that is not known.

    Args:
        value, detail: of a measurement of error.
    """
    if "error" in detail:
        return float(detail["error"])
    wrong, images = detail.get("wrong"), detail.get("images")
    return 100.0 * wrong / images if wrong is not None and images else float(value or 0.0)


def of_kind(kind: Kind) -> list[str]:
    """Names of the objectives of a kind."""
    return [name for name, objective in OBJECTIVES.items() if objective.kind == kind]


def objective_of(name: str) -> Objective:
    """The objective of a name: of `OBJECTIVES`, or modelled, as `latency:cpu,threads=2`. Raises `UserError`."""
    if name in OBJECTIVES:
        return OBJECTIVES[name]
    base, _, text = name.partition(":")
    if base not in (LATENCY, ENERGY) or not text:
        known = [*(f"{LATENCY}:{runtime}" for runtime in RUNTIMES), f"{ENERGY}:{COMMAND}=PROGRAM"]
        raise unknown("objective", name, [*OBJECTIVES, *known])
    setting = setting_of(name)
    words = f"{base} ({setting.words})"
    if base == ENERGY:
        return Objective(f"{ENERGY}:{setting}", "mJ", "modelled", words, millijoules, multiples=MILLIJOULES)
    return Objective(f"{LATENCY}:{setting}", "ms", "modelled", words, milliseconds, multiples=MILLISECONDS)


def setting_of(name: str) -> Setting:
    """How the networks of a modelled objective are run. Raises `UserError`."""
    base, _, text = name.partition(":")
    setting = parse_setting(text, base)
    if base == ENERGY and setting.runtime != COMMAND:
        raise UserError(f"{name}: energy is measured by a program of yours: write {ENERGY}:{COMMAND}=./joules.sh")
    return setting


def parse_objectives(names: Sequence[str]) -> tuple[str, ...]:
    """Distinct names, one to three, error or balanced error among them. `error@default` is `error`.

    Raises `UserError`.
    """
    parsed = []
    for name in names:
        base, _, task = name.partition("@")
        found = objective_of(base).name
        if task not in ("", TASK):
            raise UserError(f"objective {name!r}: this run has one task, `{TASK}`; write `{base}`")
        parsed.append(found)
    if len(set(parsed)) < len(parsed):
        raise UserError(f"an objective is given twice: {', '.join(names)}")
    if not 1 <= len(parsed) <= 3:
        raise UserError(f"give one to three objectives, not {len(parsed)}")
    if deciding_error(parsed) not in parsed:
        told = " ".join(f"-o {name}" for name in (ERROR, *parsed[:2]))
        if INT8_ERROR in parsed:
            raise UserError(f"{INT8_ERROR} goes beside {ERROR}, not in its place: write {told}")
        raise UserError(f"without {ERROR} the smallest network wins: add it, as {told}")
    return tuple(parsed)
