"""A classifier of its own for a network of the front, in place of the one that all subnets share.

The shared classifier serves thousands of networks, whose features differ. One that is fitted to the features of a
single network, but kept close to the shared one, tells classes better (docs/benchmarks.md; SOLAR, WACV 2026, gives each
subnet a head too).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from naturalize import rng
from naturalize.setting import Setting
from naturalize.space import Architecture
from naturalize.supernet.subnet import ClassificationHead
from naturalize.training.evaluate import fold, logits_of
from naturalize.warm_start import logistic_regression

PICTURES = 512  # training pictures that it is fitted to, at most


@dataclass(frozen=True)
class OwnClassifier:
    """What is better for one network than the shared classifier, by validation.

    Attributes:
        weight, bias: `(classes, channels)` and `(classes,)`.
        wrong: wrong answers to the validation images in each view.
    """

    weight: Tensor
    bias: Tensor
    wrong: list[int]


def images_of_a_classifier(setting: Setting) -> int:
    """Images that fitting one takes features of."""
    images = setting.error.images
    return min(PICTURES, len(setting.trainer.images.labels)) + images.views * len(images)


def own_classifier(setting: Setting, arch: Architecture) -> OwnClassifier | None:
    """A classifier for the features of one architecture; None where validation says that it is no better."""
    error, train = setting.error, setting.trainer.images
    network, resolution = fold(error.network(arch)), error.resolution(arch)
    head = cast(ClassificationHead, network.head)
    classifier = cast(nn.Linear, head.classifier)
    shared = classifier.weight.detach().cpu().clone(), classifier.bias.detach().cpu().clone()
    head.classifier = nn.Identity()

    def seen(pixels: NDArray[np.uint8]) -> Tensor:
        return logits_of(network, pixels, error.device, error.progress).clone()

    def wrong(weight: Tensor, bias: Tensor) -> list[int]:
        return [int(setting.task.wrong(view @ weight.T + bias, truth).sum()) for view in views]

    rows = np.sort(rng.generator(setting.seed, "own classifier").permutation(len(train.labels))[:PICTURES])
    labels, truth = train.labels[rows], torch.from_numpy(np.asarray(error.images.labels))
    features = seen(train.pixels(rows, resolution))
    views = [seen(error.images(np.arange(len(truth)), resolution, view)) for view in range(error.images.views)]
    own = logistic_regression(setting.task, features, labels, near=shared)
    found = wrong(*own)
    return OwnClassifier(*own, found) if sum(found) < sum(wrong(*shared)) else None
