"""Multiply-adds and parameters of 10,000 random architectures: by look-up, and by building networks.

    python benchmarks/counting.py

The rival is what this field's tools do: cut each network out and add up its layers. Medians of five, taking turns.
"""

import time
from statistics import median

import numpy as np
import torch
from common import seconds, write

from naturalize.objectives.exact import Exact
from naturalize.supernet import Supernet, make_family
from naturalize.tasks import Classification

ARCHITECTURES, BUILT, REPEATS = 10_000, 10, 5


def main() -> None:
    """Print and write the figures."""
    result = {}
    for name in ("mini", "ofa-mbv3"):
        family, task = make_family(name, 32), Classification(10)
        supernet = Supernet(family, {"default": task.heads(family)}, [0.0] * 3, [1.0] * 3)
        codes = family.space.sample(ARCHITECTURES, np.random.default_rng(0))
        archs = family.space.architectures(codes[:BUILT])
        start = time.perf_counter()
        counts = [Exact(count, family, task, 3) for count in ("madds", "params")]
        assert all(count.count for count in counts), "the look-ups are made here"
        tables = time.perf_counter() - start

        def look_up(counts: list[Exact] = counts, codes: np.ndarray = codes) -> None:
            for count in counts:
                count(codes)

        def build(supernet: Supernet = supernet, archs: list = archs) -> None:
            for arch in archs:
                sum(parameter.numel() for parameter in supernet.extract(arch).parameters())

        looked, built = zip(*((seconds(look_up), seconds(build)) for _ in range(REPEATS)), strict=True)
        per_network = median(built) / BUILT
        figures = {
            "look_up_ms": 1e3 * median(looked),
            "tables_ms": 1e3 * tables,
            "build_ms_each": 1e3 * per_network,
            "ratio": per_network * ARCHITECTURES / median(looked),
        }
        result[name] = {key: round(value, 2) for key, value in figures.items()}
        print(
            f"{name}: madds and params of {ARCHITECTURES:,} architectures in {figures['look_up_ms']:.1f} ms "
            f"(tables once {figures['tables_ms']:.0f} ms); building takes {figures['build_ms_each']:.0f} ms a network, "
            f"{figures['ratio']:,.0f} times as long"
        )
    write("counting", result)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
