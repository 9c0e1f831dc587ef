"""The extent of each step of a transfer: by number, or by the clock. The policy of a budget is here and nowhere else.

Decisions by the clock are recorded in a journal, so that a resumed run goes on where it was and decides nothing twice.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import fmean, median
from typing import Any

from naturalize import journal, schedule
from naturalize.journal import Journal
from naturalize.schedule import Plan
from naturalize.training.adapt import Extent

RECENT = 5  # measurements that tell how fast the machine is by now
LEAST_S = 1.0  # seconds of a training, however late it is
TUNING, TUNING_OF_REST = 0.08, 0.5  # shares of a budget and of its preparation for the whole network, at most
TUNING_NEW = 0.8  # share of its preparation for one with a head that knows nothing yet (docs/benchmarks.md)
CLASSIFIERS = 0.25  # share of the time before the test that they get at most: the last adaptation gains more from it
PARTS = "start", "end", "steps", "seconds", "until"  # of an adaptation, as an older naturalize recorded it
TESTING_SAFETY = 1.5  # classifiers and test may take this many times as long as measurements suggest


@dataclass(frozen=True)
class Ending:
    """The time of a budget after the iterations: for the last adaptation, for classifiers, for the test.

    Attributes:
        tested: second of the run's clock by which the front should be tested.
        least_anew_s: length in seconds from which on the last adaptation starts anew.
        used_s: returns the seconds of the budget that are used by now.
    """

    journal: Journal
    budget_s: float
    tested: float
    least_anew_s: float
    used_s: Callable[[], float]

    def divided(self, version: int, classifiers_s: float, test_s: float) -> tuple[Extent, bool, float]:
        """Extent of the last adaptation, whether it starts anew, and the second by which classifiers are fitted.

        Args:
            version: weights version that it starts from.
            classifiers_s: expected seconds of fitting a classifier for each network.
            test_s: expected seconds of the test.
        """
        fitted = self.tested - TESTING_SAFETY * test_s
        until = fitted - min(TESTING_SAFETY * classifiers_s, CLASSIFIERS * max(0.0, fitted - self.used_s()))
        left = max(LEAST_S, until - self.used_s())
        seconds = float(self.journal.decide(journal.last(version, self.budget_s), lambda: left))
        return Extent(seconds=seconds, until=until), seconds >= self.least_anew_s, fitted


class Pace(ABC):
    """The pace of a transfer, asked before and after each step. Iterations and weights versions are numbered by t.

    Attributes:
        initial: members of the first archive, at most.
        curve_end: share of the learning rate's cosine at which the iterations end.
    """

    initial: int
    curve_end: float

    @abstractmethod
    def goes_on(self, t: int, begun: bool) -> bool:
        """Whether iteration t takes place; one that has begun always does.

        Args:
            t: of the iteration.
            begun: whether its members are known.
        """

    @abstractmethod
    def closes(self, t: int) -> bool:
        """Whether iteration t is the last and adapts to the front that it measured, without a search."""

    @abstractmethod
    def tuning(self, new: bool = False) -> Extent:
        """Extent of the whole network's training by itself, which comes before the preparation.

        Args:
            new: whether its head knows nothing yet.
        """

    @abstractmethod
    def preparation(self) -> tuple[Extent, float]:
        """Extent of the preparation, and the share of its cosine at which the rate ends."""

    @abstractmethod
    def begin(self, t: int, final: bool, known: int) -> tuple[int, int] | None:
        """Begin measuring pass t. Returns its numbers of validation images and views; None for those of every pass.

        Args:
            t: of the weights version.
            final: whether it selects the front.
            known: members that an earlier process measured.
        """

    @abstractmethod
    def measures(self, t: int, number: int, final: bool) -> bool:
        """Whether pass t has time to measure another member, after a number of them."""

    @abstractmethod
    def took(self, seconds: float) -> None:
        """Take note of the seconds that one measurement took."""

    @abstractmethod
    def end(self, t: int, final: bool) -> None:
        """End measuring pass t: a resumed run measures no more of it."""

    @abstractmethod
    def next_members(self, t: int, seconds: Callable[[], list[float]]) -> tuple[int, int]:
        """Number of measured members that survive iteration t, and number of candidates that join them.

        Args:
            t: of the iteration.
            seconds: returns the seconds that each measurement of pass t took.
        """

    @abstractmethod
    def adaptation(self, t: int) -> tuple[float, float, Extent]:
        """Start and end on the learning-rate curve, as shares of it, and extent of the adaptation in iteration t."""

    @property
    @abstractmethod
    def learns_no_more(self) -> bool:
        """Whether no last adaptation follows."""

    @abstractmethod
    def ending(self) -> Ending | None:
        """The time after the iterations; None where nothing more is trained."""


class ByNumber(Pace):
    """Iterations and epochs by number, repeatable to the bit.

    Args:
        journal: for decisions.
        iterations: in all.
        epochs: of adaptation in each iteration.
        per_epoch: steps in an epoch.
    """

    curve_end, learns_no_more = 1.0, True

    def __init__(self, journal: Journal, iterations: int, epochs: int, per_epoch: int) -> None:
        self.journal = journal
        self.iterations = iterations
        self.epochs = epochs
        self.per_epoch = per_epoch

    @property
    def initial(self) -> int:  # type: ignore[override]
        return schedule.INITIAL

    def goes_on(self, t: int, begun: bool) -> bool:
        return t < self.iterations

    def closes(self, t: int) -> bool:
        return False

    def tuning(self, new: bool = False) -> Extent:
        return Extent(steps=max(1, self.iterations * self.epochs // (4 if new else 8)) * self.per_epoch)

    def preparation(self) -> tuple[Extent, float]:
        return Extent(steps=max(1, self.iterations * self.epochs // 4) * self.per_epoch), 0.0

    def begin(self, t: int, final: bool, known: int) -> None:
        return None

    def measures(self, t: int, number: int, final: bool) -> bool:
        return True

    def took(self, seconds: float) -> None:
        pass

    def end(self, t: int, final: bool) -> None:
        pass

    def next_members(self, t: int, seconds: Callable[[], list[float]]) -> tuple[int, int]:
        return schedule.KEPT, schedule.NEW

    def adaptation(self, t: int) -> tuple[float, float, Extent]:
        def decided() -> dict[str, float]:
            start, end = schedule.cosine_part(done_before(self.journal, t, self.curve_end), self.iterations - t, 1.0)
            return {"start": start, "end": end}

        found = adapted(self.journal.decide(journal.adaptation(t), decided))
        return found["start"], found["end"], Extent(steps=self.epochs * self.per_epoch)

    def ending(self) -> None:
        return None


@dataclass
class ByClock(Pace):
    """A budget of wall clock, divided by a plan; later steps make up for a late one.

    Attributes:
        budget_s: wall clock in all.
        plan: division of the budget.
        fewest: measurements that a predictor needs.
        used_s: returns the seconds of the budget that are used by now.
        recent_s: seconds that the last few measurements of this process took.
    """

    journal: Journal
    budget_s: float
    plan: Plan
    fewest: int
    used_s: Callable[[], float]
    recent_s: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT))

    curve_end = schedule.CURVE_END

    @property
    def initial(self) -> int:  # type: ignore[override]
        return min(schedule.INITIAL, self.plan.members)

    def goes_on(self, t: int, begun: bool) -> bool:
        if begun or self.begun_at(t) is not None or (t == 0 and self.plan.iterations):
            return True
        ended = journal.ended(t, self.budget_s)
        if self.journal.decision(ended):
            return False
        used_s = self.used_s()
        on = schedule.remaining_iterations(self.plan, used_s) > 0 and schedule.has_time_to_measure(
            self.plan.final_from - used_s, self.fewest, self.measure_s
        )
        if not on:
            self.journal.record_decision(ended, True)
        return on

    def closes(self, t: int) -> bool:
        if t == 0:
            return False
        return bool(self.journal.decide(journal.closes(t), lambda: self.remaining(t) <= 1))

    def tuning(self, new: bool = False) -> Extent:
        def decided() -> dict[str, float]:
            used_s = self.used_s()
            rest_s = self.plan.prepare_until - used_s
            seconds = TUNING_NEW * rest_s if new else min(TUNING * self.budget_s, TUNING_OF_REST * rest_s)
            seconds = max(LEAST_S, seconds)
            return {"seconds": seconds, "until": used_s + seconds}

        return Extent(**self.journal.decide(journal.tuning(self.budget_s), decided))

    def preparation(self) -> tuple[Extent, float]:
        name = journal.preparation(self.budget_s)
        seconds = self.journal.decide(name, lambda: self.plan.prepare_until - self.used_s())
        extent = Extent(seconds=max(LEAST_S, seconds), until=self.plan.prepare_until)
        return extent, 0.0 if self.plan.iterations else self.curve_end

    def begin(self, t: int, final: bool, known: int) -> tuple[int, int] | None:
        if not final:
            self.journal.decide(journal.begun(t), self.used_s)
            return None
        return (self.plan.final_images, self.plan.final_views) if self.plan.final_images and not known else None

    def measures(self, t: int, number: int, final: bool) -> bool:
        if final and self.journal.decision(self.selected(t)):
            return False
        return not number or self.used_s() <= self.measuring_until(t, number, final)

    def measuring_until(self, t: int, number: int, final: bool) -> float:
        """Second of the run's clock at which pass t ends, once it has measured a number of members."""
        if final:
            return schedule.final_until(self.plan, self.budget_s, self.slowness, number)
        begun = self.begun_at(t)
        if begun is None or (number < self.fewest and not self.journal.decision(journal.measured(t))):
            return self.plan.final_from
        return begun + self.plan.measuring_s

    def took(self, seconds: float) -> None:
        self.recent_s.append(seconds)

    def end(self, t: int, final: bool) -> None:
        self.journal.record_decision(journal.measured(t), True)
        if final:
            self.journal.record_decision(self.selected(t), True)

    def next_members(self, t: int, seconds: Callable[[], list[float]]) -> tuple[int, int]:
        def affordable() -> int:
            return min(schedule.KEPT, int(self.plan.measuring_s / max(1e-3, fmean(seconds()))))

        half = max(self.fewest, int(self.journal.decide(journal.capacity(t), affordable))) // 2
        return half, half

    def adaptation(self, t: int) -> tuple[float, float, Extent]:
        def decided() -> dict[str, float]:
            begun, remaining, until = self.begun_at(t), self.remaining(t), self.plan.final_from
            if begun is not None and remaining > 1:
                until = begun + (until - begun) / remaining
            done = done_before(self.journal, t, self.curve_end)
            start, end = schedule.cosine_part(done, remaining, self.curve_end)
            return {"start": start, "end": end, "seconds": max(LEAST_S, until - self.used_s()), "until": until}

        found = adapted(self.journal.decide(journal.adaptation(t), decided))
        return found["start"], found["end"], Extent(seconds=found["seconds"], until=found["until"])

    @property
    def learns_no_more(self) -> bool:
        """Whether the time left is needed for the test."""
        return self.used_s() > self.budget_s - self.plan.end_s

    def ending(self) -> Ending:
        tested = schedule.testing_until(self.budget_s, self.slowness)
        return Ending(self.journal, self.budget_s, tested, schedule.least_anew_s(self.plan, self.budget_s), self.used_s)

    # what the journal knows -----------------------------------------------------------------------------------------

    def begun_at(self, t: int) -> float | None:
        """Second at which measuring pass t began, or None."""
        found = self.journal.decision(journal.begun(t))
        return None if found is None else float(found)

    def remaining(self, t: int) -> int:
        """Iterations that were expected to follow when iteration t began, itself included."""
        begun = self.begun_at(t)
        return 1 if begun is None else schedule.remaining_iterations(self.plan, begun)

    def selected(self, t: int) -> str:
        """Name of the decision that the final pass t is over: a resumed run then selects the same front."""
        return journal.selected(t, self.budget_s)

    # how fast the machine is ----------------------------------------------------------------------------------------

    @property
    def measure_s(self) -> float:
        """Seconds of a measurement at present: the median of the last few of this process, or as planned."""
        return median(self.recent_s) if self.recent_s else self.plan.measure_s

    @property
    def slowness(self) -> float:
        """Present seconds of a measurement, as a multiple of the planned ones; at least 1."""
        return max(1.0, self.measure_s / self.plan.measure_s)


def done_before(kept: Journal, t: int, limit: float) -> float:
    """Share of the learning-rate curve that adaptations before iteration t covered; 0 once they reached `limit`."""
    previous = kept.decision(journal.adaptation(t - 1))
    end = adapted(previous)["end"] if previous else limit
    return float(end) if end < limit else 0.0


def adapted(found: Any) -> dict[str, float]:
    """The parts of a decision that `journal.adaptation` names; an older naturalize recorded them as a list."""
    return found if isinstance(found, dict) else dict(zip(PARTS, found, strict=False))
