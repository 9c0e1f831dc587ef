"""The start from weights that were brought along: what the body knows is kept, and its new classifier has a use of it.

All of it is a function of the weights and of training pictures; a run does it once, before its first step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from naturalize import rng
from naturalize.setting import Setting
from naturalize.space import Architecture
from naturalize.supernet import subnet
from naturalize.supernet.blocks import ElasticInvertedResidual
from naturalize.supernet.operators import ElasticConvNorm
from naturalize.tasks import Classification
from naturalize.tasks.classification import ClassificationHead
from naturalize.training.engine import memory_format
from naturalize.training.evaluate import fold, logits_of

PIXELS, LEAST = 2**24, 512  # of the training pictures that are looked at: 1,024 of 128 px; and their least number
DECAY = 0.1  # of squared weights on standardised features, against the mean loss (docs/benchmarks.md)
STEPS = 100


def squares(values: Tensor) -> Tensor:
    """Sums of the squares of values `(n, channels)`: `(channels,)`."""
    return values.square().sum(0)


def products(values: Tensor) -> Tensor:
    """Sums of the products of values `(n, channels)` by pairs of channels: `(channels, channels)`."""
    return values.T @ values


class Moments:
    """First and second moments by channel of what a module is given, over pictures and pixels, gathered while it runs.

    Args:
        second: `squares` or `products`.
    """

    def __init__(self, module: nn.Module, second: Callable[[Tensor], Tensor]) -> None:
        self.second = second
        self.count = 0
        self.sums: list[Tensor] = [torch.zeros(()), torch.zeros(())]
        module.register_forward_pre_hook(self)

    def __call__(self, module: nn.Module, inputs: tuple[Tensor]) -> None:
        values = inputs[0].movedim(1, -1).flatten(0, 2)
        self.count += len(values)
        found = values.sum(0), self.second(values)
        self.sums = [total + more.double().cpu() for total, more in zip(self.sums, found, strict=True)]

    @property
    def mean(self) -> Tensor:
        """Of each channel."""
        return self.sums[0] / self.count

    @property
    def central(self) -> Tensor:
        """The second moments about the mean: variances, or covariances."""
        return self.sums[1] / self.count - self.second(self.mean[None])


@torch.no_grad()
def fit_body(setting: Setting, arch: Architecture) -> None:
    """Fit a body that was trained as one network to these pictures; what that network computes stays the same.

    Args:
        arch: the largest of the body, whose stored statistics are true.
    """
    body = setting.supernet.body(arch)
    device = setting.error.device
    network = setting.supernet.extract(arch).to(memory_format=memory_format(device)).eval()  # type: ignore[call-overload]

    def pairs(elastic: type, plain: type) -> list[tuple[Any, Any]]:
        """What is elastic in the body, and what was cut from it."""
        both = (body, elastic), (network, plain)
        return list(zip(*([m for m in of.modules() if isinstance(m, kind)] for of, kind in both), strict=True))

    norms = [(operator, Moments(norm, squares)) for operator, norm in pairs(ElasticConvNorm, nn.BatchNorm2d)]
    blocks = [
        (block, Moments(plain.project, products))
        for block, plain in pairs(ElasticInvertedResidual, subnet.InvertedResidual)
    ]
    pixels = setting.error.calibration(np.arange(len(setting.error.calibration)), setting.error.resolution(arch))
    logits_of(network, pixels, device, setting.watch.progress)
    for operator, seen in norms:
        keep_function(operator, seen.mean, seen.central)
    for block, seen in blocks:
        block.reorder(by_contribution(block.project.weight.flatten(1), seen.central))


def keep_function(operator: ElasticConvNorm, mean: Tensor, var: Tensor) -> None:
    """Let an operator compute with other statistics, `(channels,)`, what it did with those that it came with.

    An ordinary trained network loses much of its accuracy when its batch norms take the statistics of other pictures:
    every channel of every layer is scaled anew. So the change of scale and shift goes into gamma and beta.
    """
    mean, var = mean.to(operator.gamma), var.to(operator.gamma)
    scale = operator.gamma * (operator.running_var + operator.eps).rsqrt()
    operator.beta.add_((mean - operator.running_mean) * scale)
    operator.gamma.copy_(scale * (var + operator.eps).sqrt())
    operator.running_mean.copy_(mean)
    operator.running_var.copy_(var)


def by_contribution(weight: Tensor, covariance: Tensor) -> Tensor:
    """Order of channels, the most important first, so that a projection of the first ones misses little.

    From the end: of the channels that are left, the one without which the variance of what is missing grows least
    (greedy removal as in ThiNet, Luo et al., ICCV 2017).

    Args:
        weight: of the projection, `(out, channels)`.
        covariance: of its inputs, `(channels, channels)`.

    Returns:
        `(channels,)`, a permutation.
    """
    weight = weight.to(covariance)
    missing = covariance * (weight.T @ weight)
    added = missing.diagonal().clone()
    order = []
    for _ in range(len(added)):
        least = int(added.argmin())
        order.append(least)
        added += 2 * missing[least]
        added[least] = torch.inf
    return torch.tensor(order[::-1])


@torch.no_grad()
def start_classifiers(setting: Setting, bodies: Sequence[Sequence[Architecture]]) -> None:
    """Fit the new classifier of each body to training pictures, as its architectures see them.

    Fine-tuning from a linear probe keeps more of what the body knows (Kumar et al., ICLR 2022). Nothing to do where
    pictures have no labels.

    Args:
        bodies: for each body of the family, in order, architectures whose features are good.
    """
    if not setting.trainer.labelled:
        return
    family, images = setting.supernet.family, setting.trainer.images
    most = max(LEAST, PIXELS // family.resolutions[-1] ** 2)
    rows = np.sort(rng.generator(setting.seed, "probe").permutation(len(images.labels))[:most])
    for body, archs in zip(family.bodies, bodies, strict=True):
        classifier = cast(ClassificationHead, setting.supernet.head_of(body)).classifier
        seen = [features_of(setting, arch, rows) for arch in archs]
        features = torch.cat([F.pad(each, [0, classifier.in_features - each.shape[1]]) for each in seen])
        weight, bias = logistic_regression(setting.task, features, images.labels[rows].repeat(len(archs)))
        classifier.weight.copy_(weight)
        classifier.bias.copy_(bias)


def features_of(setting: Setting, arch: Architecture, rows: NDArray[np.int64]) -> Tensor:
    """What the classifier of an architecture's calibrated network is given, `(len(rows), d)`, on the CPU."""
    network = fold(setting.error.network(arch))
    cast(subnet.ClassificationHead, network.head).classifier = nn.Identity()
    pixels = setting.trainer.images.pixels(rows, setting.error.resolution(arch))
    return logits_of(network, pixels, setting.error.device, setting.watch.progress).clone()


@torch.enable_grad()
def logistic_regression(task: Classification, features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Weight `(classes, d)` and bias `(classes,)` of a multinomial regression on features `(n, d)`, by L-BFGS.

    Features are standardised first, so that the decay weighs all alike; the result is for features as they came.
    """
    mean, std = features.mean(0), features.std(0).clamp_min(1e-6)
    standard = (features - mean) / std
    weight = torch.zeros(task.classes, features.shape[1], requires_grad=True)
    bias = torch.zeros(task.classes, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=STEPS, line_search_fn="strong_wolfe")

    def closure() -> float:
        optimizer.zero_grad()
        loss = task.loss(standard @ weight.T + bias, labels) + 0.5 * DECAY * weight.square().sum()
        loss.backward()
        return float(loss.detach())

    optimizer.step(closure)
    scaled = weight.detach() / std
    return scaled, bias.detach() - scaled @ mean
