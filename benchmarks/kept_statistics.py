"""Which statistics batch norms of photographs' networks should have, and what adaptation should draw.

    python benchmarks/kept_statistics.py statistics dtd10 food101_6 clothing
    python benchmarks/kept_statistics.py draws clothing dtd10 --steps 200

Choices: 70% of the training pictures are used, the other 30% answer; no test picture is opened.

- statistics: errors of linear probes on frozen EfficientNet-Lite0 and on subnets of it, channels in order, at two
  resolutions: norms as published for every subnet; relative to them by kernel and expansion (`reconstruct`);
  these moved by a quarter and by half towards those of 256 of the user's pictures at that resolution; towards those of
  256 pictures of something else (clothing, or dtd10 for clothing) altogether; re-estimated on the user's, after scale
  and shift changed so that the largest keeps its function; and norms of another kind, over groups of 8 channels of each
  picture (Wu & He, ECCV 2018), scale and shift of each channel fitted so that means and variances of its answers on
  these 256 pictures stay those of the norms by option.
- draws: training for the same number of multiply-adds, with kept statistics: the whole network at random resolutions;
  the whole with more or less left out; both in turn; uniform architectures. Hypervolume of the whole networks, and of
  them with 90 others that are the same for all ways; reference 90% and a tenth more than the largest.
"""

import argparse
import copy
import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from common import SHARED, write
from torch import nn

from naturalize.data import Pixels, open_data
from naturalize.data.augment import Augment
from naturalize.objectives.exact import exact_counts
from naturalize.preparing import RATE_OF_KEPT
from naturalize.reconstruction import reconstruct
from naturalize.search import hypervolume
from naturalize.supernet import Supernet, make_family, subnet
from naturalize.supernet.operators import ElasticConvNorm
from naturalize.tasks import Classification
from naturalize.training.adapt import CLIP, make_optimizer
from naturalize.training.calibrate import calibrate
from naturalize.training.evaluate import fold, logits_of
from naturalize.warm_start import Moments, keep_function, logistic_regression, pairs
from naturalize.weights import published_supernet, transplant

SEED, HELD_OUT, BATCH = 100, 0.3, 64
FIT, FIT_SIDE = 128, 96
OF_A_GROUP = 8  # channels
CPU = torch.device("cpu")


