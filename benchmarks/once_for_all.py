"""Against the `ofa` package: a training step, an evaluation, an extraction and a count, on the same subnets, in pairs.

    python benchmarks/once_for_all.py

Random subnets of MobileNetV3 at width 1.0, batches of 32; each side as its users run it: the package in PyTorch's
default layout, naturalize in channels_last. Of each subnet both take turns, and the shortest time of each counts, since
other work on a machine only adds; printed are medians over subnets, of the times and of the pairs' ratios.
"""

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from common import seconds, write
from torch.nn import functional as F

from naturalize.cli.memory import keep_memory
from naturalize.supernet import Counter, Supernet, layers_of, make_family
from naturalize.supernet.layers import LayerTable
from naturalize.tasks import Classification
from naturalize.training.adapt import make_optimizer

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "weights"))
from reference import activate, reference

NAME, SIDES, BATCH, SUBNETS, TURNS = "ofa-mbv3-w1.0", (128, 160), 32, 8, 3


def main() -> None:
    """Measure, print and write."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    keep_memory()
    torch.set_num_threads(2)
    theirs = reference(NAME)
    family = make_family(NAME, 224)
    task = Classification(1000)
    ours = Supernet(family, {"default": task.heads(family)}, [0.0] * 3, [1.0] * 3)
    ours = ours.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizers = make_optimizer(ours, 1e-4), torch.optim.SGD(theirs.parameters(), 0.01, 0.9, nesterov=True)
    archs = family.space.architectures(family.space.sample(SUBNETS, np.random.default_rng(0)))
    labels = torch.randint(0, 1000, (BATCH,))
    result: dict[str, Any] = {}
    for side in SIDES:
        images = torch.randn(BATCH, 3, side, side)
        last = images.contiguous(memory_format=torch.channels_last)
        times: dict[str, list[tuple[float, float]]] = {"train": [], "evaluate": [], "extract": []}

        def step(optimizer: torch.optim.Optimizer, forward: Callable[[], torch.Tensor]) -> None:
            optimizer.zero_grad(set_to_none=True)
            F.cross_entropy(forward(), labels).backward()
            optimizer.step()

        for number, arch in enumerate((archs[0], *archs)):  # the first once more, to warm up
            activate(theirs, family, arch)
            networks = partial(ours, last, arch), partial(theirs, images)
            ours.train(), theirs.train()
            train = in_turns(*(partial(step, *pair) for pair in zip(optimizers, networks, strict=True)))
            ours.eval(), theirs.eval()
            with torch.inference_mode():
                evaluate = in_turns(*networks)
            extract = in_turns(partial(ours.extract, arch), theirs.get_active_subnet)
            if number:
                for name, pair in (("train", train), ("evaluate", evaluate), ("extract", extract)):
                    times[name].append(pair)
        for name, pairs in times.items():
            result[f"{name}-{side}"] = shown(f"{name} at {side} px", pairs)
    layers = layers_of(family, lambda codes: task.layers(family, codes), 3)
    counter = Counter(family.space, layers, LayerTable.madds)
    codes = family.space.codes(archs)
    from ofa.utils.pytorch_utils import count_net_flops

    pairs = []
    for row, arch in zip(codes, archs, strict=True):
        activate(theirs, family, arch)
        pairs.append(in_turns(partial(counter, row[None]), partial(count_net_flops, theirs)))
    result["count"] = shown("count", pairs)
    write("once-for-all", result)


def in_turns(ours: Callable[[], object], theirs: Callable[[], object]) -> tuple[float, float]:
    """The shortest of several times of each, in seconds."""
    turns = [(seconds(ours), seconds(theirs)) for _ in range(TURNS)]
    return min(turn[0] for turn in turns), min(turn[1] for turn in turns)


def shown(name: str, pairs: list[tuple[float, float]]) -> dict[str, float]:
    """Medians of the times in milliseconds and of the ratios, printed."""
    ours, theirs = (1e3 * median(column) for column in zip(*pairs, strict=True))
    ratio = median(pair[1] / pair[0] for pair in pairs)
    print(f"{name}: naturalize {ours:.2f} ms, ofa {theirs:.2f} ms, ratio {ratio:.2f}")
    return {"naturalize_ms": round(ours, 3), "ofa_ms": round(theirs, 3), "ratio": round(ratio, 2)}


if __name__ == "__main__":
    main()
