"""How many pictures calibrate a network: errors and seconds by their number, under the final weights of a run.

    python benchmarks/calibration.py /tmp/run ../shared/data/dtd10-train.parquet --name dtd10
    python benchmarks/calibration.py /tmp/run cifar10 --images 5000

The corners and random subnets are calibrated on training pictures, drawn anew for each number, and answer images that
were not trained on: no more than 2,000. A fixed number of draws; the largest number, drawn once, is the truth that the
others are compared with. Choices rest on these data, so no result is told of them.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import write
from scipy.stats import kendalltau
from three_ways import data_of

from naturalize.data import Pixels, open_data
from naturalize.objectives.error import Error
from naturalize.run import Run
from naturalize.training.evaluate import fold
from naturalize.training.subnets import Subnets

TRUTH, NUMBERS, DRAWS = 2048, (512, 256, 128, 64), 2
IMAGES, SUBNETS = 2000, 18


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("data", help="the data of the run")
    parser.add_argument("--images", type=int, help="a seeded part of the data, as in the run; all unless told")
    parser.add_argument("--name", help="of the results; that of the data unless told")
    asked = parser.parse_args()
    run = Run(asked.run)
    dataset = open_data(data_of(asked.data, asked.images) if asked.images else asked.data)
    dataset.scan_test()
    supernet, family = run.trained_supernet(), run.family
    unseen = np.concatenate([dataset.splits["val"], dataset.splits["test"]])[:IMAGES]
    images = Pixels(dataset, unseen, family.resolutions)
    order = np.random.default_rng(5).permutation(dataset.splits["train"])
    codes = np.concatenate([family.space.corners(), family.space.sample(SUBNETS, np.random.default_rng(1))])

    def answers(rows: np.ndarray) -> tuple[np.ndarray, float]:
        """Errors of the subnets calibrated on these rows, and seconds to calibrate one."""
        pixels = Pixels(dataset, np.sort(rows), family.resolutions)
        subnets = Subnets(supernet, pixels, torch.device("cpu"))
        error = Error(subnets, run.task, images)
        archs = family.space.architectures(codes)
        start = time.perf_counter()
        networks = [subnets.of(arch) for arch in archs]
        taken = (time.perf_counter() - start) / len(codes)
        wrong = [
            [int(view.sum()) for view in error.answers_by_view(fold(network), arch)]
            for network, arch in zip(networks, archs, strict=True)
        ]
        return 100.0 * np.array(wrong)[:, 0] / len(images), taken

    true, taken = answers(order[:TRUTH])
    table: list[dict[str, Any]] = [summary(min(TRUTH, len(order)), [true], true, taken)]
    for number in NUMBERS:
        draws = [answers(order[draw * number : (draw + 1) * number]) for draw in range(DRAWS)]
        found, seconds = zip(*draws, strict=True)
        table.append(summary(number, list(found), true, float(np.mean(seconds))))
    name = asked.name or asked.data
    write(f"calibration-{name}", {"subnets": len(codes), "images": len(unseen), "table": table})


def summary(number: int, found: list[np.ndarray], true: np.ndarray, seconds: float) -> dict[str, Any]:
    """One line of the table, printed."""
    row = {
        "pictures": number,
        "smallest": float(np.mean([errors[0] for errors in found])),
        "largest": float(np.mean([errors[1] for errors in found])),
        "mean": float(np.mean(found)),
        "sd_of_difference": float(np.mean([(errors - true).std() for errors in found])),
        "kendall_tau": float(np.mean([kendalltau(errors, true)[0] for errors in found])),
        "calibrate_s": seconds,
    }
    print("  ".join(f"{key} {value:.3f}" for key, value in row.items()), flush=True)
    return {key: round(value, 3) for key, value in row.items()}


if __name__ == "__main__":
    main()
