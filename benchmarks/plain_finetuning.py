"""A transfer from EfficientNet-Lite0 against plain fine-tuning for the same time.

    python benchmarks/plain_finetuning.py oxford_pets --budget 30m --runs /tmp/pets
    python benchmarks/plain_finetuning.py flowers102 --budget 30m --runs /tmp/flowers

- nat: `naturalize transfer --supernet efficientnet-lite0`.
- whole: Lite0 as it was published, with a new classifier, at the largest resolution of the run.
- smallest: the smallest subnet, cut from the same weights, channels sorted by the L1 norm; it has lost much, so it gets
  the time twice, at two rates.
- mini: `naturalize transfer --supernet mini`.

All train on the same images with the same augmentation and batches, on all CPUs, one after the other; plain fine-tuning
by SGD with a cosine, and of two rates the better one on test counts, which favours it. Compared is the hypervolume by
test error and multiply-adds, with one reference point: the error of the largest class, and 1.1 times the multiply-adds
of the whole. What is finished is not repeated.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from common import SHARED, read_front, transfer, write

from naturalize import finetuning
from naturalize.api import attached
from naturalize.data import Pixels, open_data
from naturalize.errors import UserError
from naturalize.objectives.error import Error
from naturalize.objectives.exact import Exact
from naturalize.run import Run, Watch, parse_budget
from naturalize.search import hypervolume
from naturalize.setting import open_setting
from naturalize.weights import published_supernet, transplant

CORNERS = {"whole": 1, "smallest": 0}
RATES = {"whole": (0.01,), "smallest": (0.01, 0.05)}  # where cosines start
Point = tuple[float, int]  # test error in percent, multiply-adds


def plain(name: str, rate: float, directory: Path, data: Path, seconds: float) -> Point:
    """A corner of the space, cut from the published weights and trained by itself; as the run of `directory` trains."""
    kept = directory.parent / f"{name}-{rate:g}.json"
    if kept.exists():
        error, madds = json.loads(kept.read_text())
        return error, madds
    finetuning.RATE = rate
    run, dataset, watch = Run(directory), open_data(data), Watch([], time.monotonic())
    with attached(run, watch) as archive:
        setting = open_setting(run, dataset, archive, watch)
        supernet, space = run.new_supernet(), run.family.space
        transplant(supernet, published_supernet("efficientnet-lite0"))
        supernet.sort_channels()
        codes = space.corners()[CORNERS[name]][None]
        (arch,) = space.architectures(codes)
        subnet = finetuning.trained(setting, supernet.extract(arch), arch, seconds)
        dataset.scan_test()
        images = Pixels(dataset, dataset.splits["test"], run.family.resolutions)
        error = Error(supernet, setting.task, run.stored("calibration"), images, setting.error.device)
        (wrong,) = error.wrong_by_view(subnet, arch)
    madds = int(Exact("madds", run.family, setting.task, dataset.channels)(codes)[0])
    point = 100.0 * wrong / len(images), madds
    kept.write_text(json.dumps(point))
    return point


def points(front: dict[str, Any]) -> list[Point]:
    """Those of a front's networks."""
    return [(network["test_error"], network["madds"]) for network in front["networks"]]


def main() -> None:
    """Run, print and write the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--budget", default="30m")
    parser.add_argument("--runs", type=Path, required=True)
    asked = parser.parse_args()
    data, budget = SHARED / f"{asked.data}-train.parquet", parse_budget(asked.budget)
    options = ["--budget", asked.budget]
    found: dict[str, list[Point]] = {}
    found["nat"] = points(transfer(data, asked.runs / "nat", *options, "--supernet", "efficientnet-lite0")[0])
    trained = {
        name: {rate: plain(name, rate, asked.runs / "nat", data, budget) for rate in RATES[name]} for name in CORNERS
    }
    found |= {name: [min(by_rate.values())] for name, by_rate in trained.items()}
    found["mini"] = points(transfer(data, asked.runs / "mini", *options, "--supernet", "mini")[0])
    found["whole and smallest"] = [*found["whole"], *found["smallest"]]
    front = read_front(asked.runs / "nat")
    reference = [front["majority_error"]["test"], 1.1 * found["whole"][0][1]]
    volumes = {way: hypervolume(np.array(of, dtype=float), reference) for way, of in found.items()}
    for way, of in found.items():
        best, least = min(of), min(of, key=lambda point: point[1])
        print(
            f"{way:>18}: hypervolume {volumes[way]:.4f}; {len(of)} networks; best {best[0]:.2f}% at "
            f"{best[1] / 1e6:.1f} M, smallest {least[0]:.2f}% at {least[1] / 1e6:.1f} M"
        )
    result = {"budget": asked.budget, "rates": trained, "reference": reference, "hypervolume": volumes}
    write(f"plain-finetuning-{asked.data}", {**result, "points": found})


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        raise SystemExit(str(error)) from error