class Work:
    """Pictures of a set, cut by class, and a supernet with published weights and channels in order."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.data = open_data(SHARED / f"{name}-train.parquet", seed=SEED)
        known = np.sort(np.concatenate([self.data.splits["train"], self.data.splits["val"]]))
        draw, labels = np.random.default_rng(SEED), self.data.labels[known]
        of_classes = [draw.permutation(known[labels == number]) for number in np.unique(labels)]
        held_out = np.sort(np.concatenate([rows[: max(1, round(HELD_OUT * len(rows)))] for rows in of_classes]))
        family = make_family("efficientnet-lite0", 128 if self.data.side >= 128 else 96)
        self.family = replace(family, offsets=False)  # statistics alone
        self.train = Pixels(self.data, np.setdiff1d(known, held_out), self.family.resolutions)
        self.held_out = Pixels(self.data, held_out, self.family.resolutions)
        self.task = Classification(len(self.data.class_names))
        self.madds = exact_counts(self.family, self.task, 3)["madds"]
        self.space = self.family.space
        self.truth = torch.from_numpy(self.held_out.labels)

    def supernet(self) -> Supernet:
        """A new one, its options fitted."""
        torch.manual_seed(SEED)
        source = published_supernet("efficientnet-lite0")
        mean, std = (part.flatten().tolist() for part in (source.normalize.mean, source.normalize.std))
        made = Supernet(self.family, {"default": self.task.heads(self.family)}, mean, std)
        transplant(made, source)
        made = made.to(memory_format=torch.channels_last).eval()
        network = made.extract(self.space.largest).to(memory_format=torch.channels_last)
        pixels = torch.from_numpy(self.train(np.arange(min(FIT, len(self.train))), FIT_SIDE))
        reconstruct(made.body(self.space.largest), network, pixels)
        return made

    def features(self, network: nn.Module, pixels: Pixels, side: int) -> torch.Tensor:
        """What a network without classifier answers."""
        return logits_of(network, pixels(np.arange(len(pixels)), side), CPU).clone()

    def probe_error(self, network: subnet.Subnet, side: int) -> float:
        """Of a classifier that is fitted to its features."""
        network = network.to(memory_format=torch.channels_last).eval()
        network.head.classifier = nn.Identity()
        labels = torch.from_numpy(self.train.labels)
        weight, bias = logistic_regression(self.task, self.features(network, self.train, side), labels)
        answers = (self.features(network, self.held_out, side) @ weight.T + bias).argmax(1)
        return 100.0 * float((answers != self.truth).float().mean())


def moved(network: subnet.Subnet, pixels: torch.Tensor, share: float) -> subnet.Subnet:
    """The network, its statistics moved by a share towards those of pixels."""
    other = calibrate(copy.deepcopy(network), pixels)
    pairs_of_norms = zip(network.modules(), other.modules(), strict=True)
    for ours, theirs in pairs_of_norms:
        if isinstance(ours, nn.BatchNorm2d):
            ours.running_mean.lerp_(theirs.running_mean, share)
            ours.running_var.lerp_(theirs.running_var, share)
    return network


def grouped(network: subnet.Subnet, pixels: torch.Tensor) -> subnet.Subnet:
    """The network with group norms, whose answers to pixels have the mean and variance by channel that they had."""
    network = network.to(memory_format=torch.channels_last).eval()
    wanted: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}

    def look(name: str, _: nn.Module, __: object, answer: torch.Tensor) -> None:
        wanted[name] = moments(answer)

    def fit(name: str, norm: nn.Module, __: object, answer: torch.Tensor) -> torch.Tensor:
        (mean, variance), (own_mean, own_variance) = wanted[name], moments(answer)
        norm.weight.copy_((variance / own_variance.clamp_min(norm.eps)).sqrt())
        norm.bias.copy_(mean - own_mean * norm.weight)
        return answer * norm.weight[:, None, None] + norm.bias[:, None, None]

    norms = {name: module for name, module in network.named_modules() if isinstance(module, nn.BatchNorm2d)}
    with torch.no_grad():
        answer_with(network, pixels, {module: partial(look, name) for name, module in norms.items()})
        others = {name: nn.GroupNorm(n.num_features // OF_A_GROUP, n.num_features) for name, n in norms.items()}
        for name, norm in others.items():
            network.set_submodule(name, norm)
        answer_with(network, pixels, {norm: partial(fit, name) for name, norm in others.items()})
    return network


def moments(answer: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and variance by channel."""
    return answer.mean((0, 2, 3)), answer.var((0, 2, 3), correction=0)


def answer_with(network: nn.Module, pixels: torch.Tensor, hooks: dict[nn.Module, Callable[..., object]]) -> None:
    """One pass, with a forward hook on each of some modules."""
    handles = [module.register_forward_hook(hook) for module, hook in hooks.items()]
    network(pixels)
    for handle in handles:
        handle.remove()


def statistics(work: Work) -> list[dict[str, object]]:
    """The table of probes."""
    general = Work("dtd10" if work.name == "clothing" else "clothing").train
    by_option = work.supernet()
    shared, own = copy.deepcopy(by_option), copy.deepcopy(by_option)
    for operator in shared.modules():
        if isinstance(operator, ElasticConvNorm):
            operator.mean_shift.zero_()
            operator.var_factor.fill_(1.0)
    network = own.extract(work.space.largest).to(memory_format=torch.channels_last)
    seen = [(norm, Moments(plain)) for norm, plain in pairs(own, ElasticConvNorm, network, nn.BatchNorm2d)]
    logits_of(network, work.train(np.arange(min(256, len(work.train))), work.family.resolutions[-1]), CPU)
    with torch.no_grad():
        for operator, found in seen:
            keep_function(operator, found.mean, found.variance)
    rows: list[dict[str, object]] = []
    codes = {"largest": work.space.upper.copy()}
    for name, code in (("kernels of 3", 7), ("expansions of 4", 6), ("expansions of 3", 4)):
        codes[name] = np.where(np.arange(len(work.space)) < 2, work.space.upper, code)
    for number, code in enumerate(work.space.sample(2, np.random.default_rng(3))):
        codes[f"random {number}"] = code
    codes["smallest"] = work.space.lower.copy()
    for side in (48, 96):
        for name, code in codes.items():
            code[0] = work.family.resolutions.index(side)
            (arch,) = work.space.architectures(work.space.repair(code[None]))
            pixels, others = (torch.from_numpy(of(np.arange(min(256, len(of))), side)) for of in (work.train, general))
            row = {
                "set": work.name,
                "side": side,
                "network": name,
                "published": work.probe_error(shared.extract(arch), side),
                "by option": work.probe_error(by_option.extract(arch), side),
                "moved by 1/4": work.probe_error(moved(by_option.extract(arch), pixels, 0.25), side),
                "moved by 1/2": work.probe_error(moved(by_option.extract(arch), pixels, 0.5), side),
                "of others": work.probe_error(moved(by_option.extract(arch), others, 1.0), side),
                "re-estimated": work.probe_error(calibrate(own.extract(arch), pixels), side),
                "group norms": work.probe_error(grouped(by_option.extract(arch), pixels), side),
            }
            rows.append(row)
            print("  ".join(f"{v:.1f}" if isinstance(v, float) else str(v) for v in row.values()), flush=True)
    return rows


