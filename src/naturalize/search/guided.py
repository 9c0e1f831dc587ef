"""Searches that predict the expensive objectives, and measure the most promising architectures."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from naturalize import predictor as predictors
from naturalize import rng
from naturalize.progress import Progress, silent
from naturalize.search.failures import chance_of_failure
from naturalize.search.gain import AreaGain, Gain, LineGain, along, greedy_batch
from naturalize.search.nsga3 import propose
from naturalize.search.problem import Floats, Function, SearchProblem
from naturalize.search.searcher import Searcher
from naturalize.search.survival import HUGE, evenly, first_fronts, non_dominated, ranges
from naturalize.space import Codes

LIKELY = 0.5  # chance of a failure from which on an architecture is not asked
PAIRS = 100  # measurements that a predictor is judged on, at most


class Guided(Searcher):
    """A search with a predictor for each measured objective, fitted again whenever something was told.

    Args:
        problem, seed: as of `Searcher`.
        n_initial: architectures before the first prediction: the corners, then uniform ones.
        predictor: a name of `predictor.PREDICTORS`.
        known: functions for further known numbers of an architecture, for predictors to learn from; the problem's exact
            functions are always used.
        progress: called after each generation of the search over predictions; what it raises ends the search.
    """

    least_batch = 4
    batches = 20  # of the known architectures, in which they would be asked at once

    def __init__(
        self,
        problem: SearchProblem,
        seed: int,
        *,
        predictor: str,
        n_initial: int,
        known: Sequence[predictors.Counts] = (),
        progress: Progress = silent,
    ) -> None:
        super().__init__(problem, seed)
        self.n_initial = n_initial
        self.predictor = predictor
        self.counts: list[predictors.Counts] = [*(partial(problem.exact_value, name) for name in problem.exact), *known]
        self.progress = progress
        self.models = {name: self.unfitted(name) for name in problem.measured}
        self.n_fitted = 0
        self.chance_of_failure: Function | None = None
        self.n_failed = 0  # measurements that the chance was learnt from, successes too

    @property
    def batch(self) -> int:
        """Architectures to ask for at once: a share of the known ones or more, to keep the time of all fits low."""
        return max(self.least_batch, self.n_known // self.batches)

    def propose(self, n: int) -> Codes:
        """The initial design, then the most promising architectures; uniform ones where these are too few."""
        missing = min(n, self.n_initial - self.n_known)
        found = self.initial(missing) if missing > 0 else self.pending[:0]
        if len(found) < n and len(self.codes) and self.problem.space.free:
            found = self.fresh(np.concatenate([found, self.promising(n - len(found))]))
        return found if len(found) >= n else np.concatenate([found, self.hopeful(self.uniform(n))])

    def hopeful(self, codes: Codes) -> Codes:
        """The rows whose measurement is likelier to succeed than to fail; all rows where none is."""
        if self.n_failed < len(self.failed) + len(self.codes):
            seed = rng.integer(self.seed, "failures", self.step)
            self.chance_of_failure = chance_of_failure(self.codes, self.failed, seed)
            self.n_failed = len(self.failed) + len(self.codes)
        if self.chance_of_failure is None:
            return codes
        likely = self.chance_of_failure(codes) < LIKELY
        return codes[likely] if likely.any() else codes

    @abstractmethod
    def promising(self, n: int) -> Codes:
        """About n architectures, the most promising by the predictors, in order of preference."""

    def fitted(self) -> dict[str, Any]:
        """The predictor of each measured objective, fitted to all told measurements."""
        if self.n_fitted < len(self.codes):
            for name, model in self.models.items():
                model.fit(self.codes, self.values[:, self.problem.column(name)])
            self.n_fitted = len(self.codes)
        return self.models

    def limits(self) -> dict[str, float]:
        """The problem's limits; those on measured objectives that nothing keeps yet are at the best value so far."""
        found = dict(self.problem.limits)
        for name in self.problem.measured:
            values = self.values[:, self.problem.column(name)]
            if name in found and len(values):
                found[name] = max(found[name], float(values.min()))
        return found

    def held_out(self, name: str) -> tuple[Codes, Floats, Floats]:
        """Measurements of a measured objective, and what a predictor that was not fitted on them says.

        Returns:
            Codes `(n, d)`, measured and predicted values `(n,)`, of 100 architectures at most; predictions are nan
            where no order is defined.
        """
        some = np.linspace(0, len(self.codes) - 1, min(len(self.codes), PAIRS)).astype(int)
        codes, values = self.codes[some], self.values[some, self.problem.column(name)]
        seed = rng.integer(self.seed, "rank correlation", self.step)
        from naturalize.predictor.held_out import held_out_predictions  # scikit-learn is slow to import

        return codes, values, held_out_predictions(self.unfitted(name), codes, values, seed)

    def unfitted(self, name: str) -> Any:
        """A new predictor of a measured objective."""
        seed = rng.integer(self.seed, f"predictor of {name}", self.step)
        return predictors.make(self.predictor, self.problem.space, seed, self.counts)


