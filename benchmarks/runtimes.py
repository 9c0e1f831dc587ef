"""Which runtime is fastest for which family on this CPU: one picture, one thread, float32, random weights.

    taskset -c 0 python benchmarks/runtimes.py

Every network is opened in every runtime that is installed, and all are run in turn with a reference in one process
(`latency.clock`), so that a busy neighbour slows all alike. Told is the median over the networks of a family of each
runtime's time over ONNX Runtime's, least and most, and milliseconds.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch
from common import write

from naturalize import rng
from naturalize.errors import UserError
from naturalize.exporting import FORMATS, Asked, Network
from naturalize.latency.bench import bare, reference_network
from naturalize.latency.clock import burst, ratios, runs_for
from naturalize.latency.runtimes import RUNTIMES, Once
from naturalize.latency.setting import CPU, CUDA, Setting
from naturalize.space import SearchSpace
from naturalize.supernet import Supernet, make_family
from naturalize.tasks import Classification

FAMILIES = {"mini": 32, "efficientnet-lite0": 96, "ofa-mbv3-w1.0": 192}  # the last has no side below
ROUNDS = 15


def installed() -> tuple[list[str], dict[str, str]]:
    """Names of the runtimes of this CPU, and by name of each the version, or why it is not here."""
    facts, here = {}, []
    for name in (name for name in RUNTIMES if name != CUDA):
        try:
            facts[name] = RUNTIMES[name].version()
            here.append(name)
        except UserError as error:
            facts[name] = str(error)
    return here, facts


def opened(network: Network, runtime: str, directory: Path) -> Once:
    """A network as a runtime runs it, on one thread."""
    kind = FORMATS[RUNTIMES[runtime].format]
    path = directory / f"{runtime}{kind.suffix}"
    for name, content in kind.files(network, path.name, Asked()).items():
        (directory / name).write_bytes(content)
    side, channels = network.card["resolution"], len(network.subnet.spec["normalize"]["mean"])
    return RUNTIMES[runtime].open(path, Setting(runtime), (channels, side, side))


def networks_of(name: str, side: int, n: int) -> list[Network]:
    """The largest network of a family at the resolution nearest to a side, and random ones of it: n in all."""
    family, task = make_family(name, side), Classification(10)
    torch.manual_seed(0)
    supernet = Supernet(family, {"default": task.heads(family)}, [0.0] * 3, [1.0] * 3).eval()
    code = int(np.argmin(np.abs(np.array(family.resolutions) - side)))
    first, *others = family.space.variables
    space = SearchSpace(name, [first.within(code, code), *others], family.space.rules)
    codes = np.concatenate([space.corners()[1:], space.sample_distinct(n - 1, rng.generator(0, "runtimes"))])
    return [bare(supernet, arch) for arch in family.space.architectures(codes)]


def main() -> None:
    """Print and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--families", nargs="+", choices=FAMILIES, default=list(FAMILIES))
    parser.add_argument("--networks", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    here, facts = installed()
    for name, text in facts.items():
        print(f"{name}: {text}")
    rows = []
    with tempfile.TemporaryDirectory() as at:
        reference = opened(reference_network(), CPU, Path(at))
        runs = runs_for(reference)
        reference_ms = 1e3 * min(burst(reference, runs) for _ in range(20))
        for family in arguments.families:
            found = []
            for network in networks_of(family, FAMILIES[family], arguments.networks):
                each = [opened(network, runtime, Path(at)) for runtime in here]
                found.append(np.median(ratios(each, reference, ROUNDS, lambda: None), axis=0))
            times = np.array(found) * reference_ms
            over = times / times[:, [here.index(CPU)]]
            side = network.card["resolution"]
            for place, runtime in enumerate(here):
                column = over[:, place]
                row = {
                    "family": family,
                    "side": side,
                    "runtime": runtime,
                    "milliseconds": np.round(times[:, place], 3).tolist(),
                    "over_onnxruntime": round(float(np.median(column)), 2),
                    "least_most": [round(float(column.min()), 2), round(float(column.max()), 2)],
                    "fastest": int(np.sum(times.argmin(axis=1) == place)),
                }
                rows.append(row)
                print(row, flush=True)
    write("runtimes", {"runtimes": facts, "reference_ms": reference_ms, "networks": arguments.networks, "rows": rows})


if __name__ == "__main__":
    main()