def drawn(work: Work, way: str, step: int, draw: np.random.Generator) -> np.ndarray:
    """The code of a step."""
    code = work.space.sample(1, draw)[0] if way == "uniform" else work.space.sample_trimmed(1, draw)[0]
    if way == "whole" or (way == "in turn" and step % 2 == 0):
        code[1:] = work.space.upper[1:]
    return code


def train(work: Work, way: str, steps: int) -> dict[str, object]:
    """Train one way, then measure."""
    supernet, draw = work.supernet(), np.random.default_rng(SEED + 1)
    network = supernet.extract(work.space.largest).to(memory_format=torch.channels_last)
    network.head.classifier = nn.Identity()
    labels = torch.from_numpy(work.train.labels)
    seen = [work.features(network, work.train, side) for side in (48, 96)]
    with torch.no_grad():
        classifier = supernet.head_of(0).classifier
        for ours, found in zip(
            (classifier.weight, classifier.bias),
            logistic_regression(work.task, torch.cat(seen), labels.repeat(2)),
            strict=True,
        ):
            ours.copy_(found)
    optimizer, augment = make_optimizer(supernet, 1e-3, adaptive=True), Augment(flip=True)
    budget, used, step, order = steps * 35e6, 0.0, 0, np.empty(0, dtype=np.int64)
    while used < budget:
        for group in optimizer.param_groups:
            group["lr"] = RATE_OF_KEPT * min(1.0, (step + 1) / 10) * 0.5 * (1 + math.cos(math.pi * used / budget))
        if len(order) < BATCH:
            order = np.concatenate([order, draw.permutation(len(work.train))])
        rows, order = order[:BATCH], order[BATCH:]
        (arch,) = work.space.architectures(work.space.repair(drawn(work, way, step, draw)[None]))
        pixels = torch.from_numpy(work.train(rows, work.family.resolutions[arch.code[0]]))
        images = augment(supernet.normalize(pixels), step).contiguous(memory_format=torch.channels_last)
        optimizer.zero_grad(set_to_none=True)
        work.task.loss(supernet(images, arch), labels[rows]).backward()
        nn.utils.clip_grad_norm_(supernet.parameters(), CLIP)
        optimizer.step()
        used, step = used + float(work.madds(np.array([arch.code]))[0]) + 3e6, step + 1
    wholes = np.tile(work.space.upper, (len(work.family.resolutions), 1))
    wholes[:, 0] = np.arange(len(wholes))
    codes = np.concatenate([wholes, work.space.sample_trimmed(90, np.random.default_rng(5))])
    errors = []
    for arch in work.space.architectures(codes):
        network = fold(supernet.extract(arch).eval()).to(memory_format=torch.channels_last)
        answers = work.features(network, work.held_out, work.family.resolutions[arch.code[0]]).argmax(1)
        errors.append(100.0 * float((answers != work.truth).float().mean()))
    values = np.stack([np.array(errors), work.madds(codes)], 1)
    reference = [90.0, 1.1 * float(values[:, 1].max())]
    return {
        "set": work.name,
        "way": way,
        "steps": step,
        "hypervolume of wholes": hypervolume(values[: len(wholes)], reference),
        "hypervolume of all": hypervolume(values, reference),
        "wholes": {work.family.resolutions[i]: errors[i] for i in range(len(wholes))},
    }


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["statistics", "draws"])
    parser.add_argument("sets", nargs="+")
    parser.add_argument("--steps", type=int, default=200, help="of a batch of 64 by a network of 35 M multiply-adds")
    asked = parser.parse_args()
    rows: list[dict[str, object]] = []
    for name in asked.sets:
        work = Work(name)
        if asked.what == "statistics":
            rows += statistics(work)
            continue
        for way in ("whole", "trimmed", "in turn", "uniform"):
            rows.append(train(work, way, asked.steps))
            print(rows[-1], flush=True)
    write(f"kept-{asked.what}", {"rows": rows})


if __name__ == "__main__":
    main()
