"""What elasticity costs: a training step of the supernet against the same subnet extracted, in pairs.

    python benchmarks/elastic.py

For each of 20 random architectures forward and backward are timed by turns, elastic and plain, the median of several
turns each; printed is the ratio, and apart from it the optimiser's step over the whole supernet.
"""

import argparse
from statistics import median

import numpy as np
import torch
from common import seconds, write
from torch.nn import functional as F

from naturalize.cli.memory import keep_memory
from naturalize.supernet import Supernet, make_family
from naturalize.tasks import Classification
from naturalize.training.adapt import make_optimizer

CASES = {"ofa-mbv3-w1.0": (128, 32, 3), "mini": (32, 128, 7)}  # side, batch, turns
ARCHITECTURES = 20


def compare(name: str) -> dict[str, float]:
    """Ratios of elastic to plain, over random architectures."""
    side, batch, turns = CASES[name]
    torch.manual_seed(0)
    family = make_family(name, side)
    supernet = Supernet(family, {"default": Classification(10).heads(family)}, [0.0] * 3, [1.0] * 3).train()
    supernet = supernet.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = make_optimizer(supernet, 1e-4)
    images = torch.randn(batch, 3, side, side).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, 10, (batch,))
    ratios, elastic_s, step_s = [], [], []
    for arch in family.space.architectures(family.space.sample(ARCHITECTURES, np.random.default_rng(0))):
        plain = supernet.extract(arch).train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]

        def train_elastic(arch=arch) -> None:  # type: ignore[no-untyped-def]
            supernet.zero_grad(set_to_none=True)
            F.cross_entropy(supernet(images, arch), labels).backward()

        def train_plain(plain=plain) -> None:  # type: ignore[no-untyped-def]
            plain.zero_grad(set_to_none=True)
            F.cross_entropy(plain.of_normalised(images), labels).backward()

        train_elastic(), train_plain()
        pairs = np.array([(seconds(train_elastic), seconds(train_plain)) for _ in range(turns)])
        best = pairs.min(axis=0)
        ratios.append(float(best[0] / best[1]))
        elastic_s.append(float(best[0]))
        step_s.append(seconds(optimizer.step))
    result = {
        "median_ratio": round(median(ratios), 3),
        "largest_ratio": round(max(ratios), 3),
        "step_ms": round(1e3 * median(elastic_s), 1),
        "optimizer_ms": round(1e3 * median(step_s), 1),
    }
    print(f"{name} at {side} px, batch {batch}: " + ", ".join(f"{key} {value}" for key, value in result.items()))
    return result


def main() -> None:
    """Measure, print and write."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    keep_memory()
    write("elastic", {name: compare(name) for name in CASES})


if __name__ == "__main__":
    main()
