"""The studies of searches: what each reaches after how many evaluations, and what settings of its operators change."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import product
from statistics import mean, median
from typing import Any

import numpy as np

from naturalize.search import BASELINES, METHODS, Variation
from naturalize.search.baselines import Genetic
from naturalize.search.methods import MakeSearcher
from naturalize.study.study import Cell, Figure, Row, Study, Table, curves, mean_and_spread
from naturalize.study.truths import Truth

POINTS = 50  # of a curve, about
CROSSOVERS = (0.2, 0.5, 0.9, 1.0)
MUTATIONS = (0.02, 0.05, 0.1, 0.2)
ETAS = (1.0, 3.0, 20.0)


def search_study(
    truths: Mapping[str, Truth],
    seeds: Sequence[int],
    evaluations: int,
    methods: Sequence[str] = METHODS,
    costs: Sequence[Table] = (),
) -> Study:
    """A cell for each truth, method and seed.

    Args:
        truths: by name.
        seeds: of the searches.
        evaluations: of each search.
        methods: names of `search.METHODS`.
        costs: further tables for the page.
    """
    cells = [
        {"truth": name, "evaluations": evaluations, "method": method, "seed": seed}
        for name, method, seed in product(truths, methods, seeds)
    ]

    def measure(cell: Cell) -> list[Row]:
        return searched(truths[cell["truth"]], evaluations, cell["method"], cell["seed"])

    def figures(rows: Sequence[Row]) -> list[Figure]:
        return [
            curves(
                [row for row in rows if row["truth"] == name], "after", "hypervolume", "method", name,
                x_title="evaluations", y_title=hypervolume_title(truth), best=None if truth.best is None else 1.0,
            )
            for name, truth in truths.items()
        ]  # fmt: skip

    def tables(rows: Sequence[Row]) -> list[Table]:
        found = []
        for name, truth in truths.items():
            ends = at_end(rows, name, methods)
            rival = best_baseline(ends)
            columns = ["search", hypervolume_title(truth), "seconds in all"]
            lines = []
            for method in sorted(methods, key=lambda m: -mean(ends[m])):
                seconds = mean(r["seconds"] for r in rows if r["truth"] == name and r["method"] == method)
                line = [method, mean_and_spread(ends[method]), f"{seconds:.1f}"]
                if rival is not None:
                    after = needed(rows, name, method, mean(ends[rival]))
                    line.append(f"{after:g}" if np.isfinite(after) else "–")
                lines.append(line)
            if rival is not None:
                columns.append(f"evaluations for what {rival} has in the end")
            found.append(Table(f"{name}, after {evaluations} evaluations", columns, lines))
        return [*found, *costs]

    def conclude(rows: Sequence[Row]) -> str:
        sentences = []
        for name in truths:
            ends = at_end(rows, name, methods)
            best = max(methods, key=lambda m: mean(ends[m]))
            rival = best_baseline(ends)
            text = f"On {name}, after {evaluations} evaluations, {best} has the most: {mean(ends[best]):.3f}"
            if rival is not None and rival != best:
                text += f"; what {rival}, the best without a predictor, has in the end ({mean(ends[rival]):.3f})"
                text += f" it has after {needed(rows, name, best, mean(ends[rival])):g}"
            sentences.append(text)
        return ". ".join(sentences) + "."

    question = "How much does each search find, after how many evaluations?"
    return Study("search", question, cells, measure, figures, tables, conclude)


def operators_study(truths: Mapping[str, Truth], seeds: Sequence[int], evaluations: int) -> Study:
    """NSGA-III without a predictor, under each crossover probability, mutation probability and index.

    Args:
        truths, seeds, evaluations: as of `search_study`.
    """
    grid = [
        {"crossover": crossover, "mutation": mutation, "eta": eta}
        for crossover, mutation, eta in product(CROSSOVERS, MUTATIONS, ETAS)
    ]
    cells = [
        {"truth": name, "evaluations": evaluations, **place, "seed": seed}
        for name, place, seed in product(truths, grid, seeds)
    ]

    def measure(cell: Cell) -> list[Row]:
        variation = Variation(cell["crossover"], cell["mutation"], cell["eta"])
        method = partial(Genetic, many_objectives=True, variation=variation)
        (*_, last) = searched(truths[cell["truth"]], evaluations, method, cell["seed"])
        return [last]

    def mean_of(rows: Sequence[Row], **wanted: Any) -> float:
        return mean(row["hypervolume"] for row in rows if row.items() >= wanted.items())

    def figures(rows: Sequence[Row]) -> list[Figure]:
        return [
            {
                "caption": f"{name}: crossover probability {crossover:g}",
                "data": [
                    {
                        "type": "heatmap",
                        "x": [f"{mutation:g}" for mutation in MUTATIONS],
                        "y": [f"{eta:g}" for eta in ETAS],
                        "z": [
                            [mean_of(rows, truth=name, crossover=crossover, mutation=m, eta=eta) for m in MUTATIONS]
                            for eta in ETAS
                        ],
                        "texttemplate": "%{z:.3f}",
                        "colorscale": "Viridis",
                        "zmin": min(row["hypervolume"] for row in rows if row["truth"] == name),
                        "zmax": max(row["hypervolume"] for row in rows if row["truth"] == name),
                    }
                ],
                "layout": {
                    "xaxis": {"title": {"text": "mutation probability of each variable"}, "type": "category"},
                    "yaxis": {"title": {"text": "mutation index (eta)"}, "type": "category"},
                    "height": 260,
                },
            }
            for name in truths
            for crossover in CROSSOVERS
        ]

    def tables(rows: Sequence[Row]) -> list[Table]:
        columns = ["setting", *truths]
        return [
            Table(
                f"{title}, all else averaged",
                columns,
                [
                    [f"{value:g}", *(f"{mean_of(rows, truth=name, **{key: value}):.3f}" for name in truths)]
                    for value in values
                ],
            )
            for key, title, values in (
                ("crossover", "Crossover probability", CROSSOVERS),
                ("mutation", "Mutation probability of each variable", MUTATIONS),
                ("eta", "Mutation index", ETAS),
            )
        ]

    def conclude(rows: Sequence[Row]) -> str:
        sentences = []
        for name in truths:
            ranked = sorted(grid, key=lambda place: -mean_of(rows, truth=name, **place))
            best, *_, worst = ranked
            sentences.append(
                f"On {name}, after {evaluations} evaluations, {in_words(best)} has "
                f"{mean_of(rows, truth=name, **best):.3f}, {in_words(worst)} {mean_of(rows, truth=name, **worst):.3f}"
            )
        return ". ".join(sentences) + "."

    question = "What do crossover and mutation change?"
    return Study("operators", question, cells, measure, figures, tables, conclude)


def in_words(place: Mapping[str, float]) -> str:
    """A place of the grid in words."""
    return f"crossover {place['crossover']:g} with mutation {place['mutation']:g} (eta {place['eta']:g})"


def searched(truth: Truth, evaluations: int, method: str | MakeSearcher, seed: int) -> list[Row]:
    """Hypervolume after some of the evaluations, the last among them; seconds of the whole search.

    Args:
        truth: to search.
        evaluations, method, seed: as of `search.search`.
    """
    start = time.perf_counter()
    reached = truth.shares(truth.search(evaluations, method=method, seed=seed))
    seconds = time.perf_counter() - start
    step = max(1, len(reached) // POINTS)
    return [
        {"after": n, "hypervolume": float(reached[n - 1]), "seconds": seconds}
        for n in sorted({*range(step, len(reached) + 1, step), len(reached)})
    ]


def hypervolume_title(truth: Truth) -> str:
    """The title of the hypervolume, which is a share of the best one where that is known."""
    return "hypervolume" if truth.best is None else "share of the best hypervolume known"


def at_end(rows: Sequence[Row], truth: str, methods: Sequence[str]) -> dict[str, list[float]]:
    """The last hypervolume of each seed by method, from the rows of one truth."""
    ends: dict[str, dict[int, float]] = {method: {} for method in methods}
    for row in rows:
        if row["truth"] == truth:
            ends[row["method"]][row["seed"]] = row["hypervolume"]
    return {method: list(found.values()) for method, found in ends.items()}


def best_baseline(ends: Mapping[str, Sequence[float]]) -> str | None:
    """The method without a predictor that has the most in the end."""
    return max((method for method in ends if method in BASELINES), key=lambda m: mean(ends[m]), default=None)


def needed(rows: Sequence[Row], truth: str, method: str, level: float) -> float:
    """Median evaluations after which a method reaches a level, from the rows of one truth; infinite for never."""
    first: dict[int, float] = {}
    for row in rows:
        if (row["truth"], row["method"]) == (truth, method):
            first.setdefault(row["seed"], np.inf)
            if row["hypervolume"] >= level:
                first[row["seed"]] = min(first[row["seed"]], row["after"])
    return median(first.values())
