"""Orders of expanded channels: errors of subnets cut from Lite0's ImageNet weights, before any training.

    python benchmarks/channel_order.py dtd10 --runs /tmp/order

- as published: smaller expansions keep whatever channels come first.
- L1 norm: of the weights that project a channel, as Once-for-All sorts them.
- contribution: to what is projected, by the user's pictures, as a transfer sorts them.

Each subnet has statistics and a linear probe of its own. Errors on all images that were not looked at; choices rest on
these data, so no result is told of them.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import SHARED, answer_all_unseen, write

from naturalize import api, preparing, reconstruction
from naturalize.supernet import FAMILIES
from naturalize.supernet.efficientnet_lite import efficientnet_lite0
from naturalize.warm_start import fit_body, start_classifiers
from naturalize.workbench import Workbench

SEED, SUBNETS = 200, 10

Errors = dict[str, list[float]]


def as_they_are(weight: torch.Tensor, covariance: torch.Tensor, least: int) -> torch.Tensor:
    """In place of `by_contribution`: the order as it is."""
    return torch.arange(len(covariance))


def compare(own: Workbench, found: Errors) -> None:
    """In place of `preparing.prepare_only`: the errors under each order."""
    largest = own.supernet.family.space.largest
    answer_all_unseen(own)
    by_contribution, reconstruction.by_contribution = reconstruction.by_contribution, as_they_are
    fit_body(own, largest)
    found["as published"] = errors(own)
    own.supernet.sort_channels()
    found["L1 norm"] = errors(own)
    reconstruction.by_contribution = by_contribution
    fit_body(own, largest)
    found["contribution"] = errors(own)


def errors(own: Workbench) -> list[float]:
    """Of the smallest, the largest and random subnets."""
    space = own.supernet.family.space
    codes = np.concatenate([space.corners(), space.sample(SUBNETS, np.random.default_rng(1))])
    found = []
    for arch in space.architectures(codes):
        start_classifiers(own, [[arch]])
        found.append(float(own.error.measure(np.array([arch.code])).values[0]))
    return found


def main() -> None:
    """Measure, print and write the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--runs", type=Path, required=True)
    asked = parser.parse_args()
    found: Errors = {}
    preparing.prepare_only = lambda own: compare(own, found)
    FAMILIES["efficientnet-lite0"] = lambda sides: replace(efficientnet_lite0(sides), offsets=False)
    data: Any = SHARED / f"{asked.data}-train.parquet"
    api.prepare(data, asked.runs / asked.data, supernet="efficientnet-lite0", epochs=1, seed=SEED, listeners=())
    for order, (smallest, largest, *random) in found.items():
        print(f"{order:>12}  smallest {smallest:5.1f}  random {np.mean(random):5.1f}  largest {largest:5.1f}")
    write(f"channel-order-{asked.data}", {order: [round(e, 2) for e in values] for order, values in found.items()})


if __name__ == "__main__":
    main()
