"""A classifier of its own for a network of the front, in place of the one that all subnets share.

The shared classifier serves thousands of networks, whose features differ. One that is fitted to the features of a
single network, but kept close to the shared one, tells classes better (docs/benchmarks.md; SOLAR, WACV 2026, gives each
subnet a head too).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from naturalize import rng
from naturalize.objectives import BALANCED_ERROR, deciding_error
from naturalize.space import Architecture
from naturalize.supernet.subnet import ClassificationHead
from naturalize.training.batches import Images
from naturalize.training.evaluate import logits_of, logits_on
from naturalize.warm_start import logistic_regression, without_classifier
from naturalize.workbench import Workbench

PICTURES = 512  # training pictures that it is fitted to, at most


@dataclass(frozen=True)
class OwnClassifier:
    """A classifier for one network in place of the shared one.

    Attributes:
        weight, bias: `(classes, channels)` and `(classes,)`.
        answers: what the task makes of its answers to the validation images, `(images, ...)` for each view; none
            where it learnt from those images.
    """

    weight: Tensor
    bias: Tensor
    answers: Sequence[Tensor] = ()


def images_of_a_classifier(bench: Workbench) -> int:
    """Number of images whose features a fit after the last adaptation needs; 0 where none comes."""
    return 0 if not bench.classifies else min(PICTURES, len(bench.trainer.images.labels) + len(bench.val))


def own_classifier(bench: Workbench, arch: Architecture) -> OwnClassifier | None:
    """A classifier for the features of one architecture; None where it is no better on validation."""
    error = bench.error
    features = Features(bench, arch)
    own = features.classifier()
    truth = torch.from_numpy(np.asarray(error.images.labels))
    rows = np.arange(len(truth))
    views = [features.on(error.images, rows, view) for view in range(error.images.views)]

    def answers(weight: Tensor, bias: Tensor) -> list[Tensor]:
        return [bench.task.answers(view @ weight.T + bias, truth) for view in views]

    balanced = deciding_error(bench.run.settings.objectives) == BALANCED_ERROR

    def judged(answers: list[Tensor]) -> float:
        value, detail = error.of_answers(answers)
        return float(detail["balanced_views"]) if balanced else value

    found = answers(*own)
    return OwnClassifier(*own, found) if judged(found) < judged(answers(*features.shared)) else None


def refitted(bench: Workbench, arch: Architecture) -> OwnClassifier:
    """A classifier for the features of one architecture, by the present weights and training images."""
    return OwnClassifier(*Features(bench, arch).classifier())


class Features:
    """Features of pictures by the network of one architecture, and the classifier that all subnets share.

    Attributes:
        resolution: side of the network's input in pixels.
        shared: weight `(classes, channels)` and bias `(classes,)`.
    """

    def __init__(self, bench: Workbench, arch: Architecture) -> None:
        self.bench = bench
        self.resolution = bench.subnets.resolution(arch)
        network = bench.subnets.of(arch)
        classifier = cast(nn.Linear, cast(ClassificationHead, network.head).classifier)
        self.shared = classifier.weight.detach().cpu().clone(), classifier.bias.detach().cpu().clone()
        self.network = without_classifier(network)

    def of(self, pixels: NDArray[np.uint8]) -> Tensor:
        """Features `(n, channels)`, on the CPU, of pixels at the network's resolution."""
        return logits_of(self.network, pixels, self.bench.device, self.bench.progress).clone()

    def on(self, images: Images, rows: NDArray[np.int64], view: int) -> Tensor:
        """Features `(len(rows), channels)` of rows of images in one view; a few batches are in memory at a time."""
        return logits_on(
            self.network, images, rows, self.resolution, self.bench.device, self.bench.progress, view
        ).clone()

    def classifier(self) -> tuple[Tensor, Tensor]:
        """Weight `(classes, channels)` and bias `(classes,)` fitted to training images, near the shared ones."""
        train = self.bench.trainer.images
        rows = np.sort(rng.generator(self.bench.seed, "own classifier").permutation(len(train.labels))[:PICTURES])
        features = self.of(train.pixels(rows, self.resolution))
        return logistic_regression(self.bench.task, features, train.labels[rows], near=self.shared)
