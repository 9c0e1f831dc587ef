"""The study of what to adapt: the supernet, and to which subnets, or networks by themselves (an ablation of NAT)."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from naturalize import nat, rng
from naturalize.drawing import distribution
from naturalize.finetuning import errors_of, trained
from naturalize.lifecycle import work
from naturalize.machine import choose_threads
from naturalize.nat import Transfer
from naturalize.objectives import ERROR
from naturalize.options import make_settings
from naturalize.pace import ByClock
from naturalize.preparing import WARM_UP_SHARE, peak_rate, start
from naturalize.run.watch import Listener
from naturalize.search import make_searcher, non_dominated, survive
from naturalize.selection import hypervolume_of, objective_values, reference_of
from naturalize.session import Session
from naturalize.soft_targets import learn_from_soft_targets
from naturalize.space import Architecture, SearchSpace
from naturalize.study.study import Cell, Row, Study
from naturalize.study.ways import REFERENCE, cells_of, directory_of, outcome, ways_study
from naturalize.supernet import Subnet
from naturalize.training.adapt import Extent, cosine, warm_up
from naturalize.whole import tune
from naturalize.workbench import NO_VERSION, Workbench

WAYS = {
    "supernet": "the supernet's weights, drawn as the archive's architectures are (NAT)",
    "uniform": "the supernet's weights, drawn uniformly",
    "subnets": "each subnet that is tried, by itself, cut from the same weights",
    "front-alone": "the networks of a front, each by itself, in the time that adaptation has",
    "one-network": "the largest network alone, read at every resolution",
}
EPOCHS = 2  # of training for a subnet before it is measured, where there is time
TRIED = 16  # subnets that are tried, at least
LONG = 0.4  # share of the time left after preparation, for the front's subnets
CHOSEN = 8  # networks that are trained for longer
ASKED = 10  # architectures that a search proposes at once where measuring takes no training
SAMPLE = 20_000  # architectures that the uniform distribution is estimated from
REST = 0.05  # share of the budget after the last training


def adaptation_study(
    sets: Mapping[str, str],
    out: Path,
    budget: str,
    supernet: str | None,
    seeds: Sequence[int],
    listeners: Sequence[Listener] = (),
) -> Study:
    """A cell for each data set, way and seed; all from the same weights, with the same time on the same machine.

    Hypervolume is that of the front on validation. Only what is adapted to which architectures differs: preparation and
    settings are those of a transfer.

    Args:
        sets: names or paths of data sets, by name.
        out: directory for the runs.
        budget: of each run, as `"5m"`.
        supernet: as of `api.transfer`.
        seeds: of the runs.
        listeners: of the events of every run.
    """

    def measure(cell: Cell) -> list[Row]:
        directory, source, way = directory_of(cell, out), sets[cell["data"]], cell["way"]
        if way in ALONE and directory.exists():  # it cannot go on where it was
            shutil.rmtree(directory)
        do = {"supernet": None, "uniform": uniform_transfer, **ALONE}[way]
        settings = make_settings(source, budget, None, None, supernet=supernet, seed=cell["seed"])
        return [outcome(work(source, directory, settings, listeners, None, do=do))]

    question = "What should be adapted: the supernet, or networks by themselves?"
    cells = cells_of(list(sets), budget, list(WAYS), seeds)
    return ways_study("adaptation", question, WAYS, list(sets), budget, cells, measure)


# ways ----------------------------------------------------------------------------------------------------------------


class UniformTransfer(Transfer):
    """A transfer that adapts to uniformly drawn architectures, whatever the archive holds."""

    def adapt(self, p: NDArray[np.float64], t: int) -> None:
        """Train weights version t + 1 on uniformly drawn architectures, whatever p is."""
        super().adapt(uniform_distribution(self.space), t)


def uniform_distribution(space: SearchSpace) -> NDArray[np.float64]:
    """Shares as of `drawing.distribution` that make all architectures equally likely, but for a sample's error."""
    return distribution(space, space.sample(SAMPLE, rng.generator(0, "uniform distribution")))


def uniform_transfer(bench: Workbench) -> None:
    """Run a transfer that adapts to uniform draws."""
    nat.transfer(UniformTransfer(bench))


def subnets_alone(bench: Workbench) -> None:
    """Train each subnet that a search asks for, for a few epochs, and measure it; then train the front's for longer."""
    Transfer(bench).prepare()
    ends_s, subnets = search_ends(bench), dict[Architecture, Subnet]()
    seconds = max(0.0, ends_s - bench.watch.used_s) / TRIED
    short = Extent(steps=EPOCHS * bench.trainer.batches.per_epoch, seconds=seconds)

    def tried(arch: Architecture) -> float:
        subnets[arch], error = trained_and_measured(bench, bench.subnets.of(arch), arch, short)
        return error

    found = searched(bench, tried, ends_s, at_once=1)
    train_front(bench, found, lambda arch: subnets[arch])


