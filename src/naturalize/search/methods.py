"""Every search by its name."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from naturalize.errors import unknown
from naturalize.predictor import Counts
from naturalize.search.baselines import Genetic, LocalSearch, RandomSearch, RegularisedEvolution
from naturalize.search.guided import HypervolumeGuided, NSGA3Guided
from naturalize.search.problem import SearchProblem
from naturalize.search.searcher import Searcher

AUTO = "auto"


def automatic(problem: SearchProblem, seed: int, known: Sequence[Counts]) -> Searcher:
    """By gain of hypervolume for two objectives, by NSGA-III from three on and for a single one."""
    if len(problem.objectives) == 2:
        return HypervolumeGuided(problem, seed, predictor="gaussian-process", n_initial=20, known=known)
    return NSGA3Guided(problem, seed, predictor="gaussian-process", n_initial=20, known=known)


METHODS: dict[str, Callable[[SearchProblem, int, Sequence[Counts]], Searcher]] = {
    AUTO: automatic,
    "nat": lambda problem, seed, known: NSGA3Guided(problem, seed, predictor="rbf-ensemble", n_initial=100),
    "random": lambda problem, seed, known: RandomSearch(problem, seed),
    "local": lambda problem, seed, known: LocalSearch(problem, seed),
    "evolution": lambda problem, seed, known: RegularisedEvolution(problem, seed),
    "nsga2": lambda problem, seed, known: Genetic(problem, seed, many_objectives=False),
    "nsga3": lambda problem, seed, known: Genetic(problem, seed, many_objectives=True),
}


def make_searcher(name: str, problem: SearchProblem, seed: int, known: Sequence[Counts] = ()) -> Searcher:
    """A new search by its name in `METHODS`. Raises `UserError` for a name that is not there.

    Args:
        known: numbers that are known of every architecture besides the problem's exact functions: guided searches
            learn from them.
    """
    if name not in METHODS:
        raise unknown("search", name, METHODS)
    return METHODS[name](problem, seed, known)
