"""Every decision of a run by its name. A decision by the clock is taken once, so that a resumed run has the same.

Decisions are kept in the run's archive as JSON values. Where a name has a number, it is that of an iteration or of a
weights version; where it has seconds, they are those of the budget that was planned with.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

DONE = "done"  # `{"budget_s", "iterations"}`: as asked for when the run was last done
PROBED = "probed"  # True: the published network's front was written
LARGER = "larger resolutions"  # `{"sides", "test_s", "budget_s"}`: where the whole network is read by itself, seconds
# of their test, and the budget that these were chosen for
READ = "whole"  # True: the whole network was read there
PIXEL = "published pixel"  # seconds that the published network takes for one pixel of a picture
FINETUNED = "finetuned"  # weights version whose front was fine-tuned since the run's recipe ends so
PREPARED = "prepared"  # bool: whether the weights that the run began with make good subnets already
CHOSEN_IMAGES = "validation images"  # `[images, views]` that measurements answer


class Journal(Protocol):
    """A store of decisions. `Archive` is one."""

    def decision(self, name: str) -> Any:
        """The decision of that name, or None."""

    def decide(self, name: str, make: Callable[[], Any]) -> Any:
        """The recorded decision of that name; where there is none, the value of `make()`, which is recorded."""

    def record_decision(self, name: str, value: Any) -> None:
        """Record a decision, in place of an earlier one of that name."""


def plan(budget_s: float) -> str:
    """The division of a budget, as `Plan.record` gives it."""
    return f"plan {budget_s:g}"


def tuning(budget_s: float) -> str:
    """`{"seconds", "until"}` of the whole network's training by itself."""
    return f"tune {budget_s:g}"


def preparation(budget_s: float) -> str:
    """Seconds of the preparation."""
    return f"prepare {budget_s:g}"


def soft(budget_s: float | None) -> str:
    """Resolution at which the published network reads pictures for soft targets; 0 where there is no time for that."""
    return f"soft targets {budget_s}"


def images(version: int) -> str:
    """`[images, views]` that one weights version is measured on, where it has its own."""
    return f"images {version}"


def begun(t: int) -> str:
    """Second at which measuring pass t began."""
    return f"begin {t}"


def measured(t: int) -> str:
    """True: measuring pass t is over."""
    return f"measured {t}"


def predicted(t: int) -> str:
    """`{"architectures", "predicted"}`: errors of measured ones by predictors of iteration t that had not seen them."""
    return f"predicted {t}"


def capacity(t: int) -> str:
    """Measurements that iteration t had time for."""
    return f"capacity {t}"


def adaptation(t: int) -> str:
    """`{"start", "end"}`, the part of the learning-rate curve; by the clock also `{"seconds", "until"}`."""
    return f"adapt {t}"


def closes(t: int) -> str:
    """Whether iteration t is the last and adapts to the front that it measured."""
    return f"closes {t}"


def ended(t: int, budget_s: float) -> str:
    """True: there was no time for iteration t."""
    return f"ended {t} {budget_s}"


def selected(t: int, budget_s: float) -> str:
    """True: the final pass under weights version t is over."""
    return f"selected {t} {budget_s}"


def last(version: int, budget_s: float) -> str:
    """Seconds of the last adaptation, which starts from a weights version."""
    return f"last {version} {budget_s}"


def largest(objective: str) -> str:
    """The value of a measured objective for a large network, which normalises hypervolumes."""
    return f"largest {objective}"
