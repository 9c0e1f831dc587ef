"""Neural Architecture Transfer (Lu et al., TPAMI 2021, Algorithm 1), and the steps it is made of."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import chain, zip_longest

import numpy as np
from numpy.typing import NDArray

from naturalize import rng, schedule
from naturalize.archive import Context, Measurement
from naturalize.classifiers import images_of_a_classifier
from naturalize.conclude import conclude, conclude_untrained, write_probed_front, write_stopped_front
from naturalize.errors import Interrupted, UserError
from naturalize.last_adaptation import forget, in_rounds
from naturalize.preparing import peak_rate, phases_of, prepare, shrink, train_by_sandwich
from naturalize.probing import probe, probes_of
from naturalize.run import Run, source_from
from naturalize.run.front import finished_under
from naturalize.run.settings import SHRINK
from naturalize.schedule import Plan
from naturalize.search import Guided, make_guided, non_dominated, survive
from naturalize.selection import hypervolume_of, objective_values, probed_measurements
from naturalize.session import Session
from naturalize.setting import CHOSEN_IMAGES, Setting, choose_threads, epoch_s, images_of, measure_costs
from naturalize.space import Architecture, Codes, SearchSpace, unique_rows
from naturalize.training.adapt import Extent, cosine
from naturalize.training.engine import at_once, side_by_side

WHOLE = 1 / 3  # of the steps of an adaptation, for the largest network where it was published: all others are its parts
RECENT = 5  # measurements that tell how fast the machine is by now


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
            archive.set_members(t + 1, nat.front(measured) if nat.closes(t) else nat.searched(measured, t))
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
    """The steps of `transfer` on one run. What the clock decides is recorded, so that resuming repeats no decision."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.run = setting.run
        self.settings = setting.run.settings
        self.archive = setting.archive
        self.watch = setting.watch
        self.problem = setting.problem
        self.space = setting.supernet.family.space
        self.session = Session(setting)
        self.recent_s: deque[float] = deque(maxlen=RECENT)
        self.probe()

    @cached_property
    def plan(self) -> Plan | None:
        """The division of the budget, where there is one: made when it is first asked for."""
        return self.make_plan() if self.settings.budget_s is not None else None

    @property
    def is_over(self) -> bool:
        """Whether the budget was spent before anything could be trained, with the published network to show for it."""
        budget_s = self.settings.budget_s
        untrained = self.session.version < 0 and self.session.state["complete"]
        return (
            untrained
            and budget_s is not None
            and self.watch.used_s > budget_s
            and bool(probed_measurements(self.setting))
        )

    def probe(self) -> None:
        """The published network at several resolutions: a front at once."""
        known = self.archive.decision("probed") is not None
        if probe(self.setting) is None or known:
            return
        write_probed_front(self.setting)
        self.archive.record_decision("probed", True)

    # the schedule -----------------------------------------------------------------------------------------------

    def make_plan(self) -> Plan:
        """The division of the budget: the recorded one, or a new one where there is none for this budget."""
        budget = self.settings.budget_s
        assert budget is not None
        found = self.archive.decision(f"plan {budget:g}")
        setting = self.setting
        if found is not None:
            choose_threads(setting)
            return Plan(**found)
        costs, probes = measure_costs(setting), probes_of(self.run.directory)
        share = schedule.WARM_UP if setting.prepared else schedule.PREPARATION
        plan = schedule.make_plan(
            budget,
            self.watch.used_s,
            costs,
            val_images=len(setting.val) if probes is None else len(probes.rows),
            views=setting.val.views,
            end_images=len(setting.dataset.splits["test"]) + images_of_a_classifier(setting),
            fewest=setting.fewest,
            preparation=share if self.session.version < 0 else 0.0,
            chosen=self.archive.decision(CHOSEN_IMAGES),
            epoch_s=epoch_s(setting, costs) if setting.reads_published else np.inf,
        )
        self.archive.decide(CHOSEN_IMAGES, lambda: (plan.val_images, plan.views))
        self.archive.record_decision(f"plan {budget:g}", plan.record())
        self.watch.event("plan", budget_s=budget, **plan.record())
        return plan

    def iterations(self) -> Iterator[int]:
        """Numbers of the iterations to do, from the one that is under way."""
        t = self.session.version
        while self.goes_on(t):
            yield t
            t += 1

    def goes_on(self, t: int) -> bool:
        """Whether iteration t takes place: by its number, or by the clock unless it has begun."""
        if self.plan is None:
            assert self.settings.iterations is not None
            return t < self.settings.iterations
        begun = bool(self.archive.members(t + 1)) or self.archive.decision(f"begin {t}") is not None
        if begun or (t == 0 and self.plan.iterations):
            return True
        used_s, ended = self.watch.used_s, f"ended {t} {self.settings.budget_s}"
        if self.archive.decision(ended):
            return False
        on = schedule.remaining_iterations(self.plan, used_s) > 0 and schedule.has_time_to_measure(
            self.plan.final_from - used_s, self.setting.fewest, self.measure_s
        )
        if not on:
            self.archive.record_decision(ended, True)
        return on

    # the steps --------------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Weights version 0, unless it is there."""
        if self.session.version >= 0:
            return
        if self.plan is None:
            assert self.settings.iterations is not None
            assert self.settings.epochs is not None
            epochs = max(1, self.settings.iterations * self.settings.epochs // 4)
            extent = Extent(steps=epochs * self.setting.trainer.batches.per_epoch)
        else:
            seconds = self.archive.decide("prepare", lambda: self.plan.prepare_until - self.watch.used_s)  # type: ignore[union-attr]
            extent = Extent(seconds=max(1.0, seconds), until=self.plan.prepare_until)
        searches = self.plan is None or self.plan.iterations
        prepare(self.session, extent, end=0.0 if searches else self.curve_end)

    def members(self, t: int) -> list[Architecture]:
        """The archive at the start of an iteration; at first another run's best, corners, uniform architectures."""
        members = self.archive.members(t)
        if members:
            return members
        n = schedule.INITIAL if self.plan is None else min(schedule.INITIAL, self.plan.members)
        carried = carried_codes(self.setting, n // 2)
        corners, generator = self.space.corners(), rng.generator(self.setting.seed, "initial archive")
        first = corners[self.problem.allowed(corners)]
        if self.setting.reads_published:
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

    def context(self, version: int) -> Context:
        """Of every error that search and selection use."""
        return Context("error", "default", "val", version)

    def measure(self, t: int, final: bool = False) -> Measured:
        """One pass over the archive under weights version t: all of it, or what the clock allows."""
        members = self.members(t)
        context = self.context(t)
        known = self.archive.measurements(context)
        if self.plan is not None and not final:
            self.archive.decide(f"begin {t}", lambda: self.watch.used_s)
        elif self.plan is not None and self.plan.final_images and not known:
            self.archive.decide(images_of(t), lambda: (self.plan.final_images, self.plan.final_views))  # type: ignore[union-attr]
        self.setting.choose_images(t)

        def tell() -> None:
            self.watch.progress("measure", len(known), len(members))

        with self.watch.phase("measure", iteration=t, version=t):
            wanted = (arch for arch in self.while_time(members, t, final) if arch not in known)
            for measurement in side_by_side(self.measure_one, wanted, self.setting.error.device, tell):
                self.archive.record(context, measurement)
                known[measurement.architecture] = measurement
                tell()
            self.archive.record_decision(f"measured {t}", True)
            if final:
                self.archive.record_decision(self.selected(t), True)
        measured = self.measured(members, context)
        self.close(t, measured, final)
        return measured

    def selected(self, t: int) -> str:
        """The decision that the final pass under weights version t is over: a resumed run selects the same front."""
        return f"selected {t} {self.settings.budget_s}"

    def while_time(self, members: list[Architecture], t: int, final: bool) -> Iterator[Architecture]:
        """The members in order, for as long as there is time to measure one more; none once a front was selected."""
        if final and self.archive.decision(self.selected(t)):
            return
        for number, arch in enumerate(members):
            if number and self.watch.used_s > self.measuring_until(t, number, final):
                return
            yield arch

    def measuring_until(self, t: int, number: int, final: bool) -> float:
        """Second of the run's clock at which the measuring pass t ends, once it has measured a number of members.

        The predictor needs its fewest; the final pass does without.
        """
        if self.plan is None:
            return np.inf
        if final:
            assert self.settings.budget_s is not None
            return schedule.final_until(self.plan, self.settings.budget_s, self.slowness, number)
        if number < self.setting.fewest and not self.archive.decision(f"measured {t}"):
            return self.plan.final_from
        return float(self.archive.decision(f"begin {t}") + self.plan.measuring_s)

    @property
    def slowness(self) -> float:
        """How many times as long as planned a measurement takes by now; at least 1."""
        assert self.plan is not None
        return max(1.0, self.measure_s / self.plan.measure_s)

    @property
    def measure_s(self) -> float:
        """What a measurement takes by now: the median of the last few of this process, or as planned."""
        assert self.plan is not None
        return float(np.median(self.recent_s)) if self.recent_s else self.plan.measure_s

    def measure_one(self, arch: Architecture) -> Measurement:
        """The error of an architecture under the weights of now."""
        start = self.watch.used_s
        result = self.setting.error.measure(np.array([arch.code]))
        value, status = float(result.values[0]), result.status[0]
        seconds = (self.watch.used_s - start) / at_once(self.setting.error.device)
        self.recent_s.append(seconds)
        return Measurement(arch, value, float(result.spread[0]), status, seconds, result.details[0])

    def measured(self, members: list[Architecture], context: Context) -> Measured:
        """Members with a finite error in a context. Raises `UserError` where none has one."""
        error = self.archive.values([context], members)
        finite = np.isfinite(error)
        if not finite.any():
            raise UserError("no network could be measured: see the statuses in archive.sqlite")
        codes, error = self.space.codes(members)[finite], error[finite]
        feasible = self.problem.allowed(codes)
        return Measured(codes, error, objective_values(self.setting, codes, error), feasible)

    def close(self, t: int, measured: Measured, final: bool) -> None:
        """Record what an iteration's measuring pass came to, and tell."""
        values = measured.values[measured.feasible]
        front = int(non_dominated(values).sum()) if len(values) else 0
        facts = {
            "weights_version": t,
            "hypervolume": hypervolume_of(self.setting, values),
            "best_error": float(measured.error[measured.feasible].min()) if front else None,
            "measured": len(measured.codes),
            "networks": front,
        }
        self.archive.close_iteration(t, facts)
        self.watch.event("iteration", iteration=t, final=final, **facts)

    def closes(self, t: int) -> bool:
        """Whether iteration t is the last under a budget; the first one never is."""
        if self.plan is None or t == 0:
            return False
        begin = self.archive.decision(f"begin {t}")
        left = schedule.remaining_iterations(self.plan, begin)
        return bool(self.archive.decide(f"closes {t}", lambda: left <= 1))

    def front(self, measured: Measured) -> list[tuple[Architecture, str]]:
        """Members that no other dominates, and the largest network at every resolution where it was published."""
        codes = measured.codes[measured.feasible]
        codes = codes[non_dominated(measured.values[measured.feasible])]
        codes = unique_rows(np.concatenate([self.wholes(), codes]))
        return [(arch, "survivor") for arch in self.space.architectures(codes)]

    def wholes(self) -> Codes:
        """The largest architecture at every resolution, where it was published; those that meet the requirements."""
        codes = self.space.wholes()
        return codes[self.problem.allowed(codes) & self.setting.reads_published]

    def searched(self, measured: Measured, t: int) -> list[tuple[Architecture, str]]:
        """Survivors, and what the search of this iteration proposes."""
        survivors = self.survive(measured, t)
        return self.merge(survivors, self.search(self.fit(measured, t), t))

    def survive(self, measured: Measured, t: int) -> Codes:
        """Those kept, by reference directions, the front first; all that meet the requirements where they are few."""
        feasible = np.flatnonzero(measured.feasible)
        if self.plan is None:
            keep = schedule.KEPT
        else:
            keep = max(self.setting.fewest, self.capacity(t)) // 2
        chosen = survive(measured.values[feasible], keep, rng.integer(self.setting.seed, "survive", t))
        return measured.codes[feasible[chosen]]

    def capacity(self, t: int) -> int:
        """Members that the next measuring pass has time for, by what the last one took."""
        assert self.plan is not None
        seconds = [m.seconds for m in self.archive.measurements(self.context(t)).values()]
        affordable = int(self.plan.measuring_s / max(1e-3, float(np.mean(seconds))))
        return int(self.archive.decide(f"capacity {t}", lambda: min(schedule.KEPT, affordable)))

    def fit(self, measured: Measured, t: int) -> Guided:
        """The search of this iteration, told what was measured under its weights version."""
        settings, seed = self.settings, rng.integer(self.setting.seed, "search", t)
        with self.watch.phase("fit", iteration=t):
            searcher = make_guided(
                settings.search,
                self.problem,
                seed,
                predictor=settings.predictor,
                known=[self.setting.stage_counts],
                n_initial=0,
                progress=self.watch.progress,
            )
            searcher.tell(measured.codes, measured.values)
            tau = searcher.rank_correlation("error") if "error" in self.problem.measured else np.nan
        pairs = len(measured.codes)
        self.watch.event("predictor", iteration=t, pairs=pairs, rank_correlation=None if np.isnan(tau) else tau)
        return searcher

    def search(self, searcher: Guided, t: int) -> Codes:
        """Candidates: not yet measured, meeting the requirements, those that the predictor promises most of."""
        wanted = schedule.NEW if self.plan is None else max(self.setting.fewest, self.capacity(t)) // 2
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
        start, end, steps, seconds, until = self.archive.decide(f"adapt {t}", lambda: self.adaptation(t))
        draw = partial(self.drawn, p)
        if self.closes(t):
            draw = partial(in_rounds, self.archive.members(t + 1), self.setting.seed)
        trainer = self.setting.trainer
        extent = Extent(steps, seconds, until)
        rate = cosine(start, end, peak_rate(self.settings, self.run.keeps_statistics))
        self.session.train("adapt", t + 1, lambda first: trainer.adaptation_step(draw, first), extent, rate)

    def drawn(self, p: NDArray[np.float64], step: int) -> Architecture:
        """The architecture of a step of an adaptation: from p, or the largest now and then where it was published."""
        generator = rng.generator(self.setting.seed, "whole", step)
        if self.setting.reads_published and generator.random() < WHOLE:
            return self.space.architectures(generator.choice(self.space.wholes(), 1))[0]
        return drawn(self.space, p, self.setting.seed, step)

    def adaptation(self, t: int) -> tuple[float, float, int | None, float | None, float | None]:
        """Of iteration t's adaptation: part of the learning-rate curve, then steps, or seconds and when they end."""
        limit = self.curve_end
        previous = self.archive.decision(f"adapt {t - 1}")
        done = previous[1] if previous and previous[1] < limit else 0.0
        if self.plan is None:
            assert self.settings.iterations is not None
            assert self.settings.epochs is not None
            start, end = schedule.cosine_part(done, self.settings.iterations - t, limit)
            return start, end, self.settings.epochs * self.setting.trainer.batches.per_epoch, None, None
        now = self.watch.used_s
        begin = self.archive.decision(f"begin {t}")
        remaining = 1 if begin is None else schedule.remaining_iterations(self.plan, begin)
        finish = self.plan.final_from if remaining <= 1 else begin + (self.plan.final_from - begin) / remaining
        start, end = schedule.cosine_part(done, remaining, limit)
        return start, end, None, max(1.0, finish - now), finish

    @property
    def curve_end(self) -> float:
        """Where on the learning rate's cosine the iterations end: a budget leaves the rest to the last adaptation."""
        return 1.0 if self.plan is None else schedule.CURVE_END

    def conclude(self) -> None:
        """Measure the archive with the final weights, select its front on validation, adapt to it, read test once."""
        t = self.session.version
        finished = finished_under(self.run.directory)
        if finished is not None and finished[0] == t and (finished[1] or self.learns_no_more):
            forget(self.run.directory)
            return
        measured = self.measure(t, final=True)
        codes, values = measured.codes[measured.feasible], measured.values[measured.feasible]
        if self.plan is None:
            conclude(self.setting, self.session, t, codes, values)
            return
        assert self.settings.budget_s is not None
        until = schedule.testing_until(self.settings.budget_s, self.slowness)
        least_anew_s = schedule.least_anew_s(self.plan, self.settings.budget_s)
        conclude(self.setting, self.session, t, codes, values, until, least_anew_s)

    @property
    def learns_no_more(self) -> bool:
        """Whether no last adaptation follows: there is none without a budget, or what is left is for the test."""
        if self.plan is None:
            return True
        assert self.settings.budget_s is not None
        return self.watch.used_s > self.settings.budget_s - self.plan.end_s


def carried_codes(setting: Setting, n: int) -> Codes:
    """Up to n architectures of the run that seeds the archive, those of its front first, that meet the requirements.

    A resolution that this run does not have becomes the nearest that it has.
    """
    kept, family = setting.run.settings.archive, setting.supernet.family
    if kept is None:
        return np.empty((0, len(family.space)), dtype=np.int64)
    other = Run(source_from(kept, setting.run.directory))
    front = [other.family.space.parse(network.architecture) for network in other.front()]
    with closing(other.archive()) as archive:
        last = max((facts["iteration"] for facts in archive.iterations()), default=0)
        codes = other.family.space.codes([*front, *archive.members(last)])
    sides = np.array(other.family.resolutions)[codes[:, 0]]
    codes[:, 0] = np.abs(sides[:, None] - np.array(family.resolutions)).argmin(axis=1)
    codes = unique_rows(codes)
    return codes[family.space.is_valid(codes) & setting.problem.allowed(codes)][:n]


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


def prepare_only(setting: Setting) -> None:
    """Weights version 0 with all of the budget, and the error of the corners, for `naturalize prepare`."""
    settings, watch = setting.run.settings, setting.watch
    if settings.budget_s is None:
        extent = Extent(steps=(settings.epochs or 1) * setting.trainer.batches.per_epoch)
    else:
        left = max(1.0, 0.95 * settings.budget_s - watch.used_s)
        extent = Extent(seconds=setting.archive.decide("prepare", lambda: left), until=0.95 * settings.budget_s)
    if settings.method == SHRINK:
        shrink(Session(setting, begin=-len(phases_of(setting.supernet.family))), extent)
    else:
        train_by_sandwich(Session(setting), extent)
    smallest, largest = setting.error.measure(setting.supernet.family.space.corners()).values.tolist()
    watch.event("prepared", smallest_error=smallest, largest_error=largest)


def run_transfer(setting: Setting) -> None:
    """`transfer` that leaves a validation front when it is asked to stop.

    Where the budget is spent before anything was trained, the result is the published network's.
    """
    try:
        nat = Transfer(setting)
        if nat.is_over:
            conclude_untrained(setting)
        else:
            transfer(nat)
    except Interrupted:
        write_stopped_front(setting)
        raise
