"""The studies as functions, for the command line and for users."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from naturalize.errors import UserError, unknown
from naturalize.joint.asked import named_sets
from naturalize.predictor import PREDICTORS
from naturalize.progress import Progress, silent
from naturalize.run import parse_budget
from naturalize.run.watch import Listener
from naturalize.search import METHODS
from naturalize.study.adaptation import adaptation_study
from naturalize.study.predictors import predictors_study
from naturalize.study.searches import operators_study, search_study
from naturalize.study.sources import DRAWN, costs_of, name_of_source, read_pairs, read_truth
from naturalize.study.study import Findings, run_study
from naturalize.study.training import training_study
from naturalize.study.truths import Truth

Source = str | Path


def study_predictors(
    sources: Sequence[Source],
    out: str | Path,
    *,
    supernet: str | None = None,
    drawn: int = DRAWN,
    predictors: Sequence[str] = tuple(PREDICTORS),
    seeds: int = 10,
    jobs: int = -1,
    progress: Progress = silent,
) -> Findings:
    """Rank correlation of predictors after 50 to 300 measurements.

    Args:
        sources: directories of runs, of which architectures are drawn and measured, and tables (.csv) of architectures.
        out: directory for results.csv, study.html and the measurements so far.
        supernet: name of the supernet of the tables' architectures.
        drawn: architectures of each run to draw and measure; 0 for those of its archive.
        predictors: names of `naturalize.predictor.PREDICTORS`.
        seeds: number of repetitions, each with a seed of its own.
        jobs: experiments at once; -1 for one on each CPU.
        progress: called after each experiment; what it raises ends the study.

    Raises:
        UserError: for sources and names that make no sense, and where `out` holds something else.
    """
    check_names("predictor", predictors, PREDICTORS)
    check_counts(jobs=jobs, seeds=seeds)
    pairs = [read_pairs(source, supernet, drawn, Path(out), jobs, progress) for source in sources]
    return run_study(predictors_study(pairs, range(seeds), predictors), out, jobs=jobs, progress=progress)


def study_search(
    sources: Sequence[Source],
    out: str | Path,
    *,
    supernet: str | None = None,
    methods: Sequence[str] = METHODS,
    evaluations: int = 250,
    seeds: int = 10,
    jobs: int = -1,
    progress: Progress = silent,
) -> Findings:
    """Hypervolume of searches after each number of evaluations.

    Args:
        sources: directories of runs, whose subnets are measured as they are asked for; tables (.csv), fitted truths
            (.npz), and `dtlz2`.
        methods: names of `naturalize.search.METHODS`.
        evaluations: of each search.
        out, supernet, seeds, jobs, progress: as of `study_predictors`.
    """
    check_names("search", methods, METHODS)
    check_counts(jobs=jobs, seeds=seeds, evaluations=evaluations)
    costs = [costs_of(Path(source)) for source in sources if Path(source).is_dir()]
    study = search_study(truths_of(sources, supernet), range(seeds), evaluations, methods, costs)
    return run_study(study, out, jobs=jobs, progress=progress)


def study_operators(
    sources: Sequence[Source],
    out: str | Path,
    *,
    supernet: str | None = None,
    evaluations: int = 250,
    seeds: int = 10,
    jobs: int = -1,
    progress: Progress = silent,
) -> Findings:
    """Hypervolume of NSGA-III under a grid of crossover and mutation.

    Args:
        sources, out, supernet, evaluations, seeds, jobs, progress: as of `study_search`.
    """
    check_counts(jobs=jobs, seeds=seeds, evaluations=evaluations)
    study = operators_study(truths_of(sources, supernet), range(seeds), evaluations)
    return run_study(study, out, jobs=jobs, progress=progress)


def study_adaptation(
    data: Sequence[Source],
    out: str | Path,
    *,
    budget: str = "5m",
    supernet: str | None = None,
    seeds: int = 3,
    progress: Progress = silent,
    listeners: Sequence[Listener] = (),
) -> Findings:
    """Hypervolume after adapting the supernet, the supernet to uniform draws, or networks by themselves.

    Args:
        data: sets of pictures, as `naturalize.transfer` takes them: a small and a larger one tell most. Several may be
            given as `name=path`.
        budget: of each run, as `"5m"`. Runs take turns, so that all have the same machine.
        supernet: as of `naturalize.transfer`.
        out, seeds, progress: as of `study_predictors`; `out` has the runs too.
        listeners: of the events of every run.
    """
    check_counts(seeds=seeds)
    parse_budget(budget)
    study = adaptation_study(sets_of(data), Path(out) / "runs", budget, supernet, range(seeds), listeners)
    return run_study(study, out, jobs=1, progress=progress)


def study_training(
    data: Sequence[Source],
    out: str | Path,
    *,
    budget: str = "5m",
    supernet: str | None = None,
    seeds: int = 3,
    progress: Progress = silent,
    listeners: Sequence[Listener] = (),
) -> Findings:
    """Hypervolume of transfers, with plain training, from nothing, and of several data sets by one search.

    Args:
        data, out, budget, supernet, seeds, progress, listeners: as of `study_adaptation`.
    """
    check_counts(seeds=seeds)
    parse_budget(budget)
    study = training_study(sets_of(data), Path(out) / "runs", budget, supernet, range(seeds), listeners)
    return run_study(study, out, jobs=1, progress=progress)


def sets_of(data: Sequence[Source]) -> dict[str, str]:
    """Data sets by name: several as a joint run names them, one as it is. Raises `UserError`."""
    sources = [str(source) for source in data]
    return named_sets(sources) if len(sources) > 1 else {source: source for source in sources}


def truths_of(sources: Sequence[Source], supernet: str | None) -> dict[str, Truth]:
    """Truths by the names of their sources; `supernet` is that of tables."""
    return {name_of_source(source): read_truth(source, supernet) for source in sources}


def check_names(what: str, names: Sequence[str], known: Collection[str]) -> None:
    """Raise `UserError` for the first name that is not known; `what` is the kind of name, for the message."""
    for name in names:
        if name not in known:
            raise unknown(what, name, known)


def check_counts(*, jobs: int = -1, **counts: int) -> None:
    """Raise `UserError` for a count below 1; -1 jobs are one on each CPU."""
    if jobs < 1 and jobs != -1:
        raise UserError(f"--jobs {jobs}: give 1 or more, or -1 for one on each CPU")
    for name, count in counts.items():
        if count < 1:
            raise UserError(f"--{name} {count}: give 1 or more")
