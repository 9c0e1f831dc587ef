"""The search of an iteration: what survives of what was measured, and the candidates that join it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest

import numpy as np
from numpy.typing import NDArray

from naturalize import rng
from naturalize.predictor import Counts
from naturalize.predictor.held_out import rank_correlation
from naturalize.run import Settings, Watch
from naturalize.search import Guided, SearchProblem, make_guided, non_dominated, survive
from naturalize.selection import Pass
from naturalize.space import Architecture, Codes, unique_rows

Members = list[tuple[Architecture, str]]  # of an archive, each with its origin


@dataclass(frozen=True)
class HeldOut:
    """Predictions for measured architectures by predictors that had not seen them.

    Attributes:
        codes, predicted: `(n, d)` and `(n,)`; nan where no order is defined.
        tau: rank correlation with what was measured; None where there is none.
    """

    codes: Codes
    predicted: NDArray[np.float64]
    tau: float | None


@dataclass(frozen=True)
class Searching:
    """The search of a transfer.

    Attributes:
        problem: what is searched.
        settings: of the run: its search, its predictor, its seed.
        watch: hears of progress.
        known: functions for known numbers of an architecture, for predictors to learn from.
        wholes: codes of the networks that never leave, `(k, d)`: the largest where it was published.
    """

    problem: SearchProblem
    settings: Settings
    watch: Watch
    known: Sequence[Counts]
    wholes: Codes

    def front(self, measured: Pass) -> Members:
        """Non-dominated members, and those that never leave."""
        codes, values = measured.allowed
        return self.survivors(codes[non_dominated(values)])

    def survivors(self, codes: Codes) -> Members:
        """Architectures that stay members, and those that never leave before them."""
        codes = unique_rows(np.concatenate([self.wholes, codes]))
        return [(arch, "survivor") for arch in self.problem.space.architectures(codes)]

    def fit(self, measured: Pass, failed: Sequence[Architecture], t: int) -> Guided:
        """The searcher of iteration t, which learns from the measurements under its weights version.

        Args:
            measured: by its measuring pass.
            failed: architectures that could not be measured so far.
            t: number of the iteration.
        """
        space, seed = self.problem.space, rng.integer(self.settings.seed, "search", t)
        known = set(space.architectures(measured.codes))
        searcher = make_guided(
            self.settings.search,
            self.problem,
            seed,
            predictor=self.settings.predictor,
            known=list(self.known),
            n_initial=0,
            progress=self.watch.progress,
        )
        wrong = space.codes([arch for arch in failed if arch not in known])
        searcher.tell(wrong, np.full((len(wrong), len(self.problem.objectives)), np.nan))
        searcher.tell(measured.codes, measured.values)
        return searcher

    def members(self, searcher: Guided, measured: Pass, kept: int, new: int, t: int) -> Members:
        """Survivors and candidates by turns: a measuring pass that runs out of time has seen the best of each.

        Survivors are chosen by reference directions, the front first; candidates by the predictors, within the
        requirements.

        Args:
            searcher, measured, t: as of `fit`.
            kept, new: numbers of survivors and of candidates.
        """
        codes, values = measured.allowed
        survivors = codes[survive(values, kept, rng.integer(self.settings.seed, "survive", t))]
        with self.watch.phase("search", iteration=t):
            found = self.problem.space.architectures(searcher.ask(new))
        turns = zip_longest(self.survivors(survivors), [(arch, "search") for arch in found])
        return [member for member in chain.from_iterable(turns) if member is not None]


def held_out(searcher: Guided, objective: str) -> HeldOut:
    """How well the predictor of an objective orders architectures that it was not fitted on."""
    codes, values, predicted = searcher.held_out(objective)
    tau = rank_correlation(values, predicted)
    return HeldOut(codes, predicted, None if np.isnan(tau) else tau)