class NSGA3Guided(Guided):
    """NAT's search (section 3.3): NSGA-III over predictions and exact objectives, then a subset by its own survival."""

    least_batch = 10

    def promising(self, n: int) -> Codes:
        """The surviving subset of NSGA-III's last population."""
        problem = self.problem
        functions: dict[str, Function] = {name: partial(problem.exact_value, name) for name in problem.exact}
        functions |= {name: predictor.predict for name, predictor in self.fitted().items()}
        return propose(
            problem.space,
            [functions[name] for name in problem.objectives],
            np.concatenate([self.codes, self.pending]),
            n,
            limits=[*((functions[name], limit) for name, limit in self.limits().items()), *self.of_failures()],
            candidates=None if problem.every is None else self.hopeful(self.fresh(problem.every)),
            seed=rng.integer(self.seed, "search", self.step),
            progress=self.progress,
        )

    def of_failures(self) -> list[tuple[Function, float]]:
        """The chance of failure as a limit; empty where it is unknown."""
        self.hopeful(self.codes)
        return [] if self.chance_of_failure is None else [(self.chance_of_failure, LIKELY)]


class GainGuided(Guided):
    """Batches by their optimistically expected gain over the measured architectures.

    The optimistic value is mean - beta x standard deviation. Betas take turns, from one architecture to the next: small
    ones trust the predictor, large ones go where it knows little. Pending architectures count as predicted.
    """

    betas: tuple[float, ...]
    generations, further = 12, 12  # of a first evolution on what others measured; of one that goes on, or from nothing
    children, parents = 400, 60

    def __init__(self, problem: SearchProblem, seed: int, **others: Any) -> None:
        super().__init__(problem, seed, **others)
        self.kept = self.codes  # the fittest that the last evolution met

    def promising(self, n: int) -> Codes:
        """A greedy batch from all architectures that an evolution over predictions visits."""
        models = self.fitted()
        told = np.concatenate([self.values, self.predicted(self.pending, models)[0]])
        lower, unit = self.region(told)
        met, mean, std = self.evolve(models, lower, unit)
        optimistic = mean - np.array(self.betas)[:, None, None] * std
        return met[greedy_batch(self.gain((told - lower) / unit, (optimistic - lower) / unit), n, self.n_known)]

    @abstractmethod
    def gain(self, told: Floats, optimistic: Floats) -> Gain:
        """The gain of each architecture. Shapes: `(k, m)` and, by beta, `(b, c, m)`; 1 is where the region ends."""

    @abstractmethod
    def fittest(self, values: Floats, seed: int) -> NDArray[np.intp]:
        """About `parents` rows to make children of. Shapes: `(c, m) -> (k,)`; 1 is where the region ends."""

    def predicted(self, codes: Codes, models: Mapping[str, Any]) -> tuple[Floats, Floats]:
        """Means and standard deviations of all objectives; exact ones have none. Shapes: `(n, d) -> (n, m), (n, m)`."""
        problem = self.problem
        mean = problem.exact_values(codes).clip(-HUGE, HUGE)
        std = np.zeros_like(mean)
        if len(codes):
            for name, model in models.items():
                column = problem.column(name)
                mean[:, column], std[:, column] = model.predict(codes, return_std=True)
        return mean, std

    def region(self, told: Floats) -> tuple[Floats, Floats]:
        """Where the region begins, and its extent. `(k, m) -> (m,), (m,)`.

        It begins at the best values and ends at the limits, or a tenth beyond the front where there are none. Where
        nothing keeps a limit, all that was told lies outside.
        """
        lower, unit = ranges(told)
        upper = told[non_dominated(told)].max(axis=0) + 0.1 * unit
        limits = self.limits()
        for column, name in enumerate(self.problem.objectives):
            upper[column] = limits.get(name, upper[column])
        lower = np.where(upper > lower, lower, upper - unit)
        return lower, upper - lower

    def evolve(self, models: Mapping[str, Any], lower: Floats, unit: Floats) -> tuple[Codes, Floats, Floats]:
        """Unmeasured candidates that an evolution visits; the whole space where it is small.

        It begins with the best measured ones and the fittest that the last one met, so it goes on from call to call.

        Args:
            models: fitted predictors by objective.
            lower, unit: origin and unit by which objectives are normalised, `(m,)`.

        Returns:
            Codes `(c, d)`, means and standard deviations `(c, m)`.
        """
        if self.problem.every is not None:
            left = self.hopeful(self.fresh(self.problem.every))
            return left, *self.predicted(left, models)
        generator, anew = self.generator("children"), not len(self.kept) and self.n_known > self.n_initial
        generations = self.generations if anew else self.further
        best = self.codes[self.fittest((self.values - lower) / unit, rng.integer(self.seed, "parents", self.step))]
        met = self.hopeful(self.fresh(np.concatenate([self.uniform(self.children // 4), self.kept])))
        seen = set(map(tuple, met.tolist()))
        mean, std = self.predicted(met, models)
        for generation in range(generations):
            optimistic = mean - self.betas[generation % len(self.betas)] * std
            kept = met[self.fittest((optimistic - lower) / unit, generation)] if len(met) else met
            children = self.problem.operators.children(np.concatenate([best, kept]), self.children, generator)
            children = self.hopeful(self.fresh(children))
            rows = list(map(tuple, children.tolist()))
            children = children[[row not in seen for row in rows]]
            seen.update(rows)
            new_mean, new_std = self.predicted(children, models)
            met = np.concatenate([met, children])
            mean, std = np.concatenate([mean, new_mean]), np.concatenate([std, new_std])
            self.progress("search", generation + 1, generations)
        if len(met):
            fittest = [self.fittest((mean - beta * std - lower) / unit, self.step) for beta in self.betas]
            self.kept = met[np.unique(np.concatenate(fittest))]
        return met, mean, std


class HypervolumeGuided(GainGuided):
    """The search for two objectives: batches by the gain of hypervolume."""

    least_batch, batches = 2, 120
    betas = (0.0, 1.0, 2.0, 3.0)
    further = 4

    def gain(self, told: Floats, optimistic: Floats) -> Gain:
        """The area that each architecture would dominate in addition."""
        return AreaGain(told, optimistic)

    def fittest(self, values: Floats, seed: int) -> NDArray[np.intp]:
        """Members of the first fronts within the region, evenly along them; outside of it where nothing is within."""
        inside = np.flatnonzero((values < 1).all(axis=1))
        rows = inside if len(inside) else np.arange(len(values))
        first = rows[first_fronts(values[rows], self.parents)]
        return first[evenly(values[first], self.parents)]


class LinesGuided(GainGuided):
    """The search for one objective, or more than two: batches by how much nearer to the ideal they come on many lines.

    The lines are drawn anew for each batch. Architectures with many objectives hardly ever dominate each other, so
    dominance tells a search little; on a line there is always a nearest one.
    """

    betas = (0.0, 0.5, 1.0)
    n_lines = 500

    def lines(self) -> Floats:
        """Directions without negative parts, of unit length, `(n_lines, m)`; the same within one call of `ask`.

        For up to three objectives, directions are uniform. With more, one part is nearly always close to 0, and such a
        line weighs that objective alone; so the more objectives there are, the farther parts stay from 0.
        """
        m = len(self.problem.objectives)
        lines = np.abs(self.generator("lines").normal(size=(self.n_lines, m))) + max(0.0, 0.5 - 1.5 / m)
        return lines / np.linalg.norm(lines, axis=1, keepdims=True)

    def gain(self, told: Floats, optimistic: Floats) -> Gain:
        """How much nearer to the ideal each architecture comes, summed over the lines."""
        return LineGain(told, optimistic, self.lines(), self.ends())

    def fittest(self, values: Floats, seed: int) -> NDArray[np.intp]:
        """The rows nearest to the ideal on some random lines."""
        some = np.random.default_rng(seed).choice(self.n_lines, self.parents, replace=False)
        return np.unique(along(values, self.lines()[some], self.ends()).argmin(axis=0))

    def ends(self) -> Floats:
        """The end of the region, `(m,)`: 1 for objectives with a limit, infinite for others."""
        return np.array([1.0 if name in self.problem.limits else np.inf for name in self.problem.objectives])
