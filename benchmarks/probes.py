"""What a supernet of Lite0 knows before it is trained: linear probes of its largest, smallest and random subnets.

    python benchmarks/probes.py
    python benchmarks/probes.py clothing dtd10 --seeds 3

Errors on the test split of logistic regressions on frozen features at 128 px, for three ways to have subnets of the
published weights. In all of them the largest network is the published one, and the channels of each block are in order:

- re-estimated: batch norms take the statistics of 384 training pictures, the function of the largest kept.
- statistics: every kernel and expansion has statistics of its own, relative to those of the largest network.
- offsets: `naturalize.reconstruction`, which is what a transfer starts from: offsets of weights too.

Everything is fitted to 128 training pictures. Random subnets are drawn as `SearchSpace.sample` does.
"""

import argparse
import time
from dataclasses import replace
from statistics import mean

import numpy as np
import torch
from common import SHARED, write
from torch import nn

from naturalize.data import Pixels, open_data
from naturalize.data.dataset import Dataset
from naturalize.reconstruction import reconstruct
from naturalize.supernet import Supernet, make_family
from naturalize.tasks import Classification
from naturalize.training.calibrate import calibrate
from naturalize.training.evaluate import fold, logits_of
from naturalize.warm_start import logistic_regression
from naturalize.weights import published_supernet, transplant

SETS = ["flowers102", "clothing", "oxford_pets", "dtd10", "food101_6"]
WAYS = ["re-estimated", "statistics", "offsets"]
SIDE, FIT_SIDE, FIT, CALIBRATION, RANDOM = 128, 96, 128, 384, 6
CPU = torch.device("cpu")

Errors = dict[str, float]


class Probing:
    """One data set, its training and test pictures."""

    def __init__(self, name: str, seed: int) -> None:
        self.data: Dataset = open_data(SHARED / f"{name}-train.parquet")
        self.data.scan_test()
        self.seed = seed
        self.family = make_family("efficientnet-lite0", SIDE, (FIT_SIDE, SIDE))
        splits = self.data.splits
        self.train = Pixels(self.data, np.concatenate([splits["train"], splits["val"]]), self.family.resolutions)
        self.test = Pixels(self.data, splits["test"], self.family.resolutions)
        self.task = Classification(len(self.data.class_names))
        self.order = np.random.default_rng(seed).permutation(len(self.train))

    def supernet(self, way: str) -> Supernet:
        """Of the published weights, fitted in one way."""
        family = replace(self.family, offsets=way == "offsets")
        source = published_supernet("efficientnet-lite0")
        mean_, std = (part.flatten().tolist() for part in (source.normalize.mean, source.normalize.std))
        made = Supernet(family, {"default": self.task.heads(family)}, mean_, std)
        transplant(made, source)
        made = made.to(memory_format=torch.channels_last).eval()
        pixels = torch.from_numpy(self.train(np.sort(self.order[:FIT]), FIT_SIDE))
        reconstruct(made.body(family.space.largest), made.extract(family.space.largest), pixels)
        return made

    def errors(self, way: str) -> Errors:
        """Of the probes of the largest and the smallest network, and the mean of random ones."""
        supernet = self.supernet(way)
        space = supernet.family.space
        codes = np.concatenate([space.corners()[::-1], space.sample(RANDOM, np.random.default_rng(self.seed))])
        codes[:, 0] = self.family.resolutions.index(SIDE)
        found = []
        for arch in space.architectures(codes):
            network = supernet.extract(arch)
            if way == "re-estimated":
                calibrate(network, torch.from_numpy(self.train(np.sort(self.order[:CALIBRATION]), SIDE)))
            network = fold(network.eval())
            network.head.classifier = nn.Identity()
            seen = [
                logits_of(network, part(np.arange(len(part)), SIDE), CPU).clone() for part in (self.train, self.test)
            ]
            weight, bias = logistic_regression(self.task, seen[0], torch.from_numpy(self.train.labels))
            wrong = (seen[1] @ weight.T + bias).argmax(1) != torch.from_numpy(self.test.labels)
            found.append(100.0 * float(wrong.float().mean()))
        return {"largest": found[0], "smallest": found[1], "random": mean(found[2:])}


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", default=SETS)
    parser.add_argument("--seeds", type=int, default=1)
    asked = parser.parse_args()
    found: dict[str, dict[str, list[Errors]]] = {way: {} for way in WAYS}
    for name in asked.sets:
        for seed in range(asked.seeds):
            probing = Probing(name, seed)
            for way in WAYS:
                start = time.perf_counter()
                errors = {key: round(error, 2) for key, error in probing.errors(way).items()}
                found[way].setdefault(name, []).append(errors)
                print(f"{name} seed {seed} {way}: {errors}, {time.perf_counter() - start:.0f} s", flush=True)
    means = {
        way: {key: round(mean(mean(one[key] for one in of) for of in by_set.values()), 2) for key in errors}
        for way, by_set in found.items()
    }
    for way, errors in means.items():
        print(f"{way:>14}  " + "  ".join(f"{key} {error:.1f}" for key, error in errors.items()))
    write("probes", {"means": means, "errors": found})


if __name__ == "__main__":
    main()
