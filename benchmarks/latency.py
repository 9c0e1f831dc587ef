"""The latency model: how well it tells networks that it was not fitted to, beside how well the clock tells them twice.

    python benchmarks/latency.py --seconds 240
    python benchmarks/latency.py --families mini --setting openvino

For each family the model is made anew on this machine, in a store of its own; then 30 networks that it does not know
are timed in two passes. Also timed is the model on 10,000 architectures.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from common import write
from scipy.stats import spearmanr

from naturalize import rng
from naturalize.latency.bench import Bench
from naturalize.latency.making import make_model
from naturalize.latency.setting import parse_setting
from naturalize.latency.store import Store
from naturalize.objectives.exact import whole_layers
from naturalize.objectives.latency import Latency
from naturalize.space import SearchSpace
from naturalize.supernet import Supernet, make_family
from naturalize.tasks import Classification

FAMILIES = {"mini": 32, "efficientnet-lite0": 128, "ofa-mbv3-w1.0": 192}
JUDGES = 30


def judged(name: str, side: int, setting_text: str, seconds: float) -> list[dict]:
    """Figures for one family at one resolution, for each kind of draw."""
    family = make_family(name, side)
    task, setting = Classification(10), parse_setting(setting_text)
    torch.manual_seed(0)
    supernet = Supernet(family, {"default": task.heads(family)}, [0.0] * 3, [1.0] * 3).eval()
    code = family.resolutions.index(side)
    first, *others = family.space.variables
    space = SearchSpace(name, [first.within(code, code), *others], family.space.rules)
    layers, rows = whole_layers(family, task, 3), []
    with tempfile.TemporaryDirectory() as directory, Bench(supernet, setting) as bench:
        start = time.monotonic()
        store = Store(setting, Path(directory))
        model, inside = make_model(bench, space, layers, store, seconds)
        made_s = time.monotonic() - start
        latency = Latency(model, family, task, 3)
        for draw in (SearchSpace.sample_distinct, SearchSpace.sample_trimmed):
            codes = draw(space, JUDGES, rng.generator(1, "held-out networks"))
            archs = family.space.architectures(codes)
            passes = [
                np.concatenate([bench.medians(archs[i : i + Bench.group]) for i in range(0, JUDGES, Bench.group)])
                for _ in range(2)
            ]
            clock = np.stack(passes) * store.reference_s * 1e3
            told, mean = latency(codes), clock.mean(axis=0)
            rows.append(
                {
                    "family": name,
                    "side": side,
                    "drawn": draw.__name__,
                    "milliseconds": [round(float(mean.min()), 3), round(float(mean.max()), 3)],
                    "spearman": round(float(spearmanr(told, mean).statistic), 4),
                    "spearman_of_passes": round(float(spearmanr(*clock).statistic), 4),
                    "spearman_of_madds": round(float(spearmanr(layers(codes).madds().sum(1), mean).statistic), 4),
                    "median_error_percent": round(float(100 * np.median(np.abs(told - mean) / mean)), 2),
                    "made_s": round(made_s, 1),
                    "fitted_to": len(store.samples.rows),
                    "layers": len(store.samples.keys),
                    "inside": vars(inside),
                }
            )
    many = space.sample(10_000, rng.generator(2, "many"))
    latency(many[:10])
    start = time.perf_counter()
    latency(many)
    rows[0]["ten_thousand_ms"] = round(1e3 * (time.perf_counter() - start), 2)
    return rows


def main() -> None:
    """Print and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--families", nargs="+", choices=FAMILIES, default=list(FAMILIES))
    parser.add_argument("--setting", default="cpu")
    parser.add_argument("--seconds", type=float, default=240.0)
    arguments = parser.parse_args()
    rows = []
    for name in arguments.families:
        rows += judged(name, FAMILIES[name], arguments.setting, arguments.seconds)
    for row in rows:
        print(row)
    write(f"latency-{arguments.setting}", {"seconds": arguments.seconds, "rows": rows})


if __name__ == "__main__":
    main()
