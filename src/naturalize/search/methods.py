"""Every search by its name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from naturalize.errors import UserError, unknown, whole
from naturalize.predictor import PREDICTORS, WITH_SPREAD, Counts
from naturalize.progress import Progress, silent
from naturalize.search.baselines import Genetic, LocalSearch, RandomSearch, RegularisedEvolution
from naturalize.search.guided import Guided, HypervolumeGuided, LinesGuided, NSGA3Guided
from naturalize.search.problem import SearchProblem
from naturalize.search.searcher import Searcher

AUTO, NAT = "auto", "nat"

GUIDED = {AUTO: ("gaussian-process", 20), NAT: ("rbf-ensemble", 100)}
"""Searches with a predictor: which one, and how many architectures come before its first prediction."""

MakeSearcher = Callable[[SearchProblem, int], Searcher]
BASELINES: dict[str, MakeSearcher] = {
    "random": RandomSearch,
    "local": LocalSearch,
    "evolution": RegularisedEvolution,
    "nsga2": partial(Genetic, many_objectives=False),
    "nsga3": partial(Genetic, many_objectives=True),
}
METHODS = (*GUIDED, *BASELINES)


def make_searcher(
    name: str,
    problem: SearchProblem,
    seed: int,
    *,
    predictor: str | None = None,
    known: Sequence[Counts] = (),
) -> Searcher:
    """A new search by its name in `METHODS`; with a predictor as `make_guided` has it.

    Raises `UserError` for an unknown name, and for a predictor where the search has none.

    Args:
        name: one of `METHODS`.
        problem: what is searched.
        seed: of all draws.
        predictor: as of `make_guided`.
        known: as of `make_guided`.

    Example:
        >>> from naturalize.space import SearchSpace, Variable
        >>> space = SearchSpace("cups", [Variable("height", 3, 20), Variable("radius", 1, 12)])
        >>> searcher = make_searcher("random", SearchProblem(space, ["loss"]), seed=0)
        >>> codes = searcher.ask(4)
        >>> searcher.tell(codes, 100.0 / codes[:, :1])
        >>> searcher.n_known
        4
    """
    if name not in METHODS:
        raise unknown("search", name, METHODS)
    if name in GUIDED:
        return make_guided(name, problem, seed, predictor=predictor, known=known)
    if predictor is not None or known:
        given = "known numbers go" if predictor is None else f"{predictor} goes"
        raise UserError(f"the search {name} has no predictor: {given} with {' and '.join(GUIDED)}")
    return BASELINES[name](problem, seed)


def make_guided(
    name: str,
    problem: SearchProblem,
    seed: int,
    *,
    predictor: str | None = None,
    known: Sequence[Counts] = (),
    n_initial: int | None = None,
    progress: Progress = silent,
) -> Guided:
    """A new search with a predictor, by its name in `GUIDED`. Raises `UserError` for a name that is not there, and no
    whole number of architectures.

    Args:
        name: one of `GUIDED`.
        problem: what is searched.
        seed: of all draws.
        predictor: a name of `predictor.PREDICTORS`; the search's own unless told.
        known: functions for known numbers of an architecture, besides the problem's exact functions, to learn from.
        n_initial: architectures before the first prediction; the search's own number unless told.
        progress: as of `Guided`.
    """
    check_guided(name, predictor)
    own_predictor, own_initial = GUIDED[name]
    n_initial = own_initial if n_initial is None else whole("the number of initial architectures", n_initial, 0)
    predictor = own_predictor if predictor is None else predictor
    by_nsga3 = name == NAT or predictor not in WITH_SPREAD
    by_gain = HypervolumeGuided if len(problem.objectives) == 2 else LinesGuided
    return (NSGA3Guided if by_nsga3 else by_gain)(
        problem,
        seed,
        predictor=predictor,
        n_initial=n_initial,
        known=known,
        progress=progress,
    )


def check_guided(name: str, predictor: str | None) -> None:
    """Raise `UserError` for an unknown search with a predictor, or an unknown predictor."""
    if name not in GUIDED:
        raise unknown("search", name, GUIDED)
    if predictor is not None and predictor not in PREDICTORS:
        raise unknown("predictor", predictor, PREDICTORS)
