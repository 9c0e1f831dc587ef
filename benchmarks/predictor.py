"""The RBF ensemble, how fast, against its members one by one; how well each predictor ranks real ImageNet accuracies.

    python benchmarks/predictor.py

Prints two tables and writes results/predictor.json. The second needs ../shared/data/ofa-mbv3-w1.0-imagenet.csv,
measured accuracies of OFA subnets (IntelLabs DyNAS-T), and is left out without it. Protocol: for seed s the permutation
of `numpy.random.default_rng(s)`; training rows are its first n, test rows those after the first 400; 20 seeds.
"""

import argparse
import csv
import json
import os
import platform
from collections.abc import Callable
from pathlib import Path
from statistics import mean, median, stdev

import numpy as np
from common import seconds
from numpy.typing import NDArray
from scipy.interpolate import RBFInterpolator
from scipy.stats import kendalltau

from naturalize.objectives.exact import stage_counts
from naturalize.predictor import PREDICTORS, make
from naturalize.predictor.rbf import RBFEnsemble
from naturalize.supernet import make_family
from naturalize.tasks import Classification

HERE = Path(__file__).parent
ACCURACIES = HERE.parents[1] / "shared" / "data" / "ofa-mbv3-w1.0-imagenet.csv"

REPEATS = 5
SEEDS = 20
TRAINING_SIZES = (50, 100, 300)
FIRST_TEST_ROW = 400

Floats = NDArray[np.float64]


def one_by_one(ensemble: RBFEnsemble, X: Floats, y: Floats) -> list[tuple[NDArray[np.bool_], RBFInterpolator]]:
    """The same members as separate models, as published code has them."""
    members = []
    for mask in ensemble.masks_:
        rows, group = np.unique(X[:, mask], axis=0, return_inverse=True)
        means = np.bincount(group.ravel(), y) / np.bincount(group.ravel())
        members.append((mask, RBFInterpolator(rows, means, kernel="cubic", degree=1)))
    return members


def speed() -> dict[str, float]:
    """Seconds, medians; batched and one by one take turns, so that a busy moment hits both."""
    rng = np.random.default_rng(0)
    X, y = rng.integers(0, 10, size=(100, 21)) / 9, rng.normal(size=100)
    asked = rng.integers(0, 10, size=(10_000, 21)) / 9
    ensemble = RBFEnsemble(random_state=0).fit(X, y)
    members = one_by_one(ensemble, X, y)
    works: dict[str, Callable[[], object]] = {
        "fit 100 rows": lambda: RBFEnsemble(random_state=0).fit(X, y),
        "fit 100 rows, one by one": lambda: one_by_one(ensemble, X, y),
        "predict 10,000 rows": lambda: ensemble.predict(asked),
        "predict 10,000 rows, one by one": lambda: np.median([m(asked[:, mask]) for mask, m in members], axis=0),
        "predict 1 row": lambda: ensemble.predict(asked[:1]),
        "predict 1 row, one by one": lambda: np.median([m(asked[:1, mask]) for mask, m in members], axis=0),
    }
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(REPEATS):
        for name, work in works.items():
            times[name].append(seconds(work))
    return {name: round(median(values), 4) for name, values in times.items()}


def ranking(seeds: range) -> dict[str, dict[str, dict[str, float]]]:
    """Kendall's tau on the test rows for each predictor and training size: mean, deviation, seconds of a fit."""
    family = make_family("ofa-mbv3-w1.0", 224)
    space, counts = family.space, [stage_counts(family, Classification(1000), 3)]
    with ACCURACIES.open() as file:
        rows = list(csv.DictReader(file))
    codes = space.codes([space.parse(row["architecture"]) for row in rows])
    error = 100 - np.array([float(row["top1"]) for row in rows])
    table: dict[str, dict[str, dict[str, float]]] = {}
    for name in PREDICTORS:
        table[name] = {}
        for n in TRAINING_SIZES:
            taus, times = [], []
            for seed in seeds:
                order = np.random.default_rng(seed).permutation(len(codes))
                train, test = order[:n], order[FIRST_TEST_ROW:]
                predictor = make(name, space, seed, counts)
                times.append(seconds(lambda: predictor.fit(codes[train], error[train])))  # noqa: B023
                taus.append(float(kendalltau(error[test], predictor.predict(codes[test])).statistic))
            found = {"mean": round(mean(taus), 4), "sd": round(stdev(taus), 4), "fit_s": round(median(times), 3)}
            table[name][str(n)] = found
            print(f"  {name:>17} {n:>4} rows  {found['mean']:.4f} (sd {found['sd']:.4f})  fit {found['fit_s']:.2f} s")
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first-seed", type=int, default=0, help="choices are made on seeds from 100 on")
    first = parser.parse_args().first_seed
    seeds = range(first, first + SEEDS)
    machine = f"{platform.machine()}, {os.cpu_count()} CPUs"
    times = speed()
    print(f"500 members, 21 variables, median of {REPEATS}, {machine}")
    for name in (name for name in times if f"{name}, one by one" in times):
        alone = times[f"{name}, one by one"]
        print(f"  {name:20}  {times[name]:8.4f} s   one by one {alone:8.4f} s   ratio {alone / times[name]:5.1f}")
    result: dict[str, object] = {"machine": machine, "members": 500, "first_seed": first, "seconds": times}
    if ACCURACIES.exists():
        print(f"Kendall's tau, real ImageNet accuracies, seeds {seeds[0]} to {seeds[-1]}")
        result["kendall_tau"] = ranking(seeds)
    else:
        print("no ranking: it needs ../shared/data/ofa-mbv3-w1.0-imagenet.csv")
    target = HERE / "results" / "predictor.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
