"""Int8 networks of a front of `mini`: which way to quantise them loses least, on test, and how fast they are.

    python benchmarks/small_pictures.py --images 5000 --budget 3m --runs /tmp/small
    python benchmarks/int8_options.py /tmp/small/5000-3m-mini-0 /tmp/small/cifar10-5000-train.parquet --steps 160

Networks are spread over the front. Each is quantised as it is; trained on by itself, as `finetune` does, and quantised;
trained on with ReLU6 in place of h-swish; and trained on with fake quantisation (straight-through gradients, PyTorch's
observers), whose weights our own writer then quantises. All trainings of a network see the same pictures in the same
order, for the same number of steps; a seed draws them. Calibration is on training pictures, and so is the choice
between the two methods. Nothing is chosen on validation or test. Int8 is run with products that cannot saturate.
"""

import argparse
import copy
import statistics
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import torch
from common import SHARED, write
from torch import Tensor, nn
from torch.ao.quantization import FakeQuantize, MovingAverageMinMaxObserver, PerChannelMinMaxObserver
from torch.nn.utils import parametrize

from naturalize.data import Pixels, open_data
from naturalize.exporting import Asked, Network
from naturalize.exporting.onnx_file import LOGITS, PIXELS, onnx_bytes
from naturalize.exporting.onnx_int8 import METHODS, OPSET, PICTURES, int8_files, quantized, spread
from naturalize.exporting.onnx_model import PRECISE, make_session
from naturalize.finetuning import trained
from naturalize.last_adaptation import with_validation
from naturalize.latency.clock import ratios
from naturalize.run import Run, Watch
from naturalize.run.run import RunNetwork
from naturalize.supernet import Subnet
from naturalize.training.adapt import Extent
from naturalize.workbench import Workbench, open_workbench

BATCH, ROUNDS, TEST = 50, 15, 4000
WEIGHTS = PerChannelMinMaxObserver.with_args(dtype=torch.qint8, qscheme=torch.per_channel_symmetric, ch_axis=0)
MAPS = MovingAverageMinMaxObserver.with_args(dtype=torch.quint8, qscheme=torch.per_tensor_affine)
PUT_OUT = (nn.BatchNorm2d, nn.Hardswish, nn.ReLU, nn.ReLU6, nn.Linear)  # whose outputs the int8 file keeps in 8 bits


class FakeWeights(nn.Module):
    """Weights as 8 bits by channel hold them."""

    def __init__(self) -> None:
        super().__init__()
        self.fake = FakeQuantize(WEIGHTS, quant_min=-127, quant_max=127, dtype=torch.qint8, ch_axis=0)

    def forward(self, weight: Tensor) -> Tensor:
        return self.fake(weight)


@contextmanager
def fake_quantized(subnet: Subnet) -> Iterator[None]:
    """Let a network compute as its int8 file will, with gradients that pass straight through the rounding.

    Batch norms scale whole channels, and weights have a scale by channel: folding them in changes nothing.
    """
    hooks = []
    for module in list(subnet.modules()):
        if isinstance(module, nn.Conv2d | nn.Linear):
            parametrize.register_parametrization(module, "weight", FakeWeights())
        if isinstance(module, PUT_OUT) or getattr(module, "skip", False) or module is getattr(subnet.head, "mix", None):
            fake = FakeQuantize(MAPS, quant_min=0, quant_max=255, dtype=torch.quint8)
            hooks.append(module.register_forward_hook(lambda module, given, found, fake=fake: fake(found)))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
        for module in list(subnet.modules()):
            if parametrize.is_parametrized(module):
                parametrize.remove_parametrizations(module, "weight", leave_parametrized=False)


def with_relu6(subnet: Subnet) -> Subnet:
    """The network with ReLU6 in place of h-swish."""
    for module in list(subnet.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.Hardswish):
                setattr(module, name, nn.ReLU6())
    return subnet


