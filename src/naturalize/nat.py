"""Neural Architecture Transfer (Lu et al., TPAMI 2021, Algorithm 1), and the steps it is made of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property, partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from naturalize import journal, rng
from naturalize.archive import Archive, Measurement
from naturalize.conclude import (
    conclude,
    conclude_untrained,
    is_over,
    write_probed_front,
    write_stopped_front,
    write_untrained_front,
)
from naturalize.drawing import distribution, drawn, in_rounds
from naturalize.errors import Interrupted
from naturalize.initial import first_members, wholes
from naturalize.last_adaptation import forget
from naturalize.objectives import ERROR, deciding_error
from naturalize.pace import Pace
from naturalize.planning import pace_of
from naturalize.preparing import peak_rate, prepare
from naturalize.probing import probe
from naturalize.run.front import finished_under
from naturalize.search import non_dominated
from naturalize.searching import Members, Searching, held_out
from naturalize.selection import Pass, hypervolume_of, measured, measurements_of
from naturalize.session import Session
from naturalize.soft_targets import learn_from_soft_targets
from naturalize.space import Architecture, Codes, SearchSpace
from naturalize.training.adapt import cosine
from naturalize.training.engine import side_by_side
from naturalize.whole import check_read, choose_sides, is_tuned, read_whole, tune
from naturalize.workbench import Workbench

WHOLE = 1 / 3  # share of adaptation steps for the largest network, where it was published: all others are its parts
WHOLE_NEW = 1 / 2  # the same where its head was new


class Steps(Protocol):
    """The steps of `transfer`. Iterations and weights versions are numbered by t."""

    archive: Archive
    space: SearchSpace

    def prepare(self) -> None:
        """Train weights version 0, unless it is there."""

    def iterations(self) -> Iterator[int]:
        """Numbers of the iterations to do, from the one that is under way."""

    def closes(self, t: int) -> bool:
        """Whether iteration t searches no more, and adapts to the front that it measured."""

    def measure(self, t: int) -> Pass:
        """Measure the archive under weights version t."""

    def front(self, measured: Pass) -> Members:
        """The non-dominated members."""

    def searched(self, measured: Pass, t: int) -> Members:
        """Survivors, and the candidates of a search."""

    def adapt(self, p: NDArray[np.float64], t: int) -> None:
        """Train weights version t + 1 on architectures drawn from p `(d, k)`."""

    def conclude(self) -> None:
        """Measure with the final weights, select the front, read test, and write the result."""


def transfer(nat: Steps) -> None:
    """Alternate search and adaptation until the budget is spent. A fresh start and a resumed run take the same path.

    Under a budget the last iteration searches no more: it adapts the supernet to the front that it measured.

    Errors are compared under one weights version only: each iteration measures its whole archive anew.
    """
    archive, space = nat.archive, nat.space
    nat.prepare()
    for t in nat.iterations():
        if not archive.members(t + 1):
            measured = nat.measure(t)
            archive.set_members(t + 1, nat.front(measured) if nat.closes(t) else nat.searched(measured, t))
        p = distribution(space, space.codes(archive.members(t + 1)))
        nat.adapt(p, t)
    nat.conclude()


class Transfer:
    """The steps of `transfer` on one run, as far as its pace lets them go."""

    def __init__(self, bench: Workbench) -> None:
        self.bench = bench
        self.run = bench.run
        self.settings = bench.run.settings
        self.archive = bench.archive
        self.watch = bench.watch
        self.problem = bench.problem
        self.space = bench.space
        self.searching = Searching(bench.problem, self.settings, self.watch, [bench.stage_counts], wholes(bench))
        self.session = Session(bench)
        check_read(bench)
        self.probe()

    @cached_property
    def pace(self) -> Pace:
        """The extent of each step. A budget is planned at the first access."""
        return pace_of(self.bench, self.session.version)

    @property
    def is_untrained(self) -> bool:
        """Whether no training has begun yet."""
        return self.run.checkpoints.latest() is None

    def probe(self) -> None:
        """Read the published network at several resolutions, and write its front at once; nothing where it is known."""
        known = self.archive.decision(journal.PROBED) is not None
        if probe(self.bench) is None or known:
            return
        write_probed_front(self.bench)
        self.archive.record_decision(journal.PROBED, True)

    def iterations(self) -> Iterator[int]:
        """Numbers of the iterations to do, from the one that is under way."""
        t = self.session.version
        while self.pace.goes_on(t, bool(self.archive.members(t + 1))):
            yield t
            t += 1

    def prepare(self) -> None:
        """Train weights version 0, unless it is there; a published network is fine-tuned and read by itself before."""
        learn_from_soft_targets(self.bench)
        if self.session.version >= 0:
            return
        choose_sides(self.bench)
        if is_tuned(self.bench):
            tune(self.bench, self.pace.tuning(new=not self.bench.classifies))
            if read_whole(self.bench):
                write_untrained_front(self.bench)
            self.session = Session(self.bench)
        prepare(self.session, *self.pace.preparation())

    def closes(self, t: int) -> bool:
        """Whether iteration t is the last and adapts to the front that it measured, without a search."""
        return self.pace.closes(t)

    def members(self, t: int) -> list[Architecture]:
        """The members of the archive at the start of iteration t; the first ones are chosen here."""
        if not self.archive.members(t):
            self.archive.set_members(t, first_members(self.bench, self.pace.initial))
        return self.archive.members(t)

    def measure(self, t: int, final: bool = False, only: Sequence[Architecture] | None = None) -> Pass:
        """Measure the archive under weights version t: all of it, or as much as the clock allows.

        Args:
            t: weights version.
            final: whether it selects the front.
            only: the members that others had time for, in their order; all where None.
        """
        members = self.members(t) if only is None else only
        known = self.archive.measurements(self.run.context(ERROR, t))
        images = self.pace.begin(t, final, len(known))
        if images is not None:
            self.archive.decide(journal.images(t), lambda: images)
        self.bench.choose_images(t)

        def tell() -> None:
            self.watch.progress("measure", len(known), len(members))

        with self.watch.phase("measure", iteration=t, version=t):
            wanted = (arch for arch in self.while_time(members, t, final) if arch not in known)
            for one in side_by_side(self.measure_one, wanted, self.bench.device, tell):
                for name, measurement in one.items():
                    self.archive.record(self.run.context(name, t), measurement)
                known[one[ERROR].architecture] = one[ERROR]
                tell()
            self.pace.end(t, final)
        found = measured(self.bench, t, members)
        self.close(t, found, final)
        return found

    def while_time(self, members: Sequence[Architecture], t: int, final: bool) -> Iterator[Architecture]:
        """The members in order, for as long as there is time to measure one more."""
        for number, arch in enumerate(members):
            if not self.pace.measures(t, number, final):
                return
            yield arch

    def measure_one(self, arch: Architecture) -> dict[str, Measurement]:
        """Measurements of an architecture by objective, under the present weights; error first."""
        found = measurements_of(self.bench, arch)
        self.pace.took(sum(measurement.seconds for measurement in found.values()))
        return found

    def close(self, t: int, measured: Pass, final: bool) -> None:
        """Record the results of an iteration's measuring pass, and report them."""
        _, values = measured.allowed
        front = int(non_dominated(values).sum()) if len(values) else 0
        facts = {
            "weights_version": t,
            "hypervolume": hypervolume_of(self.bench, values),
            "best_error": float(measured.error[measured.feasible].min()) if front else None,
            "measured": len(measured.codes),
            "networks": front,
        }
        self.archive.close_iteration(t, facts)
        seconds = {name: sum(taken.values()) for name, taken in self.taken(t).items()}
        self.watch.event("iteration", iteration=t, final=final, **facts, seconds=seconds)

    def front(self, measured: Pass) -> Members:
        """Non-dominated members with their origin, and the largest network at every resolution if it was published."""
        return self.searching.front(measured)

    def searched(self, measured: Pass, t: int) -> Members:
        """Survivors, and the candidates of this iteration's search, each with its origin."""
        kept, new = self.next_members(t)
        with self.watch.phase("fit", iteration=t):
            searcher = self.searching.fit(measured, self.archive.failed(self.run.task_name), t)
            judged = held_out(searcher, deciding_error(self.settings.objectives))
        if not np.isnan(judged.predicted).any():
            told = {"architectures": self.space.strings(judged.codes), "predicted": judged.predicted.round(4).tolist()}
            self.archive.record_decision(journal.predicted(t), told)
        self.watch.event("predictor", iteration=t, pairs=len(measured.codes), rank_correlation=judged.tau)
        return self.searching.members(searcher, measured, kept, new, t)

    def next_members(self, t: int) -> tuple[int, int]:
        """Number of measured members that survive iteration t, and number of candidates that join them."""
        return self.pace.next_members(t, lambda: self.seconds(t))

    def seconds(self, t: int) -> list[float]:
        """Seconds that each network of pass t took, all its measurements together."""
        first, *others = self.taken(t).values()
        return [seconds + sum(other.get(arch, 0.0) for other in others) for arch, seconds in first.items()]

    def taken(self, t: int) -> dict[str, dict[Architecture, float]]:
        """Seconds that each measurement of pass t took, by objective, error first, and by architecture."""
        found = {name: self.archive.measurements(self.run.context(name, t)) for name in self.bench.measures}
        return {name: {arch: one.seconds for arch, one in known.items()} for name, known in found.items()}

    def adapt(self, p: NDArray[np.float64], t: int) -> None:
        """Train weights version t + 1 on architectures drawn from p `(d, k)`, along the next part of the cosine."""
        start, end, extent = self.pace.adaptation(t)
        draw = partial(self.drawn, p)
        if self.closes(t):
            draw = partial(in_rounds, self.archive.members(t + 1), self.bench.seed)
        trainer = self.bench.trainer
        rate = cosine(start, end, peak_rate(self.settings, self.run.keeps_statistics))
        self.session.train("adapt", t + 1, lambda first: trainer.adaptation_step(draw, first), extent, rate)

    def drawn(self, p: NDArray[np.float64], step: int) -> Architecture:
        """The architecture of a step of an adaptation: from p, or the largest now and then where it was published."""
        generator = rng.generator(self.bench.seed, "whole", step)
        if generator.random() < share_of_wholes(self.bench):
            return self.space.architectures(generator.choice(self.space.wholes(), 1))[0]
        return drawn(self.space, p, self.bench.seed, step)

    def conclude(self) -> None:
        """Measure the archive with the final weights, select its front on validation, adapt to it, read test once."""
        t = self.session.version
        if self.is_finished(t):
            forget(self.run.directory)
            return
        found = self.measure(t, final=True)
        conclude(self.bench, self.session, t, *found.allowed, self.pace.ending())

    def is_finished(self, t: int) -> bool:
        """Whether the result of weights version t is written, and nothing more is to be learnt from it."""
        finished = finished_under(self.run.directory)
        return finished is not None and finished[0] == t and (finished[1] or self.pace.learns_no_more)

    def conclude_shared(self, t: int, codes: Codes, learns_on: bool) -> None:
        """As `conclude`, with a front of weights version t that a joint run has chosen: all of it stays.

        Args:
            t: weights version.
            codes: of the front's architectures, `(n, d)`: measured, or those of networks that stand by themselves.
            learns_on: whether a last adaptation may follow.
        """
        if learns_on and self.is_finished(t):
            forget(self.run.directory)
            return
        archs = self.bench.supernet.family.space.architectures(codes)
        found = measured(self.bench, t, archs)
        ending = self.pace.ending() if learns_on else None
        shared = [arch.text for arch in archs]  # which keep to the joint run's limits, by the largest head
        conclude(self.bench, self.session, t, found.codes, found.values, ending, shared=shared)


def share_of_wholes(bench: Workbench) -> float:
    """Share of adaptation steps for the largest network; 0 where it was not published."""
    if not bench.starts_whole:
        return 0.0
    return WHOLE if bench.classifies else WHOLE_NEW


def run_transfer(bench: Workbench) -> None:
    """Run `transfer`, and leave a validation front when asked to stop.

    Where the budget is spent before anything was trained, the result is the front of the published network.
    """
    try:
        nat = Transfer(bench)
        if is_over(bench, nat.is_untrained):
            conclude_untrained(bench)
        else:
            transfer(nat)
    except Interrupted:
        write_stopped_front(bench)
        raise
