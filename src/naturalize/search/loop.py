"""The closed loop: ask, measure, tell, until the evaluations are spent. One after the other, or by an executor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from typing import Any

import numpy as np

from naturalize.errors import UserError, whole
from naturalize.predictor import Counts
from naturalize.progress import Progress, silent
from naturalize.search.evaluations import Evaluate, Found, SearchArchive, SearchError, in_a_line, in_parts, measured
from naturalize.search.methods import AUTO, MakeSearcher, make_searcher
from naturalize.search.problem import Floats, Function, SearchProblem
from naturalize.search.searcher import Searcher
from naturalize.space import Codes, SearchSpace

TRIES = 3  # for an architecture whose worker was lost


def search(
    space: SearchSpace,
    evaluate: Evaluate,
    objectives: Sequence[str],
    *,
    exact: Mapping[str, Function] | None = None,
    limits: Mapping[str, float] | None = None,
    candidates: Codes | None = None,
    evaluations: int = 250,
    method: str | MakeSearcher = AUTO,
    predictor: str | None = None,
    known: Sequence[Counts] = (),
    seed: int = 0,
    archive: SearchArchive | None = None,
    executor: Executor | None = None,
    workers: int | None = None,
    progress: Progress = silent,
) -> SearchArchive:
    """Search a space of one's own with an expensive function.

    Where `evaluate` raises, or gives a value that is not finite, the architecture has failed: it counts as evaluated
    and is not asked again. Searches with a predictor learn to leave regions alone where measuring fails. Without an
    executor the same arguments give the same archive.

    Args:
        space: what to search.
        evaluate: codes `(n, d)` to a dictionary of the objectives that are not exact, arrays `(n,)`; called with
            batches, or with one architecture at a time where there is an executor.
        objectives: 1 to 15 names, all minimised.
        exact: functions in closed form, by name; never predicted, and free to call.
        limits: the largest values wanted, by name (`SearchProblem`).
        candidates: the only architectures that may be measured, `(c, d)`; all unless told.
        evaluations: how many in all, those of `archive` counted.
        method: a name of `METHODS`, or a function from a problem and a seed to a searcher of one's own.
        predictor: of a method that has one, a name of `predictor.PREDICTORS`; the method's own unless told.
        known: functions for more known numbers of an architecture, for predictors to learn from.
        seed: of all draws.
        archive: of an earlier search of the same space and objectives, to go on with; new measurements are added to it.
            Limits and candidates may differ.
        executor: any that gives the futures of `concurrent.futures`: threads, processes, loky, Dask's
            `Client.get_executor()`. `evaluate` must be such that it can be sent there. The architecture of a worker
            that is lost is asked again, three times at most.
        workers: architectures that are under way at once; as many as the executor has workers unless told.
        progress: called after every evaluation; what it raises ends the search.

    Returns:
        Everything measured, in order. Fewer than `evaluations` where the space has no more, or no more was found
        within the limits.

    Raises:
        UserError: for arguments that make no sense, an executor with futures of its own, and where no architecture is
            found within the limits.
        SearchError: where everything fails, and where the executor is broken.

    Any exception that ends the search, Ctrl-C too, has the archive in its attribute `archive`, to go on with; one whose
    class takes no attributes is the cause of a `SearchError` that has it.

    Example:
        >>> from naturalize.space import Variable
        >>> space = SearchSpace("cups", [Variable("height", 3, 20), Variable("radius", 1, 12)])
        >>> loss = lambda codes: {"loss": 100 / (codes[:, 0] * codes[:, 1] ** 0.5)}
        >>> area = lambda codes: 2.0 * np.pi * codes[:, 0] * codes[:, 1]
        >>> archive = search(space, loss, ["loss", "area"], exact={"area": area}, evaluations=24)
        >>> archive = search(space, loss, ["loss", "area"], exact={"area": area}, evaluations=30, archive=archive)
        >>> len(archive), archive.values[archive.front()].shape[1]
        (30, 2)
    """
    whole("the number of evaluations", evaluations, 1)
    if workers is not None:
        whole("the number of workers", workers, 1)
    problem = SearchProblem(space, list(objectives), dict(exact or {}), dict(limits or {}), candidates)
    archive = SearchArchive(problem) if archive is None else archive
    of = archive.problem
    same_space = (of.space.variables, of.space.rules) == (space.variables, space.rules)
    if list(of.objectives) != list(problem.objectives) or not same_space:
        raise UserError("the archive is of another search: its space or its objectives differ")
    if len(archive):
        check_exact(problem, archive)
    if isinstance(method, str):
        searcher = make_searcher(method, problem, seed, predictor=predictor, known=known)
    elif predictor is not None or known:
        raise UserError("predictor and known go with a method that has a name, not with a searcher of one's own")
    else:
        searcher = method(problem, seed)
    searcher.tell(archive.codes, archive.values)
    archive.problem = problem
    ask = Asking(evaluate, searcher, archive, evaluations, progress)
    try:
        if executor is None:
            ask.one_after_the_other()
        else:
            ask.side_by_side(executor, workers or int(getattr(executor, "_max_workers", 1)))
    except BaseException as error:
        try:
            error.archive = archive  # type: ignore[attr-defined]
            if len(archive):
                error.add_note(f"{len(archive)} measurements are kept: search(..., archive=error.archive) goes on")
        except AttributeError:  # a class without room for it
            raise SearchError(f"the search was ended by {type(error).__name__}: {error}", archive) from error
        raise
    if not problem.allowed(archive.codes).any():
        limit = ", ".join(f"{name} <= {value:g}" for name, value in problem.limits.items())
        raise UserError(f"no architecture of {space.name} was found within the limits ({limit}): allow more")
    return archive


def check_exact(problem: SearchProblem, archive: SearchArchive) -> None:
    """Raise `UserError` where exact functions give other values than an archive has: the two would be mixed."""
    codes, values = archive.codes, archive.values
    measured = np.isfinite(values).all(axis=1)
    exact = problem.exact_values(codes[measured])
    for column, name in enumerate(problem.objectives):
        scale = np.abs(values[measured, column]).max(initial=0.0)
        if name in problem.exact and not np.allclose(exact[:, column], values[measured, column], atol=1e-8 * scale):
            raise UserError(f"the archive is of another search: the exact function {name} gave other values there")


class Asking:
    """One search under way.

    Args:
        evaluate, evaluations, progress: as of `search`.
        searcher: proposes architectures.
        archive: gets their results.
    """

    def __init__(
        self, evaluate: Evaluate, searcher: Searcher, archive: SearchArchive, evaluations: int, progress: Progress
    ) -> None:
        self.evaluate = evaluate
        self.searcher = searcher
        self.archive = archive
        self.evaluations = evaluations
        self.progress = progress
        self.names = searcher.problem.measured
        self.columns = [searcher.problem.column(name) for name in self.names]
        self.answered = False  # whether a worker did anything

    def one_after_the_other(self) -> None:
        """Evaluate batches of the searcher's size until the evaluations are spent."""
        while (left := self.evaluations - len(self.archive)) > 0:
            codes = self.searcher.ask(min(self.searcher.batch, left))
            if not len(codes):
                return
            for some, found in in_parts(self.evaluate, self.names, codes):
                self.take(some, found)

    def side_by_side(self, executor: Executor, workers: int) -> None:
        """Keep as many architectures under way as there are workers; ask for a new one whenever a result comes in.

        The suspects of an earlier search come first, one at a time, after a call that does nothing: an executor whose
        workers die at that is broken itself.
        """
        if self.suspects():
            self.check_works(executor)
        under_way: dict[Future[Any], tuple[Codes, int]] = {}

        def submit(codes: Codes, tries: int) -> None:
            try:
                future = executor.submit(measured, self.evaluate, self.names, codes)
            except RuntimeError as error:  # broken, or shut down
                if isinstance(error, BrokenExecutor):
                    self.blame([codes for codes, _ in under_way.values()])
                raise SearchError(f"the executor takes no more work: {error}", self.archive) from error
            if not isinstance(future, Future):
                raise UserError(
                    f"the executor gives {type(future).__name__} in place of a Future of concurrent.futures"
                )
            under_way[future] = codes, tries

        def asked(n: int) -> Codes:
            if suspects := self.suspects():
                alone = suspects[: 1 - len(under_way)]
                return np.array(alone, dtype=np.int64).reshape(-1, len(self.searcher.problem.space))
            return self.searcher.ask(n)

        try:
            while True:
                room = min(workers, self.evaluations - len(self.archive)) - len(under_way)
                if room > 0:
                    for code in asked(room):
                        submit(code[None], 1)
                if not under_way:
                    return
                for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                    codes, tries = under_way[future]
                    lost = None if not future.done() or future.cancelled() else future.exception()
                    if isinstance(lost, BrokenExecutor):
                        self.blame([codes for codes, _ in under_way.values()])
                        raise SearchError(f"the executor takes no more work: {lost}", self.archive) from lost
                    del under_way[future]
                    if (future.cancelled() or lost is not None) and tries < TRIES:
                        submit(codes, tries + 1)
                    elif future.cancelled() or lost is not None:
                        why = "" if lost is None else f": {in_a_line(lost)}"
                        self.take(codes, [([np.nan] * len(self.names), f"its worker was lost {TRIES} times{why}")])
                    else:
                        self.answered = True
                        self.take(codes, future.result())
        finally:
            for future, (codes, _) in under_way.items():
                if not future.cancel() and future.done() and future.exception() is None:
                    self.keep(codes, future.result())

    def suspects(self) -> list[tuple[int, ...]]:
        """The suspects of earlier searches that may be measured in this one."""
        codes = np.array(self.archive.suspects, dtype=np.int64).reshape(-1, len(self.searcher.problem.space))
        return [tuple(code) for code in codes[self.searcher.problem.allowed(codes)].tolist()]

    def check_works(self, executor: Executor) -> None:
        """Raise `SearchError` where the executor's workers die without work."""
        try:
            executor.submit(int).result()
        except RuntimeError as error:  # broken, or shut down
            raise SearchError(f"the executor's workers die before they get work: {error}", self.archive) from error
        self.answered = True

    def blame(self, under_way: Sequence[Codes]) -> None:
        """Note the architectures under way when an executor broke.

        A single one has failed, if workers did anything before; several are suspects.
        """
        if len(under_way) == 1 and self.answered:
            self.keep(under_way[0], [([np.nan] * len(self.names), "its worker process died")])
        else:
            known = {row.code for row in self.archive.rows} | set(self.archive.suspects)
            rows = (tuple(codes[0].tolist()) for codes in under_way)
            self.archive.suspects += [row for row in rows if row not in known]

    def take(self, codes: Codes, found: Found) -> None:
        """Add results to the archive, and tell them to the searcher."""
        codes, values = self.keep(codes, found)
        self.searcher.tell(codes, values)
        self.archive.check_hope()
        self.progress("search", len(self.archive), self.evaluations)

    def keep(self, codes: Codes, found: Found) -> tuple[Codes, Floats]:
        """Add results to the archive. Returns the codes and all their objectives."""
        values = self.searcher.problem.exact_values(codes)
        reasons = [reason for _, reason in found]
        for row, (numbers, reason) in enumerate(found):
            values[row, self.columns] = numbers
            if reason:
                values[row] = np.nan
        self.archive.add(codes, values, reasons)
        return codes, values
