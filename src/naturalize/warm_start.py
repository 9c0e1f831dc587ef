"""The start from weights that were brought along: what the body knows is kept, and its new classifier has a use of it.

Both are functions of the weights and of training pictures; a run does them once, before its first step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from naturalize import rng
from naturalize.setting import Setting
from naturalize.space import Architecture
from naturalize.supernet import subnet
from naturalize.supernet.operators import ElasticConvNorm
from naturalize.tasks import Classification
from naturalize.tasks.classification import ClassificationHead
from naturalize.training.evaluate import fold, logits_of

PIXELS, LEAST = 2**24, 512  # of the training pictures that are looked at: 1,024 of 128 px; and their least number
DECAY = 0.1  # of squared weights on standardised features, against the mean loss (docs/benchmarks.md)
STEPS = 100


@torch.no_grad()
def keep_function(setting: Setting, arch: Architecture) -> None:
    """Let a network compute with the statistics of these pictures what it did with those that its weights came with.

    An ordinary trained network loses much of its accuracy when its batch norms take the statistics of other pictures:
    every channel of every layer is scaled anew. So the change of scale and shift goes into gamma and beta.

    Args:
        arch: the largest of a body, whose stored statistics are true.
    """
    body = setting.supernet.body(arch)
    elastic = [module for module in body.modules() if isinstance(module, ElasticConvNorm)]
    network = setting.supernet.extract(arch).to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    sums = {norm: torch.zeros(3, norm.num_features, dtype=torch.float64) for norm in norms}

    def look(norm: nn.Module, inputs: tuple[Tensor]) -> None:
        values = inputs[0].detach()
        count = torch.full((values.shape[1],), float(values[:, 0].numel()))
        moments = count, values.sum((0, 2, 3)), values.square().sum((0, 2, 3))
        sums[cast(nn.BatchNorm2d, norm)] += torch.stack([moment.double().cpu() for moment in moments])

    for norm in norms:
        norm.register_forward_pre_hook(look)
    pixels = setting.error.calibration(np.arange(len(setting.error.calibration)), setting.error.resolution(arch))
    logits_of(network, pixels, setting.error.device, setting.watch.progress)
    for operator, norm in zip(elastic, norms, strict=True):
        count, total, squares = sums[norm]
        mean, var = (moment.to(operator.gamma) for moment in (total / count, squares / count - (total / count) ** 2))
        scale = operator.gamma * (operator.running_var + operator.eps).rsqrt()
        operator.beta.add_((mean - operator.running_mean) * scale)
        operator.gamma.copy_(scale * (var + operator.eps).sqrt())
        operator.running_mean.copy_(mean)
        operator.running_var.copy_(var)


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
