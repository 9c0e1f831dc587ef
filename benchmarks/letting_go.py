"""From how many training pictures on do batch norms better take statistics of their own? Both ways, paired.

    python benchmarks/letting_go.py cifar10 --images 1000 5000 20000 42000 --budget 4m --runs /tmp/letting-go
    python benchmarks/letting_go.py tiny_imagenet --images 800 3200 --budget 4m --runs /tmp/letting-go

`naturalize transfer --supernet efficientnet-lite0` with so many pictures of a set, a seventh of them for validation;
tested on 4,000 others of its training pictures (800 where there are no more), never on its test split. Kept: norms have
ImageNet's statistics. Own: they are re-estimated. Both at once, each on one CPU, in the same minutes. Hypervolume by
error and multiply-adds, reference 90% and 77 M.
"""

import argparse
import time
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from common import SHARED, best, each_on_a_cpu, read_front, write
from three_ways import test_hypervolume

from naturalize import api, starting
from naturalize.data import Pixels, open_data

REFERENCE = [90.0, 77e6]
FROM = {"kept": 10**9, "own": 0}  # training pictures from which on statistics are let go
TESTED = 4000


def parts_of(name: str, images: int) -> dict[str, tuple[Any, Any]]:
    """So many training pictures of a set, drawn by a seed, and others of them to test."""
    data = open_data(SHARED / f"{name}-train.parquet", seed=0)
    known = np.sort(np.concatenate([data.splits["train"], data.splits["val"]]))
    order = np.random.default_rng(100).permutation(known)
    tested = min(TESTED, len(order) - images)
    assert tested > 0, f"{name} has {len(order):,} pictures"
    found = {}
    for split, rows in (("train", order[:images]), ("test", order[-tested:])):
        pixels = Pixels(data, np.sort(rows), [data.side])
        found[split] = (pixels(slice(None), data.side), np.array(data.class_names)[pixels.labels])
    return found


def run_one(job: tuple[int, str], name: str, budget: str, runs: Path) -> dict[str, Any]:
    """What one way makes of so many pictures, unless it is there."""
    images, way = job
    out = runs / f"{name}-{images}-{way}"
    if not (out / "report.html").exists():
        starting.MANY_TRAINING_IMAGES = FROM[way]
        asked = {"supernet": "efficientnet-lite0", "budget": budget, "seed": 0}
        api.transfer(parts_of(name, images), out, **asked, listeners=(), started=time.monotonic())
    front = read_front(out)
    chosen = best(front)
    row = {
        "images": images,
        "statistics": way,
        "hypervolume": round(test_hypervolume(front, REFERENCE), 4),
        "chosen": round(chosen["test_error"], 1),
        "chosen_madds": chosen["madds"],
        "smallest": round(front["networks"][0]["test_error"], 1),
        "networks": len(front["networks"]),
    }
    print(row, flush=True)
    return row


def main() -> None:
    """Run, print and write both ways."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--images", nargs="+", type=int, required=True)
    parser.add_argument("--budget", default="4m")
    parser.add_argument("--runs", type=Path, required=True)
    asked = parser.parse_args()
    run = partial(run_one, name=asked.data, budget=asked.budget, runs=asked.runs)
    rows = each_on_a_cpu(run, product(asked.images, FROM))
    write(f"letting-go-{asked.data}", {"budget": asked.budget, "rows": rows})


if __name__ == "__main__":
    main()