class Front:
    """Networks of a run's front, trained on and judged.

    Args:
        run, bench: of the networks.
        test: pictures that nothing has learnt from.
        steps: of each training.
    """

    def __init__(self, run: Run, bench: Workbench, test: Pixels, steps: int) -> None:
        self.run, self.bench, self.test, self.steps = run, with_validation(bench), test, steps
        self.calibration = run.stored("calibration")

    def train(self, network: Network, seed: int, way: str) -> Network:
        """A copy of a network after a training by itself: `float`, `relu6` or `qat`."""
        subnet = copy.deepcopy(network.subnet)
        arch = self.run.family.space.parse(network.card["architecture"])
        trainer = self.bench.trainer
        bench = replace(self.bench, trainer=replace(trainer, batches=replace(trainer.batches, seed=seed)))
        extent = Extent(steps=self.steps)
        if way == "qat":
            with fake_quantized(subnet):
                trained(bench, subnet, arch, extent)
            return Network(bench.subnets.calibrated(subnet, arch).eval(), network.card)
        return Network(trained(bench, with_relu6(subnet) if way == "relu6" else subnet, arch, extent), network.card)

    def float_file(self, network: Network) -> bytes:
        """The ONNX file of a network."""
        return onnx_bytes(network, OPSET)

    def int8_file(self, network: Network) -> bytes:
        """The file that `export --format onnx-int8` writes."""
        pixels = self.calibration_pixels(network)
        return int8_files(network, "model.onnx", Asked(calibration=pixels))["model.onnx"]

    def calibration_pixels(self, network: Network) -> np.ndarray:
        """All pictures that may calibrate it."""
        return self.calibration(np.arange(len(self.calibration)), network.card["resolution"])

    def error(self, content: bytes, side: int) -> float:
        """Percent of the test pictures that a file gets wrong."""
        session, wrong = make_session(content, 1, PRECISE), 0
        for start in range(0, len(self.test), BATCH):
            rows = np.arange(start, min(start + BATCH, len(self.test)))
            (logits,) = session.run([LOGITS], {PIXELS: self.test(rows, side)})
            wrong += int((logits.argmax(1) != self.test.labels[rows]).sum())
        return 100.0 * wrong / len(self.test)

    def times(self, files: dict[str, bytes], side: int) -> dict[str, float]:
        """How many times as fast as the first file each of the others is, on one thread, a picture at a time."""
        one = self.test(np.array([0]), side)

        def once(content: bytes) -> Callable[[], object]:
            session = make_session(content, 1, {})
            return lambda: session.run([LOGITS], {PIXELS: one})

        reference, *others = (once(content) for content in files.values())
        found = np.median(ratios(others, reference, ROUNDS, lambda: None), axis=0)
        return {name: round(1 / float(ratio), 2) for name, ratio in zip(list(files)[1:], found, strict=True)}


def figures(front: Front, chosen: RunNetwork, seeds: int) -> dict[str, Any]:
    """Test errors and times of one network, in every way."""
    network, measured = chosen.load(), chosen.measured
    side = measured.resolution
    plain, pixels = front.float_file(network), spread(front.calibration_pixels(network), PICTURES)
    row: dict[str, Any] = {"architecture": measured.architecture, "px": side, "madds": measured.madds}
    row["error"] = {"float": front.error(plain, side)}
    row["error"] |= {f"int8 {method}": front.error(quantized(plain, method, pixels), side) for method in METHODS}
    int8 = front.int8_file(network)
    row["error"]["int8 by agreement"] = front.error(int8, side)
    row["bytes"] = {"float": len(plain), "int8": len(int8)}
    print(row, flush=True)
    row["trained"] = []
    for seed in range(seeds):
        found: dict[str, Any] = {"seed": seed}
        for way in ("float", "relu6", "qat"):
            other = front.train(network, seed, way)
            file, of_int8 = front.float_file(other), front.int8_file(other)
            found |= {f"{way}": front.error(file, side), f"{way} int8": front.error(of_int8, side)}
            if way == "relu6" and not seed:
                files = {"float": plain, "int8": int8, "relu6": file, "relu6 int8": of_int8}
        row["trained"].append(found)
        print(found, flush=True)
    row["times_as_fast_as_float"] = front.times(files, side)
    return row


def summary(rows: list[dict[str, Any]]) -> dict[str, float]:
    """The mean test error of each way over networks and seeds."""
    means = {name: statistics.mean(row["error"][name] for row in rows) for name in rows[0]["error"]}
    names = [name for name in rows[0]["trained"][0] if name != "seed"]
    every = [found for row in rows for found in row["trained"]]
    means |= {f"trained on, {name}": statistics.mean(found[name] for found in every) for name in names}
    return {name: round(value, 2) for name, value in means.items()}


def main() -> None:
    """Print and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("data", type=Path, help="the training pictures of the run, a part of CIFAR-10")
    parser.add_argument("--steps", type=int, default=160)
    parser.add_argument("--networks", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=2)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    run, unseen = Run(asked.run), open_data(str(SHARED / "cifar10-test.parquet"))
    front = run.front()
    places = np.linspace(0, len(front) - 1, asked.networks).round().astype(int)
    rows = np.random.default_rng(0).permutation(len(unseen.labels))[:TEST]
    test = Pixels(unseen, np.sort(rows), sorted({front[place].resolution for place in places}))
    watch = Watch([], monotonic())
    with closing(run.archive()) as archive:
        bench = open_workbench(run, open_data(str(asked.data)), archive, watch)
        every = Front(run, bench, test, asked.steps)
        found = [figures(every, RunNetwork(run, front[place]), asked.seeds) for place in places]
    means = summary(found)
    for row in found:
        print(row["architecture"], row["px"], row["madds"], row["times_as_fast_as_float"])
    print("\n".join(f"{name:32} {value:6.2f}" for name, value in means.items()))
    result = {"steps": asked.steps, "test": len(test), "seeds": asked.seeds, "mean_error": means, "networks": found}
    write("int8-options", result)


if __name__ == "__main__":
    main()
