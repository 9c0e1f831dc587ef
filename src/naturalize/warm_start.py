"""Start from trained weights: keep the function of the body, and fit new classifiers to its features.

The result depends on the weights and on training pictures alone; a run does it once, before its first step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from naturalize import rng
from naturalize.reconstruction import reconstruct
from naturalize.space import Architecture
from naturalize.supernet import Supernet, subnet
from naturalize.supernet.operators import ElasticConvNorm
from naturalize.tasks import Task
from naturalize.tasks.classification import ClassificationHead
from naturalize.training.engine import memory_format
from naturalize.training.evaluate import fold, logits_of
from naturalize.workbench import Workbench

OF_A_CLASS = 5  # training pictures of each class, at least, that a classifier is fitted to, where there are as many
FIT_PICTURES, FIT_SIDE = 128, 96  # pictures that options get statistics from, and about which side they have
PIXELS, LEAST = 2**24, 512  # pixels of the training pictures in use, as 1,024 of 128 px; least number of pictures
DECAY = 0.1  # factor of squared weights on standardised features, beside the mean loss (docs/benchmarks.md)
DECAY_NEAR = 0.5  # factor of the squared difference to weights that it is kept close to
FLOOR = 0.1  # least deviation of a feature, as a share of the mean one: those that hardly vary are not blown up
STEPS, STEPS_NEAR = 100, 20  # L-BFGS steps at most; the same where it is kept close to weights


@torch.no_grad()
def fit_body(bench: Workbench, arch: Architecture) -> None:
    """Fit a body that was trained as one network to a run's pictures; the function of that network stays the same.

    Channels are put in order, and options get statistics. Where subnets take statistics of the user's pictures, scale
    and shift of the norms change too, so that the function stays.

    Args:
        bench: of the run.
        arch: the largest of the body, whose stored statistics are true.
    """
    body, train = bench.supernet.eval().body(arch), bench.trainer.images.pixels
    side = min(bench.supernet.family.resolutions, key=lambda side: abs(side - FIT_SIDE))
    rows = np.sort(rng.generator(bench.seed, "fit").permutation(len(train))[:FIT_PICTURES])
    with bench.watch.phase("body"):
        reconstruct(body, plain_network(bench, bench.supernet, arch), on_device(bench, train(rows, side)))
    if bench.run.keeps_statistics:
        return
    network = plain_network(bench, bench.supernet, arch)
    norms = [(norm, Moments(plain)) for norm, plain in pairs(body, ElasticConvNorm, network, nn.BatchNorm2d)]
    calibration = bench.subnets.calibration
    pixels = calibration(np.arange(len(calibration)), bench.subnets.resolution(arch))
    logits_of(network, pixels, bench.device, bench.watch.progress)
    for operator, seen in norms:
        keep_function(operator, seen.mean, seen.variance)


def plain_network(bench: Workbench, supernet: Supernet, arch: Architecture) -> subnet.Subnet:
    """A supernet's subnet with the stored statistics, on the device."""
    network = supernet.extract(arch).eval()
    return network.to(bench.device, memory_format=memory_format(bench.device))  # type: ignore[call-overload]


def with_classifier(network: subnet.Subnet, weight: Tensor, bias: Tensor) -> subnet.Subnet:
    """The network, changed in place, with a classifier of weight `(classes, channels)` and bias `(classes,)`."""
    classifier = cast(subnet.ClassificationHead, network.head).classifier
    device = next(network.parameters()).device
    classifier.weight, classifier.bias = nn.Parameter(weight.to(device)), nn.Parameter(bias.to(device))
    return network


def without_classifier(network: subnet.Subnet) -> subnet.Subnet:
    """The network, folded in place, up to what its classifier takes."""
    network = fold(network)
    cast(subnet.ClassificationHead, network.head).classifier = nn.Identity()
    return network


def on_device(bench: Workbench, pixels: NDArray[np.uint8]) -> Tensor:
    """Pixels `(n, channels, r, r)` as a tensor on the device, in its memory format."""
    return torch.from_numpy(pixels).to(bench.device).contiguous(memory_format=memory_format(bench.device))


def pairs(body: nn.Module, elastic: type, network: nn.Module, plain: type) -> list[tuple[Any, Any]]:
    """The elastic modules of a body, each with the plain module of the network that was cut from it."""
    both = (body, elastic), (network, plain)
    return list(zip(*([m for m in of.modules() if isinstance(m, kind)] for of, kind in both), strict=True))


class Moments:
    """Mean and variance by channel of a module's inputs, over pictures and pixels, gathered while it runs."""

    def __init__(self, module: nn.Module) -> None:
        self.count = 0
        self.sums: list[Tensor] = [torch.zeros(()), torch.zeros(())]
        module.register_forward_pre_hook(self)

    def __call__(self, module: nn.Module, inputs: tuple[Tensor]) -> None:
        values = inputs[0].movedim(1, -1).flatten(0, 2)
        self.count += len(values)
        found = values.sum(0), values.square().sum(0)
        self.sums = [total + more.double().cpu() for total, more in zip(self.sums, found, strict=True)]

    @property
    def mean(self) -> Tensor:
        """Mean of each channel, `(channels,)`."""
        return self.sums[0] / self.count

    @property
    def variance(self) -> Tensor:
        """Variance of each channel, `(channels,)`."""
        return self.sums[1] / self.count - self.mean.square()


