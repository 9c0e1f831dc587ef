"""The same budget spent three ways: Neural Architecture Transfer, the Once-for-All way, adaptation to uniform draws.

    python benchmarks/three_ways.py digits --budget 3m --seeds 5 --runs /tmp/three
    python benchmarks/three_ways.py cifar10 --images 5000 --budget 3m --seeds 5 --runs /tmp/three-cifar

- nat: `naturalize transfer` as it is.
- ofa: all training goes into preparation; then one search, whose candidates are measured with those weights.
- uniform: as nat, but adaptation draws architectures uniformly, not from the archive's distribution.

All start from nothing. Paired seeds: the same data splits, starting weights and batches. Each run is kept on one CPU,
as many runs at once as there are CPUs: a comparison of equals, not a timing. Compared is the hypervolume of the final
front on the test split, with one reference point for all. Printed are all seeds, the medians, and the mean paired
ratio to nat.
"""

import argparse
import time
from collections.abc import Callable, Iterable
from functools import partial
from itertools import product
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any

import numpy as np
from common import SHARED, Front, each_on_a_cpu, read_front, write

from naturalize import api, nat
from naturalize.conclude import conclude
from naturalize.nat import Transfer
from naturalize.pace import ByClock
from naturalize.preparing import prepare
from naturalize.search import hypervolume
from naturalize.study.adaptation import uniform_transfer
from naturalize.training.adapt import Extent
from naturalize.workbench import Workbench

Transfers = Callable[[Workbench], None]


def once_for_all(bench: Workbench) -> None:
    """Preparation with all the training time, its rate falling to zero; then one search under its weights."""
    steps = Transfer(bench)
    assert isinstance(steps.pace, ByClock)
    until = steps.pace.plan.final_from - steps.pace.plan.measuring_s - 3
    prepare(steps.session, Extent(seconds=until - bench.watch.used_s, until=until), end=1.0)
    measured = steps.measure(0)
    _, wanted = steps.pace.next_members(0, lambda: steps.seconds(0))
    candidates = steps.search(steps.fit(measured, 0), wanted, 0)
    bench.archive.set_members(0, steps.merge(measured.codes, candidates))
    measured = steps.measure(0, final=True)
    conclude(bench, steps.session, 0, measured.codes, measured.values, steps.pace.ending())


WAYS: dict[str, Transfers] = {"nat": nat.run_transfer, "ofa": once_for_all, "uniform": uniform_transfer}


def data_of(name: str, images: int) -> Any:
    """`digits`, or a seeded part of one of the shared sets with its whole test split."""
    if name == "digits":
        return "digits"
    from datasets import load_dataset

    files = {split: str(SHARED / f"{name}-{split}.parquet") for split in ("train", "test")}
    loaded = load_dataset("parquet", data_files=files)
    order = np.random.default_rng(0).permutation(len(loaded["train"]))[:images]
    column = next(c for c in ("image", "img") if c in loaded["train"].column_names)
    label = next(c for c in ("label", "labels", "fine_label") if c in loaded["train"].column_names)
    names = loaded["train"].features[label].names
    parts = {}
    for split, rows in (("train", order), ("test", range(len(loaded["test"])))):
        chosen = loaded[split].select(rows)
        pixels = np.stack([np.asarray(image.convert("RGB")) for image in chosen[column]])
        parts[split] = (pixels, np.array([names[i] for i in chosen[label]]))
    return parts


def run_one(job: tuple[int, str], data: Any, budget: str, runs: Path) -> Front:
    """One run, of a seed and a way, unless its front is there."""
    seed, way = job
    out = runs / f"{way}-{seed}"
    if not (out / "report.html").exists():
        nat.run_transfer = WAYS[way]  # type: ignore[assignment]
        asked = {"scratch": True, "budget": budget, "seed": seed}
        api.transfer(data, out, **asked, listeners=(), started=time.monotonic())
    front = read_front(out)
    print(f"{way} {seed}: {len(front['networks'])} networks", flush=True)
    return front


def test_hypervolume(front: Front, reference: list[float]) -> float:
    """Of the front's networks, by test error and multiply-adds."""
    return hypervolume([[n["test_error"], n["madds"]] for n in front["networks"]], reference)


def reference_of(fronts: Iterable[Front]) -> list[float]:
    """One reference point for all: the error of the largest class, and multiply-adds beyond every network."""
    found = list(fronts)
    return [max(f["majority_error"]["test"] for f in found), max(f["reference"][1] for f in found)]


def arguments(description: str | None, budget: str) -> argparse.Namespace:
    """What a comparison of transfers that are paired by seed is asked for: data, images, budget, seeds, runs."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--budget", default=budget)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--runs", type=Path, required=True)
    return parser.parse_args()


def main() -> None:
    """Run, print and write the comparison."""
    asked = arguments(__doc__, budget="3m")
    data = data_of(asked.data, asked.images)
    run = partial(run_one, data=data, budget=asked.budget, runs=asked.runs)
    every = each_on_a_cpu(run, product(range(asked.seeds), WAYS))
    fronts = {way: every[place :: len(WAYS)] for place, way in enumerate(WAYS)}
    reference = reference_of(every)
    volumes = {way: [test_hypervolume(front, reference) for front in found] for way, found in fronts.items()}
    print(f"{asked.data}, budget {asked.budget}: hypervolume on test")
    for way, found in volumes.items():
        ratios = [one / other for one, other in zip(found, volumes["nat"], strict=True)]
        spread = stdev(ratios) if len(ratios) > 1 else 0.0
        print(
            f"{way:>8}  " + "  ".join(f"{v:.4f}" for v in found) + f"  median {median(found):.4f}"
            f"  ratio to nat {mean(ratios):.4f} (sd {spread:.4f})"
        )
    rounded = {way: [round(v, 5) for v in found] for way, found in volumes.items()}
    write(f"three-ways-{asked.data}", {"budget": asked.budget, "reference": reference, "hypervolume": rounded})


if __name__ == "__main__":
    main()
