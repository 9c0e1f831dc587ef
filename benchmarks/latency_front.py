"""A search by latency beside one by multiply-adds: two transfers with the same budget, judged by the clock.

    python benchmarks/latency_front.py clothing digits --budget 5m --seeds 3 --runs /tmp/latency-front

Every network of both fronts is timed as `latency:cpu` (in turn with a reference, until the standard error is 1%). At a
test error that both fronts reach, the figure is the time of the fastest network with that error or less among those
that multiply-adds found, over the same of latency: above 1, latency finds faster networks. Printed are the geometric
mean over errors, and how well multiply-adds order the networks of both fronts by the clock.

Beside them stands what there is to gain: how well multiply-adds order random networks of the space by the latency
model, and by how much those of equal multiply-adds differ in latency (standard deviation of its logarithm about a
cubic).
"""

import argparse
from itertools import product
from pathlib import Path

import numpy as np
from common import SHARED, write
from scipy.stats import spearmanr

import naturalize
from naturalize.latency.bench import Bench
from naturalize.latency.setting import parse_setting
from naturalize.latency.store import Store
from naturalize.objectives.exact import exact_counts
from naturalize.objectives.latency import Latency, kept_model
from naturalize.run import Run

WAYS = {"madds": ("error", "madds"), "latency": ("error", "latency:cpu")}
NAMED = ("digits", "clothing")  # that naturalize knows by name
STEPS = 50  # errors at which fronts are compared
SAMPLE = 3000  # random networks


def transferred(data: str, way: str, seed: int, budget: str, runs: Path) -> Run:
    """A transfer, unless it is there."""
    source = data if data in NAMED else str(SHARED / f"{data}-train.parquet")
    return naturalize.transfer(source, runs / f"{data}-{way}-{seed}", budget=budget, objectives=WAYS[way], seed=seed)


def timed(run: Run) -> np.ndarray:
    """Test error, milliseconds and multiply-adds of the networks of a front, `(n, 3)`."""
    setting, networks = parse_setting("cpu"), run.front()
    archs = [run.family.space.parse(network.architecture) for network in networks]
    store = Store(setting)
    with Bench(run.new_supernet().eval(), setting) as bench:
        ratios, _ = bench.narrow(archs, 60.0)
        reference_s = store.reference_s or bench.reference_s()
    rows = zip(networks, ratios.tolist(), strict=True)
    return np.array([[network.test_error, 1e3 * ratio * reference_s, network.madds] for network, ratio in rows])


def to_gain(run: Run) -> dict[str, float]:
    """What a choice by latency could gain over one by multiply-adds, on random networks of the space."""
    known = kept_model(run.directory / "latency-cpu.json")
    assert known is not None
    codes = run.space.sample(SAMPLE, np.random.default_rng(0))
    channels = run.new_supernet().channels
    latency = Latency(known[0], run.family, run.task, channels)(codes)
    madds = exact_counts(run.family, run.task, channels)["madds"](codes)
    curve = np.polynomial.Polynomial.fit(np.log(madds), np.log(latency), 3)
    rest = np.log(latency) - curve(np.log(madds))
    return {
        "spearman_of_random": float(spearmanr(latency, madds).statistic),
        "latency_at_equal_madds": float(np.exp(rest.std()) - 1.0),
    }


def speed_up(madds: np.ndarray, latency: np.ndarray) -> float:
    """How many times as fast the networks of the second front are, at errors that both reach."""
    best, worst = (
        max(madds[:, 0].min(), latency[:, 0].min()),
        min(madds[:, 0].max(), latency[:, 0].max()),
    )
    found = [
        np.log(madds[madds[:, 0] <= error, 1].min() / latency[latency[:, 0] <= error, 1].min())
        for error in np.linspace(best, max(best, worst), STEPS)
    ]
    return float(np.exp(np.mean(found)))


def main() -> None:
    """Print and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="+")
    parser.add_argument("--budget", default="5m")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--runs", type=Path, required=True)
    arguments = parser.parse_args()
    rows = []
    for data, seed in product(arguments.data, range(arguments.seeds)):
        fronts = {way: timed(transferred(data, way, seed, arguments.budget, arguments.runs)) for way in WAYS}
        every = np.concatenate(list(fronts.values()))
        row = {
            "data": data,
            "seed": seed,
            "speed_up": speed_up(fronts["madds"], fronts["latency"]),
            "spearman_of_madds": float(spearmanr(every[:, 2], every[:, 1]).statistic),
            **to_gain(Run(arguments.runs / f"{data}-latency-{seed}")),
            **{way: front.round(3).tolist() for way, front in fronts.items()},
        }
        rows.append(row)
        print({key: value for key, value in row.items() if key not in WAYS}, flush=True)
    write("latency-front", {"budget": arguments.budget, "rows": rows})


if __name__ == "__main__":
    main()
