"""The RBF ensemble: how fast, against its members one by one; how well it ranks real ImageNet accuracies.

    python benchmarks/predictor.py

Prints two tables and writes results/predictor.json. The second needs ../shared/data/ofa-mbv3-w1.0-imagenet.csv,
measured accuracies of OFA subnets (IntelLabs DyNAS-T), and is left out without it. Protocol: for seed s the permutation
of `numpy.random.default_rng(s)`; training rows are its first n, test rows those after the first 400; seeds 0 to 9.
"""

import csv
import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from statistics import mean, median, stdev

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RBFInterpolator
from scipy.stats import kendalltau

from naturalize.predictor import RBFEnsemble
from naturalize.space import SearchSpace, Variable

HERE = Path(__file__).parent
ACCURACIES = HERE.parents[1] / "shared" / "data" / "ofa-mbv3-w1.0-imagenet.csv"

REPEATS = 5
SEEDS = range(10)
TRAINING_SIZES = (50, 100, 300)
FIRST_TEST_ROW = 400

Floats = NDArray[np.float64]


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


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


def ofa_space() -> SearchSpace:
    layers = [Variable(f"stage {s} layer {p}", int(p < 3), 9) for s in range(1, 6) for p in range(1, 5)]
    rules = [(2 + 4 * s + 3, 2 + 4 * s + 2) for s in range(5)]
    return SearchSpace("ofa-mbv3", [Variable("resolution", 0, 16), Variable("width", 0, 1), *layers], rules)


def ranking() -> dict[str, dict[str, float]]:
    """Kendall's tau on the test rows for each training size: mean and standard deviation over the seeds."""
    space = ofa_space()
    with ACCURACIES.open() as file:
        rows = list(csv.DictReader(file))
    X = space.scale(space.codes([space.parse(row["architecture"]) for row in rows]))
    error = 100 - np.array([float(row["top1"]) for row in rows])
    table = {}
    for n in TRAINING_SIZES:
        taus = []
        for seed in SEEDS:
            order = np.random.default_rng(seed).permutation(len(X))
            train, test = order[:n], order[FIRST_TEST_ROW:]
            predictor = RBFEnsemble(random_state=seed).fit(X[train], error[train])
            taus.append(float(kendalltau(error[test], predictor.predict(X[test])).statistic))
        table[str(n)] = {"mean": round(mean(taus), 4), "sd": round(stdev(taus), 4)}
    return table


def main() -> None:
    machine = f"{platform.machine()}, {os.cpu_count()} CPUs"
    times = speed()
    print(f"500 members, 21 variables, median of {REPEATS}, {machine}")
    for name in (name for name in times if f"{name}, one by one" in times):
        alone = times[f"{name}, one by one"]
        print(f"  {name:20}  {times[name]:8.4f} s   one by one {alone:8.4f} s   ratio {alone / times[name]:5.1f}")
    result: dict[str, object] = {"machine": machine, "members": 500, "seconds": times}
    if ACCURACIES.exists():
        result["kendall_tau"] = table = ranking()
        print(f"Kendall's tau, real ImageNet accuracies, {len(SEEDS)} seeds")
        for n, tau in table.items():
            print(f"  {n:>4} rows  {tau['mean']:.4f} (sd {tau['sd']:.4f})")
    else:
        print("no ranking: it needs ../shared/data/ofa-mbv3-w1.0-imagenet.csv")
    target = HERE / "results" / "predictor.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
