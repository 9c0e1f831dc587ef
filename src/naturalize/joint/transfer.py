"""Algorithm 1 over several data sets: one archive of architectures, a supernet and a predictor for each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from statistics import median

import numpy as np
from numpy.typing import NDArray

from naturalize import journal
from naturalize.archive import Archive
from naturalize.conclude import write_stopped_front
from naturalize.errors import Interrupted, UserError, command
from naturalize.initial import first_members, wholes
from naturalize.joint.asked import ERRORS
from naturalize.joint.front import Plane, joint_front, joint_rows, mean_hypervolume, write_joint_front
from naturalize.joint.run import JointRun
from naturalize.joint.turns import Turns
from naturalize.nat import Steps, Transfer, transfer
from naturalize.run import Watch, read_front
from naturalize.search import non_dominated
from naturalize.search.problem import Floats, Function
from naturalize.searching import Members, Searching, held_out
from naturalize.selection import Pass, measured, reference_of, with_alone
from naturalize.space import Codes
from naturalize.workbench import Workbench, search_problem


class JointTransfer(Steps):
    """The steps of `nat.transfer` on a joint run. Each data set takes its turn, and goes by its own pace.

    Args:
        run: the joint run.
        archive: of it, open for writing.
        watch: of it.
        turns: clocks of the data sets.
        benches: opened runs of the data sets, by name.
    """

    def __init__(
        self, run: JointRun, archive: Archive, watch: Watch, turns: Turns, benches: Mapping[str, Workbench]
    ) -> None:
        self.run, self.archive, self.watch, self.turns = run, archive, watch, turns
        self.settings, self.space = run.settings, run.space
        self.each: dict[str, Transfer] = {}
        for name, bench in benches.items():
            with self.turn(name):
                self.each[name] = Transfer(bench)
        self.benches = dict(benches)
        names = {name for bench in benches.values() for name in bench.costs}
        every = [bench.costs for bench in benches.values()]
        costs: dict[str, Function] = {name: largest_of(name, every) for name in names}
        self.problem = search_problem(self.settings, self.space, costs)
        first = next(iter(benches.values()))
        self.searching = Searching(self.problem, self.settings, watch, [first.stage_counts], self.wholes())

    @contextmanager
    def turn(self, name: str) -> Iterator[None]:
        """Let a data set work, by its own clock; what came before for all is divided among all."""
        self.turns.share_out()
        with self.turns.of[name].taken():
            yield

    def in_turns(self, work: Callable[[Transfer], object]) -> None:
        """Let every data set do some work."""
        for name, nat in self.each.items():
            with self.turn(name):
                work(nat)
        self.turns.level()

    def wholes(self) -> Codes:
        """Codes of the largest architecture at each resolution, where a data set starts from it as it was published."""
        return max((wholes(bench) for bench in self.benches.values()), key=len)

    def prepare(self) -> None:
        """Prepare each supernet."""
        self.in_turns(lambda nat: nat.prepare())

    def iterations(self) -> Iterator[int]:
        """Numbers of the iterations to do, for as long as every data set has time."""
        t = min(nat.session.version for nat in self.each.values())
        while all(nat.pace.goes_on(t, bool(self.archive.members(t + 1))) for nat in self.each.values()):
            yield t
            t += 1

    def closes(self, t: int) -> bool:
        """Whether iteration t is the last one: where it is for one data set, it is for all."""
        last = any(nat.pace.closes(t) for nat in self.each.values())
        for nat in self.each.values() if last else ():
            nat.archive.record_decision(journal.closes(t), True)
        return last

    def hand_out(self, t: int) -> None:
        """Give the members of iteration t to every data set's archive; the first ones are chosen here."""
        if not self.archive.members(t):
            first = next(iter(self.benches.values()))
            n = min(nat.pace.initial for nat in self.each.values())
            self.archive.set_members(t, first_members(first, n, self.problem))
        for nat in self.each.values():
            if not nat.archive.members(t):
                nat.archive.set_members(t, self.archive.members_with_origins(t))

    def measure(self, t: int, final: bool = False) -> Pass:
        """Measure the archive for every data set. What one had no time for, those after it do not measure."""
        self.hand_out(t)
        passes, left = dict[str, Pass](), None
        for name, nat in self.each.items():
            with self.turn(name):
                passes[name] = nat.measure(t, final, left)
            left = self.space.architectures(passes[name].codes)
        self.turns.level()
        found = self.joined(passes)
        self.close(t, found, final)
        return found

    def joined(self, passes: Mapping[str, Pass]) -> Pass:
        """The architectures that all data sets have measured, with the objectives of all.

        Raises `UserError` where there are none.
        """
        rows = {name: {tuple(code): row for row, code in enumerate(one.codes.tolist())} for name, one in passes.items()}
        first, *others = rows.values()
        common = [code for code in first if all(code in other for other in others)]
        if not common:
            raise UserError("no architecture could be measured on every data set: see the statuses in archive.sqlite")
        codes, columns, plain = np.array(common), dict[str, Floats](), []
        for name, one in passes.items():
            at = [rows[name][code] for code in common]
            plain.append(one.error[at])
            own = self.each[name].settings.objectives
            columns |= {f"{error}@{name}": one.values[at, own.index(error)] for error in ERRORS if error in own}
        values = np.column_stack(
            [columns[name] if name in columns else self.problem.exact[name](codes) for name in self.problem.objectives]
        ).astype(np.float64)
        return Pass(codes, np.mean(plain, axis=0), values, self.problem.allowed(codes))

    @property
    def planes(self) -> list[Plane]:
        """The part of the objectives that each data set's own front is of."""
        names, found = list(self.settings.objectives), []
        count = next(column for column, name in enumerate(names) if "@" not in name)
        largest = 1.05 * float(self.problem.exact[names[count]](np.array([self.run.family.space.largest.code]))[0])
        for name, bench in self.benches.items():
            own = bench.run.settings.objectives
            reference = reference_of(bench)
            error = next(objective for objective in own if objective in ERRORS)
            columns = names.index(f"{error}@{name}"), count
            found.append(Plane(columns, (reference[own.index(error)], largest)))
        return found

    def close(self, t: int, measured: Pass, final: bool) -> None:
        """Record the results of an iteration's measuring pass, and report them."""
        _, values = measured.allowed
        facts = {
            "weights_version": t,
            "hypervolume": mean_hypervolume(self.planes, values) if len(values) else 0.0,
            "best_error": float(measured.error[measured.feasible].min()) if len(values) else None,
            "measured": len(measured.codes),
            "networks": int(non_dominated(values).sum()) if len(values) else 0,
        }
        self.archive.close_iteration(t, facts)
        lowest = values.min(axis=0, initial=np.inf).tolist()
        best = {name: value for name, value in zip(self.problem.objectives, lowest, strict=True) if "@" in name}
        self.watch.event("iteration", iteration=t, final=final, **facts, seconds={}, best=best if len(values) else {})

    def front(self, measured: Pass) -> Members:
        """Non-dominated members, and those that never leave."""
        return self.searching.front(measured)

    def searched(self, measured: Pass, t: int) -> Members:
        """Survivors, and the candidates of this iteration's search, each with its origin."""
        sizes = [nat.next_members(t) for nat in self.each.values()]
        kept, new = (min(size) for size in zip(*sizes, strict=True))
        failed = {arch: None for nat in self.each.values() for arch in nat.archive.failed(nat.run.task_name)}
        with self.watch.phase("fit", iteration=t):
            searcher = self.searching.fit(measured, list(failed), t)
            found = {name: held_out(searcher, name).tau for name in self.problem.measured}
        known = [tau for tau in found.values() if tau is not None]
        middle = median(known) if known else None
        self.watch.event("predictor", iteration=t, pairs=len(measured.codes), rank_correlation=middle, each=found)
        return self.searching.members(searcher, measured, kept, new, t)

    def adapt(self, p: NDArray[np.float64], t: int) -> None:
        """Train each supernet's weights version t + 1 on architectures drawn from the shared p `(d, k)`."""
        self.hand_out(t + 1)
        self.in_turns(lambda nat: nat.adapt(p, t))

    def conclude(self) -> None:
        """Measure the archive with the final weights, choose the front, finish it for each data set, and write it."""
        t = min(nat.session.version for nat in self.each.values())
        self.measure(t, final=True)
        self.finish(t, learns_on=True)

    def end_now(self) -> None:
        """Finish the front of the last weights version that was measured for every data set; nothing more is trained.

        Raises `UserError` where there is none.
        """
        closed = self.archive.iterations()
        if not closed:
            again = command("resume", self.run.directory)
            raise UserError(f"nothing measured yet in {self.run.directory}: let it go on with `{again}`")
        self.finish(closed[-1]["weights_version"], learns_on=False)

    def finish(self, t: int, learns_on: bool) -> None:
        """Finish the joint front of a weights version for each data set, and write it.

        Networks that stand by themselves compete where every data set has them: as published, at one resolution.
        """
        benches = self.benches.items()
        passes = {name: with_alone(bench, t, measured(bench, t), learns_on) for name, bench in benches}
        found = self.joined(passes)
        codes, values = found.allowed
        rows = joint_rows(self.planes, values)
        archs = self.run.family.space.strings(codes[rows])
        self.in_turns(lambda nat: nat.conclude_shared(t, codes[rows], learns_on))
        facts = {
            "supernet": self.settings.supernet,
            "requirements": list(self.settings.requirements),
            "sets": {name: self.facts(bench) for name, bench in self.benches.items()},
            "hypervolume": [
                {name: fact[name] for name in ("iteration", "weights_version", "hypervolume", "networks")}
                for fact in self.archive.iterations()
            ],
        }
        fronts = {name: read_front(bench.run.directory) for name, bench in self.benches.items()}
        front = joint_front(fronts, archs, self.settings.objectives, facts)
        write_joint_front(self.run.directory, front)
        self.watch.event("finished", version=t, networks=len(front["networks"]), verdict=front["notes"])

    def facts(self, bench: Workbench) -> dict[str, object]:
        """What front.json says of a data set."""
        return {"data": bench.dataset.name, "kind": bench.run.kind, "classes": len(bench.run.class_names)}


def largest_of(name: str, counts: Sequence[Mapping[str, Function]]) -> Function:
    """A count of architectures, with the head for which it is largest.

    Args:
        name: of the count.
        counts: functions by name, of each data set.
    """

    def largest(codes: Codes) -> Floats:
        return np.max([exact[name](codes) for exact in counts], axis=0)

    return largest


def run_joint_transfer(nat: JointTransfer) -> None:
    """Run `transfer` over several data sets; each keeps a validation front where it is asked to stop."""
    try:
        transfer(nat)
    except Interrupted:
        for bench in nat.benches.values():
            write_stopped_front(bench)
        raise