def front_alone(bench: Workbench) -> None:
    """Search the prepared supernet for as long as a transfer searches, then train the front's networks by themselves.

    They have all the time that a transfer adapts the supernet in, its last adaptation and its test included, in equal
    shares, and a late run leaves them `LONG`. Since the supernet does not change, no network is measured twice.
    """
    steps = Transfer(bench)
    steps.prepare()
    assert isinstance(steps.pace, ByClock), "a study has a budget"
    bench.choose_images(NO_VERSION)
    plan = steps.pace.plan
    ends_s = min(search_ends(bench), bench.watch.used_s + max(1, plan.iterations) * plan.measuring_s)

    def tried(arch: Architecture) -> float:
        return float(bench.error.measure(np.array([arch.code])).values[0])

    train_front(bench, searched(bench, tried, ends_s, ASKED), bench.subnets.of)


def one_network(bench: Workbench) -> None:
    """Train the largest network alone for the whole budget, at all resolutions by turns, and read it at each."""
    learn_from_soft_targets(bench)
    choose_threads(bench)
    space, used_s = bench.space, bench.watch.used_s
    archs = space.architectures(space.wholes())
    extent = Extent(seconds=max(1.0, until(bench) - used_s), until=until(bench))
    if bench.starts_whole:
        tune(bench, extent)
    else:
        start(bench)
        rate = warm_up(cosine(0.0, 1.0, peak_rate(bench.run.settings, bench.run.keeps_statistics)), WARM_UP_SHARE)

        def draw(step: int) -> Architecture:
            return archs[rng.generator(bench.seed, "one network", step).integers(len(archs))]

        session = Session(bench)
        session.train("prepare", 0, lambda first: bench.trainer.adaptation_step(draw, first), extent, rate)
    errors = bench.error.measure(space.codes(archs)).values.tolist()
    close(bench, dict(zip(archs, errors, strict=True)))


ALONE: dict[str, Callable[[Workbench], None]] = {
    "subnets": subnets_alone,
    "front-alone": front_alone,
    "one-network": one_network,
}


def until(bench: Workbench) -> float:
    """Second of the run's clock at which the last training ends."""
    budget_s = bench.run.settings.budget_s
    assert budget_s is not None, "a study has a budget"
    return (1 - REST) * budget_s


def search_ends(bench: Workbench) -> float:
    """Second of the run's clock at which a search that begins now ends at the latest."""
    return until(bench) - LONG * (until(bench) - bench.watch.used_s)


def searched(
    bench: Workbench, measure: Callable[[Architecture], float], ends_s: float, at_once: int
) -> dict[Architecture, float]:
    """Errors in percent of the architectures that a search asks for; one round of it at least.

    Args:
        bench: of the run.
        measure: error of an architecture's network.
        ends_s: second of the run's clock.
        at_once: architectures of a round.
    """
    searcher = make_searcher("auto", bench.problem, rng.integer(bench.seed, "search", 0), known=[bench.stage_counts])
    found: dict[Architecture, float] = {}
    while not found or bench.watch.used_s < ends_s:
        codes = searcher.ask(at_once)
        asked = bench.space.architectures(codes)
        for number, arch in enumerate(asked):
            bench.watch.progress("measure", number, len(asked))
            found[arch] = measure(arch)
        searcher.tell(codes, objectives_of(bench, {arch: found[arch] for arch in asked}))
    return found


def train_front(bench: Workbench, errors: dict[Architecture, float], network: Callable[[Architecture], Subnet]) -> None:
    """Train networks of a front, each by itself for an equal share of the time left, and close the run.

    A network that is worse on validation than before stays as it was.

    Args:
        bench: of the run.
        errors: in percent, by architecture.
        network: of an architecture, as it was measured.
    """
    objectives, archs = objectives_of(bench, errors), list(errors)
    chosen = survive(objectives, min(CHOSEN, int(non_dominated(objectives).sum())), bench.seed)
    for number, row in enumerate(chosen):
        arch, left_s = archs[row], until(bench) - bench.watch.used_s
        long = Extent(seconds=max(1.0, left_s / (len(chosen) - number)))
        _, error = trained_and_measured(bench, network(arch), arch, long)
        errors[arch] = min(error, errors[arch])
    close(bench, errors)


def trained_and_measured(bench: Workbench, subnet: Subnet, arch: Architecture, extent: Extent) -> tuple[Subnet, float]:
    """The subnet of an architecture after a training by itself over an extent, and its validation error in percent."""
    subnet = trained(bench, subnet, arch, extent)
    return subnet, errors_of(bench, subnet, arch)[0]


def objectives_of(bench: Workbench, errors: Mapping[Architecture, float]) -> NDArray[np.float64]:
    """Objectives of architectures with these errors in percent, in the run's order, `(n, m)`."""
    codes = bench.space.codes(list(errors))
    return objective_values(bench, NO_VERSION, codes, {ERROR: np.array(list(errors.values()))})


def close(bench: Workbench, errors: Mapping[Architecture, float]) -> None:
    """Record networks with these errors in percent as the only pass of a run."""
    objectives = objectives_of(bench, errors)
    bench.archive.close_iteration(
        0,
        {
            "hypervolume": hypervolume_of(bench, objectives),
            "best_error": float(min(errors.values())),
            "measured": len(errors),
            "networks": int(non_dominated(objectives).sum()),
            REFERENCE: reference_of(bench),
        },
    )
