"""Transfers with the search of the paper and with others, paired by seed: the final front's hypervolume.

    python benchmarks/default_search.py digits --budget 2m --seeds 5 --runs /tmp/searches
    python benchmarks/default_search.py cifar10 --images 5000 --budget 3m --seeds 5 --runs /tmp/searches

- nat: the paper's, 500 radial basis functions and NSGA-III: `--predictor rbf-ensemble`.
- gaussian: `naturalize transfer` as it is: a Gaussian process and NSGA-III.
- auto: with `--search auto`.

Same data, starting weights and batches for all ways of a seed. Each run is kept on one CPU, as many runs at once as
there are CPUs. Hypervolume is of the front on the test split, with one reference point for all.
"""

import time
from functools import partial
from itertools import product
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from common import Front, each_on_a_cpu, read_front, write
from three_ways import arguments, data_of, reference_of, test_hypervolume

from naturalize import api

PAPER = "nat"
WAYS: dict[str, dict[str, str]] = {
    "auto": {"search": "auto"},
    PAPER: {"search": "nat", "predictor": "rbf-ensemble"},
    "gaussian": {"search": "nat", "predictor": "gaussian-process"},
}


def run_one(job: tuple[int, str], data: Any, budget: str, runs: Path) -> tuple[int, str, Front]:
    """The front of one run, of a seed and a way, unless it is there."""
    seed, way = job
    out = runs / f"{way}-{seed}"
    if not (out / "report.html").exists():
        api.transfer(data, out, budget=budget, seed=seed, listeners=(), started=time.monotonic(), **WAYS[way])
    front = read_front(out)
    print(f"{way} {seed}: {len(front['networks'])} networks", flush=True)
    return seed, way, front


def main() -> None:
    """Run, print and write the comparison."""
    asked = arguments(__doc__, budget="2m")
    run = partial(run_one, data=data_of(asked.data, asked.images), budget=asked.budget, runs=asked.runs / asked.data)
    every = each_on_a_cpu(run, product(range(asked.seeds), WAYS))
    fronts = {(seed, way): front for seed, way, front in every}
    reference = reference_of(fronts.values())
    table = {
        way: [round(test_hypervolume(fronts[seed, way], reference), 5) for seed in range(asked.seeds)] for way in WAYS
    }
    for way, values in table.items():
        ratios = [value / other for value, other in zip(values, table[PAPER], strict=True)]
        spread = stdev(values) if len(values) > 1 else 0.0
        print(f"{way:>9}  {values}  mean {mean(values):.4f} ({spread:.4f})  to {PAPER} {mean(ratios):.4f}")
    write(f"default-search-{asked.data}", {"budget": asked.budget, "hypervolume": table})


if __name__ == "__main__":
    main()
