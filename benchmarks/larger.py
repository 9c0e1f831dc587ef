"""What enlarging pictures is worth to a published network: linear probes of Lite0 at 96 to 224 px.

    python benchmarks/larger.py
    python benchmarks/larger.py oxford_pets --seed 1

All sets have pictures of 128 px. Errors on 30% of the training pictures, kept apart by the seed, of logistic
regressions on the other 70%; the test split is not read. Milliseconds are those of one picture on all CPUs.
"""

import argparse
import time
from statistics import mean

import numpy as np
import torch
from common import SHARED, write
from torch import nn

from naturalize.data import Pixels, open_data
from naturalize.tasks import Classification
from naturalize.training.evaluate import fold, logits_of
from naturalize.warm_start import logistic_regression
from naturalize.weights import published_supernet

SETS = ["flowers102", "clothing", "oxford_pets", "dtd10", "food101_6"]
SIDES = (96, 112, 128, 160, 192, 224)
FITTED = 0.7  # share of the pictures
CPU = torch.device("cpu")


def errors(name: str, seed: int) -> dict[str, list[float]]:
    """Error in percent and milliseconds a picture by resolution."""
    data = open_data(SHARED / f"{name}-train.parquet")
    pixels = Pixels(data, np.concatenate([data.splits["train"], data.splits["val"]]), SIDES)
    labels, task = torch.from_numpy(pixels.labels), Classification(len(data.class_names))
    source = published_supernet("efficientnet-lite0")
    network = fold(source.extract(source.family.space.largest).eval().to(memory_format=torch.channels_last))
    network.head.classifier = nn.Identity()
    order = np.random.default_rng(seed).permutation(len(pixels))
    fitted, judged = np.split(order, [int(FITTED * len(pixels))])
    found = {}
    for side in SIDES:
        batch = pixels(slice(None), side)
        begun = time.monotonic()
        features = logits_of(network, batch, CPU).clone()
        took_ms = 1e3 * (time.monotonic() - begun) / len(pixels)
        weight, bias = logistic_regression(task, features[fitted], labels[fitted])
        wrong = task.wrong(features[judged] @ weight.T + bias, labels[judged])
        found[str(side)] = [100.0 * float(wrong.double().mean()), took_ms]
    return found


def main() -> None:
    """Print a row a set, and write all of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", default=SETS)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    found = {}
    for name in asked.sets:
        found[name] = errors(name, asked.seed)
        told = ", ".join(f"{side} px {error:.1f} ({ms:.0f} ms)" for side, (error, ms) in found[name].items())
        print(f"{name}: {told}", flush=True)
    means = {str(side): mean(each[str(side)][0] for each in found.values()) for side in SIDES}
    print("mean:", ", ".join(f"{side} px {error:.1f}" for side, error in means.items()))
    if asked.sets == SETS:
        write("larger", {"seed": asked.seed, "sets": found, "mean": means})


if __name__ == "__main__":
    main()
