"""One search for several data sets beside a run for each, in the same time together: hypervolume of each data set.

    python benchmarks/several.py --share 15m --seeds 0 1 2 --runs /tmp/several

Hypervolume is of test error and multiply-adds, over the error of always answering one class and 1.05 times the largest
network: `alone`, a transfer's front; `shared`, the joint run's front, whose architectures have weights for every data
set; `own`, all networks that the joint run leaves for that data set. Runs that are finished are not repeated.
"""

import argparse
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from common import SHARED, write

import naturalize
from naturalize.joint.run import JointRun
from naturalize.objectives import COST
from naturalize.objectives.exact import exact_counts
from naturalize.run import Run, parse_budget, read_front
from naturalize.search import hypervolume

SETS = ("flowers102", "oxford_pets", "dtd10")


def largest(run: Run) -> float:
    """Multiply-adds of the largest network of a run's space."""
    cost = exact_counts(run.family, run.task, run.facts["data"]["channels"])[COST]
    return float(cost(np.array([run.family.space.largest.code]))[0])


def points_of(run: Run) -> list[tuple[float, float]]:
    """Test error and multiply-adds of all networks that a run leaves, also of those that are dominated there."""
    return [(entry["test_error"], float(entry[COST])) for entry in read_front(run.directory)["networks"]]


def one_seed(share: str, seed: int, runs: Path) -> dict[str, Any]:
    """Hypervolumes by data set and way."""
    data = {name: SHARED / f"{name}-train.parquet" for name in SETS}
    together = f"{len(SETS) * parse_budget(share):g}s"
    joint: JointRun = naturalize.joint_transfer(data, runs / f"joint-{seed}", budget=together, seed=seed)
    shared = joint.front()["networks"]
    found: dict[str, Any] = {"networks": len(shared)}
    for name, path in data.items():
        alone = naturalize.transfer(path, runs / f"{name}-{seed}", budget=share, seed=seed)
        majority = read_front(alone.directory)["majority_error"]["test"]
        own = joint.run(name)
        points = [(network["sets"][name]["test_error"], float(network[COST])) for network in shared]
        reference = [majority, 1.05 * max(largest(alone), largest(own))]
        ways = {"alone": points_of(alone), "shared": points, "own": points_of(own)}
        volumes = {way: hypervolume(np.array(each), reference) for way, each in ways.items()}
        found[name] = {way: round(value, 4) for way, value in volumes.items()}
        found[name]["loss_percent"] = round(100 * (1 - volumes["shared"] / volumes["alone"]), 2)
        found[name]["best_test_error"] = {
            "alone": min(error for error, _ in points_of(alone)),
            "shared": min(error for error, _ in points),
        }
    found["mean_loss_percent"] = round(mean(found[name]["loss_percent"] for name in SETS), 2)
    return found


def main() -> None:
    """Run all seeds, and write what came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--share", default="15m", help="budget of a data set")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--load", default="idle", help="what else the machine did, for the record")
    asked = parser.parse_args()
    result: dict[str, Any] = {"share": asked.share, "load": asked.load}
    for seed in asked.seeds:
        result[f"seed {seed}"] = one_seed(asked.share, seed, asked.runs)
        print(seed, result[f"seed {seed}"], flush=True)
    write("several", result)


if __name__ == "__main__":
    main()
