"""Searches without a predictor: the baselines that a predictor has to beat."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from pymoo.algorithms.moo.nsga3 import NSGA3
from pymoo.core.population import Population
from pymoo.core.problem import Problem

from naturalize import rng
from naturalize.search.nsga3 import Variation
from naturalize.search.problem import SearchProblem
from naturalize.search.searcher import Searcher
from naturalize.search.survival import reference_directions, survive
from naturalize.space import Codes


class RandomSearch(Searcher):
    """The corners, then uniform architectures."""

    def propose(self, n: int) -> Codes:
        """Fresh architectures: the corners first."""
        return self.initial(n)


class LocalSearch(Searcher):
    """Neighbours of the front: each architecture asked is one mutation away from a member of it."""

    n_initial = 20

    def propose(self, n: int) -> Codes:
        """Mutants of the front; uniform architectures before there is a front, and where too few mutants are fresh."""
        if self.n_known < self.n_initial or not len(self.codes):
            return self.initial(min(n, max(1, self.n_initial - self.n_known)))
        generator = self.generator("mutants")
        front = self.codes[survive(self.values, 40, rng.integer(self.seed, "front", self.step))]
        mutants = self.problem.operators.mutate(front[generator.integers(len(front), size=20 * n)], generator)
        found = self.fresh(mutants)
        return found if len(found) >= n else np.concatenate([found, self.uniform(n)])


class RegularisedEvolution(Searcher):
    """Evolution of the youngest architectures: the best of a random few has a child (Real et al., AAAI 2019).

    With several objectives, the best of a tournament has the least weighted maximum of its normalised values; weights
    are drawn anew each time.
    """

    population, tournament = 20, 10

    def propose(self, n: int) -> Codes:
        """Children of the winners of tournaments among the youngest."""
        if self.n_known < self.population or not len(self.codes):
            return self.initial(min(n, max(1, self.population - self.n_known)))
        generator = self.generator("tournaments")
        codes, values = self.codes[-self.population :], self.values[-self.population :]
        unit = np.ptp(values, axis=0)
        scaled = (values - values.min(axis=0)) / np.where(unit > 0, unit, 1)
        entrants = generator.integers(len(codes), size=(8 * n, self.tournament))
        weights = generator.dirichlet(np.ones(values.shape[1]), size=len(entrants))
        winners = (scaled[entrants] * weights[:, None]).max(axis=2).argmin(axis=1)
        parents = codes[entrants[np.arange(len(entrants)), winners]]
        found = self.fresh(self.problem.operators.mutate(parents, generator))
        return found if len(found) >= n else np.concatenate([found, self.uniform(n)])


class Genetic(Searcher):
    """NSGA-II or NSGA-III of pymoo, generation by generation. Known architectures are not measured again.

    Args:
        problem, seed: as of `Searcher`.
        many_objectives: NSGA-III in place of NSGA-II.
        variation: crossover and mutation; one mutation per child on average unless told.
    """

    population = 20

    def __init__(
        self, problem: SearchProblem, seed: int, *, many_objectives: bool, variation: Variation | None = None
    ) -> None:
        super().__init__(problem, seed)
        space, n_objectives = problem.space, len(problem.objectives)
        variation = variation or Variation(mutation=1.0 / max(1, space.free))
        options: dict[str, Any] = {
            "pop_size": self.population,
            "sampling": self.initial(self.population).astype(np.float64),
            **variation.operators(space),
        }
        if many_objectives:
            self.algorithm = NSGA3(reference_directions(n_objectives, self.population), **options)
        else:
            from pymoo.algorithms.moo.nsga2 import NSGA2  # brings all of scipy.spatial

            self.algorithm = NSGA2(**options)
        empty = Problem(n_var=len(space), n_obj=n_objectives, xl=space.lower - 0.5, xu=space.upper + 0.5)
        self.algorithm.setup(empty, termination=("n_gen", np.inf), seed=rng.integer(seed, "genetic"))
        self.generation: Codes = np.empty((0, len(space)), dtype=np.int64)

    @property
    def batch(self) -> int:
        """Architectures to ask for at once: half a generation."""
        return self.population // 2

    def propose(self, n: int) -> Codes:
        """Architectures of the generation that were not asked yet; the next generation where all were told."""
        for _ in range(20):
            left = self.fresh(self.generation)
            if len(left) or len(self.pending):
                return left
            with warnings.catch_warnings():  # pymoo silences warnings, and for the whole process
                self.advance()
        return self.uniform(n)

    def advance(self) -> None:
        """Give the generation's values to the algorithm, and take the next generation from it."""
        if len(self.generation):
            told = {tuple(row): values for row, values in zip(self.codes.tolist(), self.values, strict=True)}
            rows = [row for row in map(tuple, self.generation.tolist()) if row in told]
            if rows:
                values = np.array([told[row] for row in rows])
                self.algorithm.tell(infills=Population.new("X", np.array(rows, dtype=np.float64), "F", values))
        infills = self.algorithm.ask()
        children = infills.get("X") if infills is not None and len(infills) else self.generation[:0]  # all are known
        self.generation = self.problem.space.repair(np.rint(children).astype(np.int64))
