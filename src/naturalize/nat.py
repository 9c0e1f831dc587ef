"""Neural Architecture Transfer (Lu et al., TPAMI 2021, Algorithm 1), and the steps it is made of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, zip_longest

import numpy as np
from numpy.typing import NDArray

from naturalize import rng
from naturalize.archive import Measurement
from naturalize.conclude import conclude, write_probed_front, write_stopped_front
from naturalize.errors import Interrupted, UserError
from naturalize.last_adaptation import forget, in_rounds
from naturalize.objectives import ERROR
from naturalize.planning import pace_of
from naturalize.preparing import peak_rate, phases_of, prepare, shrink, train_by_sandwich
from naturalize.probing import probe
from naturalize.run import Run, source_from
from naturalize.run.front import finished_under
from naturalize.run.settings import SHRINK
from naturalize.search import Guided, make_guided, non_dominated, survive
from naturalize.selection import hypervolume_of, measurement_of, objective_values
from naturalize.session import Session
from naturalize.space import Architecture, Codes, SearchSpace, unique_rows
from naturalize.training.adapt import Extent, cosine
from naturalize.training.engine import at_once, side_by_side
from naturalize.workbench import Workbench, images_of

WHOLE = 1 / 3  # of the steps of an adaptation, for the largest network where it was published: all others are its parts


def transfer(nat: Transfer) -> None:
    """Alternate search and adaptation until the budget is spent. A fresh start and a resumed run take the same path.

    Under a budget the last iteration searches no more: it adapts the supernet to the front that it measured.

    Errors are compared under one weights version only: each iteration measures its whole archive anew.
    """
    archive, space = nat.archive, nat.space
    nat.prepare()
    for t in nat.iterations():
        if not archive.members(t + 1):
            measured = nat.measure(t)
            archive.set_members(t + 1, nat.front(measured) if nat.pace.closes(t) else nat.searched(measured, t))
        p = distribution(space, space.codes(archive.members(t + 1)))
        nat.adapt(p, t)
    nat.conclude()


@dataclass(frozen=True)
class Measured:
    """Members of an archive with finite values, all under one weights version.

    Attributes:
        codes: `(n, d)`.
        error: `(n,)` in percent, the mean over views.
        values: objectives in the run's order, `(n, m)`.
        feasible: whether each meets the requirements, `(n,)`.
    """

    codes: Codes
    error: NDArray[np.float64]
    values: NDArray[np.float64]
    feasible: NDArray[np.bool_]


class Transfer:
    """The steps of `transfer` on one run, as far as its pace lets them go."""

    def __init__(self, bench: Workbench) -> None:
        self.bench = bench
        self.run = bench.run
        self.settings = bench.run.settings
        self.archive = bench.archive
        self.watch = bench.watch
        self.problem = bench.problem
        self.space = bench.supernet.family.space
        self.session = Session(bench)
        self.probe()
        self.pace = pace_of(bench, self.session.version)

    def probe(self) -> None:
        """The published network at several resolutions: a front at once."""
        known = self.archive.decision("probed") is not None
        if probe(self.bench) is None or known:
            return
        write_probed_front(self.bench)
        self.archive.record_decision("probed", True)

    def iterations(self) -> Iterator[int]:
        """Numbers of the iterations to do, from the one that is under way."""
        t = self.session.version
        while self.pace.goes_on(t, bool(self.archive.members(t + 1))):
            yield t
            t += 1

    def prepare(self) -> None:
        """Weights version 0, unless it is there."""
        if self.session.version < 0:
            prepare(self.session, *self.pace.preparation())

    def members(self, t: int) -> list[Architecture]:
        """The archive at the start of an iteration; at first another run's best, corners, uniform architectures."""
        members = self.archive.members(t)
        if members:
            return members
        n = self.pace.initial
        carried = carried_codes(self.bench, n // 2)
        corners, generator = self.space.corners(), rng.generator(self.bench.seed, "initial archive")
        first = corners[self.problem.allowed(corners)]
        if self.bench.reads_published:
            first = np.concatenate([first, self.around_the_largest(n - len(carried) - len(first), generator)])
        uniform = self.problem.sample(n, generator)
        codes = unique_rows(np.concatenate([carried, first, uniform]))[:n]
        origin = {tuple(row): "user" for row in carried.tolist()}
        origin |= {tuple(row): "trimmed" for row in first.tolist()}
        origin |= {tuple(row): "corner" for row in corners.tolist()}
        origins = [origin.get(tuple(row), "uniform") for row in codes.tolist()]
        self.archive.set_members(t, list(zip(self.space.architectures(codes), origins, strict=True)))
        return self.archive.members(t)

    def around_the_largest(self, n: int, generator: np.random.Generator) -> Codes:
        """The largest architecture at every resolution, then with more or less left out; those that are allowed."""
        trimmed = self.space.sample_trimmed(max(0, 2 * n), generator)
        return np.concatenate([self.wholes(), trimmed[self.problem.allowed(trimmed)]])[:n]

    def measure(self, t: int, final: bool = False) -> Measured:
        """One pass over the archive under weights version t: all of it, or what the clock allows."""
        members = self.members(t)
        known = self.archive.measurements(self.run.context(ERROR, t))
        images = self.pace.begin(t, final, len(known))
        if images is not None:
            self.archive.decide(images_of(t), lambda: images)
        self.bench.choose_images(t)

        def tell() -> None:
            self.watch.progress("measure", len(known), len(members))

        with self.watch.phase("measure", iteration=t, version=t):
            wanted = (arch for arch in self.while_time(members, t, final) if arch not in known)
            for found in side_by_side(self.measure_one, wanted, self.bench.device, tell):
                for name, measurement in found.items():
                    self.archive.record(self.run.context(name, t), measurement)
                known[found[ERROR].architecture] = found[ERROR]
                tell()
            self.pace.end(t, final)
        measured = self.measured(members, t)
        self.close(t, measured, final)
        return measured

    def while_time(self, members: list[Architecture], t: int, final: bool) -> Iterator[Architecture]:
        """The members in order, for as long as there is time to measure one more."""
        for number, arch in enumerate(members):
            if not self.pace.measures(t, number, final):
                return
            yield arch

    def measure_one(self, arch: Architecture) -> dict[str, Measurement]:
        """The measured objectives of an architecture under the weights of now; error first."""
        found = {}
        for name, objective in self.bench.measures.items():
            start = self.watch.used_s
            measurement = measurement_of(objective, arch)
            seconds = (self.watch.used_s - start) / at_once(self.bench.device)
            found[name] = replace(measurement, seconds=seconds)
        self.pace.took(sum(measurement.seconds for measurement in found.values()))
        return found

    def measured(self, members: list[Architecture], t: int) -> Measured:
        """Members with finite objectives under weights version t. Raises `UserError` where none has them."""
        found = self.archive.measurements(self.run.context(ERROR, t))
        known = [arch for arch in members if arch in found]
        codes, error = self.space.codes(known), self.archive.values([self.run.context(ERROR, t)], known)
        values = objective_values(self.bench, t, codes, error)
        finite = np.isfinite(error) & np.isfinite(values).all(axis=1)
        if not finite.any():
            raise UserError("no network could be measured: see the statuses in archive.sqlite")
        codes = codes[finite]
        return Measured(codes, error[finite], values[finite], self.problem.allowed(codes))

    def close(self, t: int, measured: Measured, final: bool) -> None:
        """Record what an iteration's measuring pass came to, and tell."""
        values = measured.values[measured.feasible]
        front = int(non_dominated(values).sum()) if len(values) else 0
        facts = {
            "weights_version": t,
            "hypervolume": hypervolume_of(self.bench, values),
            "best_error": float(measured.error[measured.feasible].min()) if front else None,
            "measured": len(measured.codes),
            "networks": front,
        }
        self.archive.close_iteration(t, facts)
        self.watch.event("iteration", iteration=t, final=final, **facts)

    def front(self, measured: Measured) -> list[tuple[Architecture, str]]:
        """Members that no other dominates, and the largest network at every resolution where it was published."""
        codes = measured.codes[measured.feasible]
        codes = codes[non_dominated(measured.values[measured.feasible])]
        codes = unique_rows(np.concatenate([self.wholes(), codes]))
        return [(arch, "survivor") for arch in self.space.architectures(codes)]

    def wholes(self) -> Codes:
        """The largest architecture at every resolution, where it was published; those that meet the requirements."""
        codes = self.space.wholes()
        return codes[self.problem.allowed(codes) & self.bench.reads_published]

    def searched(self, measured: Measured, t: int) -> list[tuple[Architecture, str]]:
        """Survivors, and what the search of this iteration proposes."""
        kept, new = self.pace.next_members(t, lambda: self.seconds(t))
        return self.merge(self.survive(measured, kept, t), self.search(self.fit(measured, t), new, t))

    def seconds(self, t: int) -> list[float]:
        """What the measurements of pass t took."""
        return [measurement.seconds for measurement in self.archive.measurements(self.run.context(ERROR, t)).values()]

    def survive(self, measured: Measured, keep: int, t: int) -> Codes:
        """Codes of the survivors by reference directions, the front first; all feasible members where these are few."""
        feasible = np.flatnonzero(measured.feasible)
        chosen = survive(measured.values[feasible], keep, rng.integer(self.bench.seed, "survive", t))
        return measured.codes[feasible[chosen]]

    def fit(self, measured: Measured, t: int) -> Guided:
        """The search of this iteration, told what was measured under its weights version."""
        settings, seed = self.settings, rng.integer(self.bench.seed, "search", t)
        with self.watch.phase("fit", iteration=t):
            searcher = make_guided(
                settings.search,
                self.problem,
                seed,
                predictor=settings.predictor,
                known=[self.bench.stage_counts],
                n_initial=0,
                progress=self.watch.progress,
            )
            searcher.tell(measured.codes, measured.values)
            tau = searcher.rank_correlation(ERROR) if ERROR in self.problem.measured else np.nan
        pairs = len(measured.codes)
        self.watch.event("predictor", iteration=t, pairs=pairs, rank_correlation=None if np.isnan(tau) else tau)
        return searcher

    def search(self, searcher: Guided, wanted: int, t: int) -> Codes:
        """Candidates: not yet measured, meeting the requirements, those that the predictor promises most of."""
        with self.watch.phase("search", iteration=t):
            return searcher.ask(wanted)

    def merge(self, survivors: Codes, candidates: Codes) -> list[tuple[Architecture, str]]:
        """Both, taking turns: a measuring pass that runs out of time has seen the best of each."""
        survivors = unique_rows(np.concatenate([self.wholes(), survivors]))
        kept = [(arch, "survivor") for arch in self.space.architectures(survivors)]
        new = [(arch, "search") for arch in self.space.architectures(candidates)]
        return [member for member in chain.from_iterable(zip_longest(kept, new)) if member is not None]

    def adapt(self, p: NDArray[np.float64], t: int) -> None:
        """Weights version t + 1: train on architectures drawn from p, along the next part of the cosine."""
        start, end, extent = self.pace.adaptation(t)
        draw = partial(self.drawn, p)
        if self.pace.closes(t):
            draw = partial(in_rounds, self.archive.members(t + 1), self.bench.seed)
        trainer = self.bench.trainer
        rate = cosine(start, end, peak_rate(self.settings, self.run.keeps_statistics))
        self.session.train("adapt", t + 1, lambda first: trainer.adaptation_step(draw, first), extent, rate)

    def drawn(self, p: NDArray[np.float64], step: int) -> Architecture:
        """The architecture of a step of an adaptation: from p, or the largest now and then where it was published."""
        generator = rng.generator(self.bench.seed, "whole", step)
        if self.bench.reads_published and generator.random() < WHOLE:
            return self.space.architectures(generator.choice(self.space.wholes(), 1))[0]
        return drawn(self.space, p, self.bench.seed, step)

    def conclude(self) -> None:
        """Measure the archive with the final weights, select its front on validation, adapt to it, read test once."""
        t = self.session.version
        finished = finished_under(self.run.directory)
        if finished is not None and finished[0] == t and (finished[1] or self.pace.learns_no_more):
            forget(self.run.directory)
            return
        measured = self.measure(t, final=True)
        codes, values = measured.codes[measured.feasible], measured.values[measured.feasible]
        conclude(self.bench, self.session, t, codes, values, *self.pace.ending())


def carried_codes(bench: Workbench, n: int) -> Codes:
    """Up to n architectures of the run that seeds the archive, those of its front first, that meet the requirements.

    A resolution that this run does not have becomes the nearest that it has.
    """
    kept, family = bench.run.settings.archive, bench.supernet.family
    if kept is None:
        return np.empty((0, len(family.space)), dtype=np.int64)
    other = Run(source_from(kept, bench.run.directory))
    front = [other.family.space.parse(network.architecture) for network in other.front()]
    with closing(other.archive()) as archive:
        last = max((facts["iteration"] for facts in archive.iterations()), default=0)
        codes = other.family.space.codes([*front, *archive.members(last)])
    sides = np.array(other.family.resolutions)[codes[:, 0]]
    codes[:, 0] = np.abs(sides[:, None] - np.array(family.resolutions)).argmin(axis=1)
    codes = unique_rows(codes)
    return codes[family.space.is_valid(codes) & bench.problem.allowed(codes)][:n]


def distribution(space: SearchSpace, codes: Codes) -> NDArray[np.float64]:
    """Share of members with each option of each variable (NAT, section 3.4), of those members that have its parent.

    A layer that rules bind to another is drawn where that one is there, so shares of all members would count the
    absence of the other twice, and stages would be drawn too shallow.

    Args:
        codes: of the members, `(n, d)`.

    Returns:
        `(d, k)`, rows sum to 1; column j is the share of code j, and k - 1 the largest code of all variables. A
        variable whose parent no member has is absent.
    """
    there = np.ones(codes.shape, dtype=bool)
    for child, parent in space.rules:
        there[:, child] &= codes[:, parent] != 0
    counts = ((codes[:, :, None] == np.arange(int(space.upper.max()) + 1)) & there[:, :, None]).sum(axis=0)
    counts[counts.sum(axis=1) == 0, 0] = 1
    shares: NDArray[np.float64] = counts / counts.sum(axis=1, keepdims=True)
    return shares


def drawn(space: SearchSpace, p: NDArray[np.float64], seed: int, step: int) -> Architecture:
    """The architecture of a step: each variable from its row of p; what has no parent is absent."""
    return space.architectures(drawn_codes(space, p, rng.generator(seed, "draw", step).random((1, len(space)))))[0]


def drawn_codes(space: SearchSpace, p: NDArray[np.float64], chances: NDArray[np.float64]) -> Codes:
    """Rows of codes by chances in 0..1, both `(n, d)`."""
    return space.repair((chances[:, :, None] >= p.cumsum(axis=1)[:, :-1]).sum(axis=2))


def prepare_only(bench: Workbench) -> None:
    """Weights version 0 with all of the budget, and the error of the corners, for `naturalize prepare`."""
    settings, watch = bench.run.settings, bench.watch
    if settings.budget_s is None:
        extent = Extent(steps=(settings.epochs or 1) * bench.trainer.batches.per_epoch)
    else:
        left = max(1.0, 0.95 * settings.budget_s - watch.used_s)
        extent = Extent(seconds=bench.archive.decide("prepare", lambda: left), until=0.95 * settings.budget_s)
    if settings.method == SHRINK:
        shrink(Session(bench, begin=-len(phases_of(bench.supernet.family))), extent)
    else:
        train_by_sandwich(Session(bench), extent)
    smallest, largest = bench.error.measure(bench.supernet.family.space.corners()).values.tolist()
    watch.event("prepared", smallest_error=smallest, largest_error=largest)


def run_transfer(bench: Workbench) -> None:
    """`transfer` that leaves a validation front when it is asked to stop."""
    try:
        transfer(Transfer(bench))
    except Interrupted:
        write_stopped_front(bench)
        raise
