"""Searches that learn what is expensive, and measure what the predictors promise most of."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from naturalize import predictor as predictors
from naturalize import rng
from naturalize.progress import Progress, silent
from naturalize.search.gain import greedy_batch
from naturalize.search.nsga3 import propose
from naturalize.search.operators import Operators
from naturalize.search.problem import Floats, SearchProblem
from naturalize.search.searcher import Searcher
from naturalize.search.survival import non_dominated, ranges, survive
from naturalize.space import Codes

PAIRS = 100  # measurements that a rank correlation is told of, at most


class Guided(Searcher):
    """A search with a predictor for each measured objective, fitted again whenever something was told.

    Args:
        n_initial: architectures before the first prediction: the corners, then uniform ones.
        predictor: a name of `predictor.PREDICTORS`.
        known: further numbers that are known of every architecture, for the predictors; the problem's exact functions
            always are among them.
        progress: called after each generation of the search over predictions; what it raises ends the search.
    """

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
        self.counts = [*problem.exact.values(), *known]
        self.progress = progress
        self.models = {name: self.unfitted(name) for name in problem.measured}
        self.n_fitted = 0

    def propose(self, n: int) -> Codes:
        """The initial design; afterwards what the predictors promise most of, uniform ones where they find too few."""
        missing = min(n, self.n_initial - self.n_known)
        found = self.initial(missing) if missing > 0 else self.pending[:0]
        if len(found) < n and len(self.codes):
            found = self.fresh(np.concatenate([found, self.promising(n - len(found))]))
        return found if len(found) >= n else np.concatenate([found, self.uniform(n)])

    @abstractmethod
    def promising(self, n: int) -> Codes:
        """The architectures that the predictors promise most of, in order of preference, about n."""

    def fitted(self) -> dict[str, Any]:
        """The predictor of each measured objective, fitted to what was told."""
        if self.n_fitted < len(self.codes):
            for name, model in self.models.items():
                model.fit(self.codes, self.values[:, self.problem.column(name)])
            self.n_fitted = len(self.codes)
        return self.models

    def rank_correlation(self, name: str) -> float:
        """How well the predictor of a measured objective ranks what it was not fitted on (Kendall's tau)."""
        some = np.linspace(0, len(self.codes) - 1, min(len(self.codes), PAIRS)).astype(int)
        values = self.values[some, self.problem.column(name)]
        seed = rng.integer(self.seed, "rank correlation", self.step)
        return predictors.held_out_rank_correlation(self.unfitted(name), self.codes[some], values, seed)

    def unfitted(self, name: str) -> Any:
        """A predictor of a measured objective."""
        seed = rng.integer(self.seed, f"predictor of {name}", self.step)
        return predictors.make(self.predictor, self.problem.space, seed, self.counts)


class NSGA3Guided(Guided):
    """NAT's search (section 3.3): NSGA-III over predictions and exact objectives, then a subset by its own survival."""

    @property
    def batch(self) -> int:
        """A twentieth of what is known: what all fits together take grows no faster than what the last one takes."""
        return max(10, self.n_known // 20)

    def promising(self, n: int) -> Codes:
        """The subset of the last population."""
        problem = self.problem
        functions = dict(problem.exact) | {name: predictor.predict for name, predictor in self.fitted().items()}
        return propose(
            problem.space,
            [functions[name] for name in problem.objectives],
            np.concatenate([self.codes, self.pending]),
            n,
            limits=[(functions[name], limit) for name, limit in problem.limits.items()],
            candidates=None if problem.every is None else self.fresh(problem.every),
            seed=rng.integer(self.seed, "search", self.step),
            progress=self.progress,
        )


class HypervolumeGuided(Guided):
    """Two objectives: small batches by the gain of hypervolume that is optimistically expected.

    Optimistic is mean - beta x standard deviation. Members of a batch have different betas: some trust the predictor,
    others go where it knows little. What is pending counts with what is predicted of it.
    """

    betas = (0.0, 1.0, 2.0, 3.0)
    generations, children, parents = 12, 400, 60

    def promising(self, n: int) -> Codes:
        """A greedy batch out of all that an evolution over predictions met."""
        models = self.fitted()
        told = np.concatenate([self.values, self.predicted(self.pending, models)[0]])
        upper = self.upper(told)
        met, mean, std = self.evolve(models, upper)
        optimistic = mean - np.array(self.betas)[:, None, None] * std
        lower = np.concatenate([told, optimistic.reshape(-1, 2)]).min(axis=0)
        unit = np.where(upper > lower, upper - lower, 1)
        return met[greedy_batch((told - lower) / unit, (optimistic - lower) / unit, n)]

    def predicted(self, codes: Codes, models: Mapping[str, Any]) -> tuple[Floats, Floats]:
        """Means and standard deviations of all objectives; exact ones have none. Shapes: `(n, d) -> (n, 2), (n, 2)`."""
        problem = self.problem
        mean = problem.exact_values(codes)
        std = np.zeros_like(mean)
        if len(codes):
            for name, model in models.items():
                column = problem.column(name)
                mean[:, column], std[:, column] = model.predict(codes, return_std=True)
        return mean, std

    def upper(self, told: Floats) -> Floats:
        """Where hypervolume ends: at the limits; a tenth beyond the front where there are none. `(n, 2) -> (2,)`."""
        _, unit = ranges(told)
        upper = told[non_dominated(told)].max(axis=0) + 0.1 * unit
        for column, name in enumerate(self.problem.objectives):
            upper[column] = self.problem.limits.get(name, upper[column])
        return upper

    def evolve(self, models: Mapping[str, Any], upper: Floats) -> tuple[Codes, Floats, Floats]:
        """All fresh architectures that an evolution from the best told ones looked at, or all there are.

        Returns:
            Codes `(c, d)`, means and standard deviations `(c, 2)`.
        """
        if self.problem.every is not None:
            left = self.fresh(self.problem.every)
            return left, *self.predicted(left, models)
        generator, operators = self.generator("children"), Operators(self.problem.space)
        best = self.codes[survive(self.values, self.parents, rng.integer(self.seed, "parents", self.step))]
        met = self.uniform(self.children // 4)
        seen = set(map(tuple, met.tolist()))
        mean, std = self.predicted(met, models)
        for generation in range(self.generations):
            optimistic = mean - self.betas[generation % len(self.betas)] * std
            inside = np.flatnonzero((optimistic < upper).all(axis=1))
            kept = inside[survive(optimistic[inside], self.parents, generation)]
            children = self.fresh(operators.children(np.concatenate([best, met[kept]]), self.children, generator))
            rows = list(map(tuple, children.tolist()))
            children = children[[row not in seen for row in rows]]
            seen.update(rows)
            new_mean, new_std = self.predicted(children, models)
            met = np.concatenate([met, children])
            mean, std = np.concatenate([mean, new_mean]), np.concatenate([std, new_std])
            self.progress("search", generation + 1, self.generations)
        return met, mean, std
