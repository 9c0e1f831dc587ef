"""The clocks of a joint run: its data sets take turns, and what one needs more than others all have less."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from naturalize.run import Watch
from naturalize.run.watch import SAVE_CLOCK_S


class Turn(Watch):
    """The watch of one data set: its clock runs while it has its turn. Signals and listeners are the joint run's.

    Args:
        joint: watch of the joint run.
        name: of the data set.
    """

    def __init__(self, joint: Watch, name: str) -> None:
        super().__init__([self.relay], time.monotonic())
        self.joint = joint
        self.name = name
        self.spent_s = 0.0  # in this process, before the turn under way
        self._since: float | None = None

    @property
    def used_s(self) -> float:
        """Seconds of the data set's share that are used."""
        under_way = 0.0 if self._since is None else time.monotonic() - self._since
        return self._base_s + self.spent_s + under_way

    @contextmanager
    def taken(self) -> Iterator[Turn]:
        """Let the clock run."""
        self._since = time.monotonic()
        try:
            yield self
        finally:
            self.spent_s, self._since = self.spent_s + time.monotonic() - self._since, None
            self.save_clock()

    def relay(self, line: dict[str, Any]) -> None:
        """Tell an event to the joint run's listeners."""
        for listener in self.joint.listeners:
            listener({**line, "set": self.name, "used_s": self.joint.used_s})

    def progress(self, phase: str, done: int, total: int) -> None:
        """As of `Watch`; the joint run tells it, by its own clock."""
        now = time.monotonic()
        if now - self._saved > SAVE_CLOCK_S:
            self.save_clock()
            self._saved = now
        self.joint.progress(f"{self.name}: {phase}", done, total)

    def check(self) -> None:
        self.joint.check()


class Turns:
    """The watches of all data sets, by name.

    Args:
        joint: watch of the joint run.
        names: of the data sets.
    """

    def __init__(self, joint: Watch, names: Sequence[str]) -> None:
        self.joint = joint
        self.of = {name: Turn(joint, name) for name in names}

    def share_out(self) -> None:
        """Divide what the joint run has used, and no data set has paid for, among all: their clocks add up to its."""
        rest_s = self.joint.used_s - sum(turn.used_s for turn in self.of.values())
        for turn in self.of.values():
            turn.spent_s += rest_s / len(self.of)

    def level(self) -> None:
        """Set all clocks to their mean, once every data set has done a step: a slow one is not late by itself.

        Otherwise the search of all would end with the time of the slowest.
        """
        self.share_out()
        mean_s = sum(turn.used_s for turn in self.of.values()) / len(self.of)
        for turn in self.of.values():
            turn.spent_s += mean_s - turn.used_s
            turn.save_clock()