def keep_function(operator: ElasticConvNorm, mean: Tensor, var: Tensor) -> None:
    """Give an operator other statistics, `(channels,)`, without a change of what it computes.

    An ordinary trained network loses much of its accuracy when its batch norms take the statistics of other pictures:
    every channel of every layer is scaled anew. So the change of scale and shift goes into gamma and beta.
    """
    mean, var = mean.to(operator.gamma), var.to(operator.gamma)
    scale = operator.gamma * (operator.running_var + operator.eps).rsqrt()
    operator.beta.add_((mean - operator.running_mean) * scale)
    operator.gamma.copy_(scale * (var + operator.eps).sqrt())
    operator.running_mean.copy_(mean)
    operator.running_var.copy_(var)


@torch.no_grad()
def start_classifiers(bench: Workbench, bodies: Sequence[Sequence[Architecture]]) -> None:
    """Fit the new classifier of each body to training pictures, as its architectures see them.

    Fine-tuning from a linear probe keeps more of what the body knows (Kumar et al., ICLR 2022). Nothing to do where
    pictures have no labels.

    Args:
        bench: of the run.
        bodies: for each body of the family, in order, architectures whose features are good.
    """
    if not bench.trainer.labelled or not bench.classifies:
        return
    family, images = bench.supernet.family, bench.trainer.images
    most = max(LEAST, PIXELS // family.resolutions[-1] ** 2)
    rows = fitted_rows(bench, most)
    for body, archs in zip(family.bodies, bodies, strict=True):
        channels = classifier_of(bench, body).in_features
        seen = [features_of(bench, arch, rows) for arch in archs]
        features = torch.cat([F.pad(each, [0, channels - each.shape[1]]) for each in seen])
        labels = torch.cat([images.labels[rows]] * len(archs))
        set_classifier(bench, body, *logistic_regression(bench.task, features, labels))


def fitted_rows(bench: Workbench, number: int) -> NDArray[np.int64]:
    """Up to a number of training pictures that a classifier is fitted to, ascending; some of each class first."""
    labels = bench.trainer.images.labels.numpy()
    drawn = rng.generator(bench.seed, "probe").permutation(len(labels))
    later = places(labels[drawn]) >= min(OF_A_CLASS, number // bench.task.classes)
    return np.sort(drawn[np.argsort(later, kind="stable")[:number]])


def places(labels: NDArray[Any]) -> NDArray[np.int64]:
    """Place of each picture among those of its class, or of that of its classes which gives the first, `(n,)`, from 0.

    Args:
        labels: classes `(n,)`, or which classes each picture has, `(n, classes)`; one without any comes last.
    """
    if labels.ndim == 2:
        among: NDArray[np.int64] = np.where(labels, labels.cumsum(axis=0, dtype=np.int64) - 1, len(labels)).min(axis=1)
        return among
    in_class, numbers = np.argsort(labels, kind="stable"), np.bincount(labels)
    place = np.empty(len(labels), dtype=np.int64)
    place[in_class] = np.arange(len(labels)) - np.repeat(np.cumsum(numbers) - numbers, numbers)
    return place


def classifier_of(bench: Workbench, body: int) -> nn.Linear:
    """The classifier on the body of this code."""
    return cast(ClassificationHead, bench.supernet.head_of(body)).classifier


@torch.no_grad()
def set_classifier(bench: Workbench, body: int, weight: Tensor, bias: Tensor) -> None:
    """Set weight `(classes, channels)` and bias `(classes,)` of the classifier on a body."""
    classifier = classifier_of(bench, body)
    classifier.weight.copy_(weight)
    classifier.bias.copy_(bias)


def features_of(bench: Workbench, arch: Architecture, rows: NDArray[np.int64]) -> Tensor:
    """Inputs of the classifier of an architecture's calibrated network, `(len(rows), d)`, on the CPU."""
    network = without_classifier(bench.subnets.of(arch))
    pixels = bench.trainer.images.pixels(rows, bench.subnets.resolution(arch))
    return logits_of(network, pixels, bench.device, bench.watch.progress).clone()


@torch.enable_grad()
def logistic_regression(
    task: Task, features: Tensor, labels: Tensor, near: tuple[Tensor, Tensor] | None = None
) -> tuple[Tensor, Tensor]:
    """Weight `(classes, d)` and bias `(classes,)` of a regression by the task's loss on features `(n, d)`, by L-BFGS.

    Features are standardised first, so that the decay weighs all alike; the result is for features as they came.

    Args:
        task: whose loss is minimised.
        features, labels: `(n, d)` and `(n, ...)`.
        near: weight and bias that it is kept close to, in place of 0.
    """
    mean, std = features.mean(0), features.std(0)
    std = std.clamp_min(FLOOR * float(std.mean()) + 1e-6)
    standard = (features - mean) / std
    if near is None:
        target, first = torch.zeros(task.classes, features.shape[1]), torch.zeros(task.classes)
    else:
        target, first = near[0] * std, near[1] + near[0] @ mean
    decay = DECAY if near is None else DECAY_NEAR
    weight, bias = target.clone().requires_grad_(True), first.clone().requires_grad_(True)
    steps = STEPS if near is None else STEPS_NEAR
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=steps, line_search_fn="strong_wolfe")

    def closure() -> float:
        optimizer.zero_grad()
        loss = task.loss(standard @ weight.T + bias, labels) + 0.5 * decay * (weight - target).square().sum()
        loss.backward()
        return float(loss.detach())

    optimizer.step(closure)
    scaled = weight.detach() / std
    return scaled, bias.detach() - scaled @ mean
