"""The study of which predictor ranks unseen architectures best, after how many measurements (an ablation of NAT)."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from statistics import mean, median
from typing import Any

import numpy as np
from scipy.stats import kendalltau, spearmanr

from naturalize.errors import UserError
from naturalize.predictor import PREDICTORS, Counts, make
from naturalize.search.problem import Floats
from naturalize.space import Codes, SearchSpace
from naturalize.study.study import Cell, Figure, Row, Study, Table, curves, mean_and_spread

SIZES = (50, 100, 150, 200, 250, 300)
TESTED = 50  # rows that every size is tested on, at least: those that come last
PAPER = "rbf-ensemble"


@dataclass(frozen=True)
class Pairs:
    """Measured architectures of one data set.

    Attributes:
        error: of each architecture in any unit, `(n,)`.
        known: functions for known numbers of an architecture.
        measure_s: seconds that measuring one of them took; None where that is unknown.
    """

    name: str
    space: SearchSpace
    codes: Codes
    error: Floats
    known: Sequence[Counts] = ()
    measure_s: float | None = None


def rank(correlation: Callable[..., Any], predicted: Floats, error: Floats) -> float:
    """A rank correlation; 0 where the predictions or the errors are all the same."""
    constant = np.ptp(predicted) == 0 or np.ptp(error) == 0
    return 0.0 if constant else float(correlation(predicted, error).statistic)


def predictors_study(every: Sequence[Pairs], seeds: Sequence[int], names: Sequence[str] = tuple(PREDICTORS)) -> Study:
    """A cell for each set of pairs, predictor and seed.

    A seed permutes the rows; predictors train on the first ones and are tested on the last ones, so all sizes are
    tested on the same rows: the paper's protocol, 300 and 50 of 350, and all the rest where there are more.

    Args:
        every: sets of pairs.
        seeds: of permutations and predictors.
        names: of predictors.
    """
    for pairs in every:
        if len(pairs.codes) < SIZES[0] + TESTED:
            raise UserError(
                f"{pairs.name} has {len(pairs.codes)} measured architectures, and {SIZES[0] + TESTED} are needed: "
                f"{SIZES[0]} to learn from, {TESTED} to judge by"
            )
    by_name = {pairs.name: pairs for pairs in every}
    cells = [
        {"data": data, "of": len(pairs.codes), "predictor": name, "seed": seed}
        for (data, pairs), name, seed in product(by_name.items(), names, seeds)
    ]

    def measure(cell: Cell) -> list[Row]:
        pairs = by_name[cell["data"]]
        order = np.random.default_rng(cell["seed"]).permutation(len(pairs.codes))
        sizes = [size for size in SIZES if size + TESTED <= len(order)]
        test = order[max(sizes) :]
        rows: list[Row] = []
        for size in sizes:
            train = order[:size]
            predictor = make(cell["predictor"], pairs.space, cell["seed"], pairs.known)
            start = time.perf_counter()
            predictor.fit(pairs.codes[train], pairs.error[train])
            fitted = time.perf_counter()
            predicted = predictor.predict(pairs.codes[test])
            predict_s = time.perf_counter() - fitted
            rows.append(
                {
                    "pairs": size,
                    "kendall": rank(kendalltau, predicted, pairs.error[test]),
                    "spearman": rank(spearmanr, predicted, pairs.error[test]),
                    "fit_s": fitted - start,
                    "predict_s": predict_s / len(test),
                    "measure_s": pairs.measure_s,
                }
            )
        return rows

    def figures(rows: Sequence[Row]) -> list[Figure]:
        return [
            curves(
                [row for row in rows if row["data"] == data], "pairs", "kendall", "predictor", data,
                x_title="measured architectures", y_title="Kendall's tau",
            )
            for data in by_name
        ]  # fmt: skip

    def tables(rows: Sequence[Row]) -> list[Table]:
        sizes = sorted({row["pairs"] for row in rows})
        by_size = ["predictor", *(f"{size} pairs" for size in sizes)]
        found = [
            Table(
                f"Kendall's tau on {data}, mean (standard deviation) over seeds",
                by_size,
                [[name, *(mean_and_spread(taus(rows, name, size, data)) for size in sizes)] for name in names],
            )
            for data in by_name
        ]
        if len(by_name) > 1:
            lines = [
                [name, *(mean_and_spread(mean(taus(rows, name, size, data)) for data in by_name) for size in sizes)]
                for name in names
            ]
            found.append(Table("Kendall's tau, mean (standard deviation) over sets of data", by_size, lines))
        seconds = []
        for name in names:
            own = [row for row in rows if row["predictor"] == name and row["pairs"] == sizes[-1]]
            fit, predict = (median(row[key] for row in own) for key in ("fit_s", "predict_s"))
            seconds.append([name, f"{fit:.3f}", f"{1e6 * predict:.0f}"])
        columns = ["predictor", "fit, seconds", "predict one, microseconds"]
        return [*found, Table(f"Time with {sizes[-1]} pairs, median", columns, seconds)]

    def conclude(rows: Sequence[Row]) -> str:
        size = min({row["pairs"] for row in rows}, key=lambda n: abs(n - 100))
        averages = {name: [mean(taus(rows, name, size, data)) for data in by_name] for name in names}
        best = max(averages, key=lambda name: mean(averages[name]))
        text = f"After {size} measurements {best} ranks best: Kendall's tau {mean(averages[best]):.3f}"
        if len(by_name) > 1:
            least = {name: min(values) for name, values in averages.items()}
            steadiest = max(least, key=lambda name: least[name])
            text += f" on average over {len(by_name)} sets of data, {least[best]:.3f} on the hardest"
            if steadiest != best:
                text += f" (where {steadiest} has {least[steadiest]:.3f})"
        if PAPER in averages and best != PAPER:
            text += f". The paper's ensemble has {mean(averages[PAPER]):.3f}"
        timed = [row for row in rows if row["predictor"] == best and row["measure_s"] is not None]
        if timed:
            measure_s, predict_s = (median(row[key] for row in timed) for key in ("measure_s", "predict_s"))
            text += f". Measuring a network takes {measure_s:.2g} s, predicting it {1e6 * predict_s:.0f} microseconds"
        return text + "."

    question = "Which predictor ranks unseen architectures best, after how many measurements?"
    return Study("predictors", question, cells, measure, figures, tables, conclude)


def taus(rows: Sequence[Row], predictor: str, size: int, data: str) -> list[float]:
    """Kendall's tau of each seed, from the rows of one predictor, number of pairs and data set."""
    wanted = {"predictor": predictor, "pairs": size, "data": data}
    return [row["kendall"] for row in rows if row.items() >= wanted.items()]
