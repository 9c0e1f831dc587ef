"""The study of what to adapt: the supernet, and to which subnets, or each subnet by itself (an ablation of NAT)."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import closing
from itertools import product
from pathlib import Path
from statistics import mean

import numpy as np
from numpy.typing import NDArray

from naturalize import nat, rng
from naturalize.drawing import distribution
from naturalize.finetuning import errors_of, trained
from naturalize.lifecycle import work
from naturalize.nat import Transfer
from naturalize.objectives import ERROR
from naturalize.options import make_settings
from naturalize.run import Run
from naturalize.run.watch import Listener
from naturalize.search import make_searcher, non_dominated, survive
from naturalize.selection import hypervolume_of, objective_values
from naturalize.space import Architecture, SearchSpace
from naturalize.study.study import HUES, Cell, Figure, Row, Study, Table, mean_and_spread
from naturalize.supernet import Subnet
from naturalize.training.adapt import Extent
from naturalize.workbench import NO_VERSION, Workbench

WAYS = {
    "supernet": "the supernet's weights, drawn as the archive's architectures are (NAT)",
    "uniform": "the supernet's weights, drawn uniformly",
    "subnets": "each subnet by itself, cut from the same weights",
}
EPOCHS = 2  # of training for a subnet before it is measured, where there is time
TRIED = 16  # subnets that are tried, at least
LONG = 0.4  # share of the time left after preparation, for the front's subnets
CHOSEN = 8  # subnets that are trained for longer
SAMPLE = 20_000  # architectures that the uniform distribution is estimated from
REST = 0.05  # share of the budget after the last training


def adaptation_study(
    data: Sequence[str],
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
        data: names or paths of data sets.
        out: directory for the runs.
        budget: of each run, as `"5m"`.
        supernet: as of `api.transfer`.
        seeds: of the runs.
        listeners: of the events of every run.
    """
    cells = [
        {"data": name, "budget": budget, "way": way, "seed": seed} for name, way, seed in product(data, WAYS, seeds)
    ]

    def measure(cell: Cell) -> list[Row]:
        directory = out / "-".join([Path(cell["data"]).stem, budget, cell["way"], str(cell["seed"])])
        if cell["way"] == "subnets" and directory.exists():  # it cannot go on where it was
            shutil.rmtree(directory)
        do = {"supernet": None, "uniform": uniform_transfer, "subnets": subnets_alone}[cell["way"]]
        settings = make_settings(cell["data"], budget, None, None, supernet=supernet, seed=cell["seed"])
        run = work(cell["data"], directory, settings, listeners, None, do=do)
        return [outcome(run)]

    def figures(rows: Sequence[Row]) -> list[Figure]:
        return [
            {
                "caption": f"{name}: hypervolume of each seed",
                "data": [
                    {
                        "type": "scatter", "mode": "markers", "name": way, "marker": {"color": hue, "size": 10},
                        "x": values(rows, name, way, "hypervolume"), "y": [way] * len(seeds), "showlegend": False,
                    }
                    for way, hue in zip(WAYS, HUES, strict=False)
                ],
                "layout": {"xaxis": {"title": {"text": "hypervolume on validation"}}, "height": 200},
            }
            for name in data
        ]  # fmt: skip

    def tables(rows: Sequence[Row]) -> list[Table]:
        columns = [
            "what is adapted",
            "hypervolume",
            "lowest error, percent",
            "measured networks",
            "networks of the front",
        ]
        return [
            Table(
                f"{name}, {budget}: mean (standard deviation) over seeds",
                columns,
                [
                    [
                        WAYS[way],
                        mean_and_spread(values(rows, name, way, "hypervolume")),
                        mean_and_spread(values(rows, name, way, "best_error"), 1),
                        *(mean_and_spread(values(rows, name, way, key), 0) for key in ("measured", "networks")),
                    ]
                    for way in WAYS
                ],
            )
            for name in data
        ]

    def conclude(rows: Sequence[Row]) -> str:
        sentences = []
        for name in data:
            found = {way: mean(values(rows, name, way, "hypervolume")) for way in WAYS}
            told = ", ".join(f"{way} {value:.3f}" for way, value in found.items())
            best = max(found, key=lambda way: found[way])
            sentences.append(f"On {name}, with {budget}, adapting {WAYS[best]} is best: hypervolume {told}")
        return ". ".join(sentences) + "."

    question = "What should be adapted: the supernet, or each subnet by itself?"
    return Study("adaptation", question, cells, measure, figures, tables, conclude)


def values(rows: Sequence[Row], data: str, way: str, key: str) -> list[float]:
    """The values under `key` of the rows of one data set and way, one for each seed."""
    return [row[key] for row in rows if (row["data"], row["way"]) == (data, way)]


def outcome(run: Run) -> Row:
    """The results of a run's last front on validation."""
    with closing(run.archive()) as archive:
        closed, used_s = archive.iterations(), archive.used_s
    facts = {key: closed[-1][key] for key in ("hypervolume", "best_error", "networks")}
    return {**facts, "measured": sum(entry["measured"] for entry in closed), "used_s": used_s}


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
    steps, watch, space = Transfer(bench), bench.watch, bench.supernet.family.space
    steps.prepare()
    budget_s = bench.run.settings.budget_s
    assert budget_s is not None
    until = (1 - REST) * budget_s
    searching_until = until - LONG * (until - watch.used_s)
    searcher = make_searcher("auto", bench.problem, rng.integer(bench.seed, "search", 0), known=[bench.stage_counts])
    seconds = max(0.0, searching_until - watch.used_s) / TRIED
    short = Extent(steps=EPOCHS * bench.trainer.batches.per_epoch, seconds=seconds)
    found: dict[Architecture, tuple[Subnet, float]] = {}
    while watch.used_s < searching_until:
        codes = searcher.ask(1)
        for arch in space.architectures(codes):
            found[arch] = trained_and_measured(bench, bench.subnets.of(arch), arch, short)
            searcher.tell(codes, objective_values(bench, NO_VERSION, codes, {ERROR: np.array([found[arch][1]])}))
    archs = list(found)
    errors = {ERROR: np.array([found[arch][1] for arch in archs])}
    objectives = objective_values(bench, NO_VERSION, space.codes(archs), errors)
    chosen = survive(objectives, min(CHOSEN, int(non_dominated(objectives).sum())), bench.seed)
    for number, row in enumerate(chosen):
        long = Extent(seconds=max(1.0, (until - watch.used_s) / (len(chosen) - number)))
        subnet, before = found[archs[row]]
        after = trained_and_measured(bench, subnet, archs[row], long)
        found[archs[row]] = after if after[1] < before else (subnet, before)
    error = np.array([found[arch][1] for arch in archs])
    objectives = objective_values(bench, NO_VERSION, space.codes(archs), {ERROR: error})
    bench.archive.close_iteration(
        0,
        {
            "hypervolume": hypervolume_of(bench, objectives),
            "best_error": float(error.min()),
            "measured": len(archs),
            "networks": int(non_dominated(objectives).sum()),
        },
    )


def trained_and_measured(bench: Workbench, subnet: Subnet, arch: Architecture, extent: Extent) -> tuple[Subnet, float]:
    """The subnet of an architecture after a training by itself over an extent, and its validation error in percent."""
    subnet = trained(bench, subnet, arch, extent)
    return subnet, errors_of(bench, subnet, arch)[0]
