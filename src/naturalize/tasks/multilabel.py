"""Multi-label classification: any number of classes per image. Loss and metric; the head is that of classification."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from naturalize.space import Codes
from naturalize.supernet import Family
from naturalize.supernet.layers import LayerTable
from naturalize.tasks.classification import WORST, Classification
from naturalize.tasks.confidence import NONE
from naturalize.tasks.segmentation import rare_factors, result_with_spread


@dataclass(frozen=True)
class MultiLabel:
    """The task of naming the labels of an image, of which each is there or not, whatever the others are.

    Labels are `(n, classes)`, 1 where a class is there and 0 elsewhere. The probability of a class is the sigmoid of
    its logit. The error is 100 - mAP: of each class the average precision of the images in the order of its logits, the
    mean over the classes that some image has.

    Attributes:
        classes: number of classes.
        label_smoothing: of the training loss.
    """

    by_pixel: ClassVar[bool] = False
    activation: ClassVar[str] = "sigmoid"
    unit: ClassVar[str] = "labels"
    score: ClassVar[str] = "average precision"
    blind: ClassVar[str] = "answering all images alike"
    worst: ClassVar[str] = (
        "Those with the largest loss, their labels and what the network names: all above a probability of 0.5."
    )

    classes: int
    label_smoothing: float = 0.1

    def heads(self, family: Family) -> dict[int, nn.Module]:
        """New heads, one for each body of a family: those of classification."""
        return Classification(self.classes).heads(family)

    def layers(self, family: Family, codes: Codes) -> LayerTable:
        """The head's rows of the layer table of n architectures."""
        return Classification(self.classes).layers(family, codes)

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Binary cross-entropy with smoothed labels: the sum over classes, the mean over the batch.

        The sum gives each logit the gradient that it has in classification, whatever the number of classes is.
        """
        return self._losses(logits, labels).sum(1).mean()

    def _losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        smoothed = (1 - self.label_smoothing) * labels.float() + self.label_smoothing / self.classes
        return F.binary_cross_entropy_with_logits(logits, smoothed, reduction="none")

    def distillation_loss(self, logits: Tensor, teacher: Tensor) -> Tensor:
        """Binary cross-entropy with the teacher's probabilities as targets: sum over classes, mean over the batch."""
        targets = teacher.detach().sigmoid()
        return F.binary_cross_entropy_with_logits(logits, targets, reduction="none").sum(1).mean()

    def answers(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Logits and labels of each image, `(n, 2, classes)`.

        Logits that are not finite say the contrary of the labels, surer than all others.
        """
        truth = labels.float()
        contrary = torch.where(truth > 0, -torch.inf, torch.inf)
        there = logits.isfinite().all(1, keepdim=True)
        return torch.stack([torch.where(there, logits.float(), contrary), truth], 1)

    def error(self, answers: Tensor) -> float:
        """100 - mAP in percent, by all images together; 100 where no image has a label."""
        return 100.0 - 100.0 * mean_of(np.array([each.value for each in self._precisions(answers)]))

    def spread(self, answers: Tensor) -> float:
        """Standard error of the error, by the jackknife over images (Efron and Tibshirani, 1993, chapter 11)."""
        n = len(answers)
        if n < 2:
            return 0.0
        left_out = np.stack([each.without() for each in self._precisions(answers)])
        counted, total = np.isfinite(left_out).sum(axis=0), np.nansum(left_out, axis=0)
        means = 100.0 * total / np.maximum(1, counted)
        return float(np.sqrt((n - 1) * np.var(means)))

    def _precisions(self, answers: Tensor) -> list[Precision]:
        scores, labels = answers.numpy().transpose(1, 2, 0)
        return [Precision(*pair) for pair in zip(scores, labels, strict=True)]

    def result(self, views: Sequence[Tensor], labels: NDArray[np.uint8]) -> tuple[float, dict[str, Any]]:
        """The error, its mean over views, and its standard error; see `Task`."""
        return result_with_spread(self.error, self.spread, views)

    def kept(self, logits: Tensor, labels: Tensor) -> Tensor:
        """See `answers`."""
        return self.answers(logits, labels)

    def tested(
        self, kept: Tensor, labels: NDArray[np.uint8], names: Sequence[str]
    ) -> tuple[dict[str, Any], list[tuple[int, dict[str, Any]]]]:
        """See `Task`; the worst images have the largest losses of those with a wrong label, above 0.5 or below."""
        logits, truth = kept[:, 0], kept[:, 1]
        losses, probability = self._losses(logits.clamp(-1e4, 1e4), truth).sum(1).numpy(), logits.sigmoid().numpy()
        named = probability > 0.5
        wrong = np.flatnonzero((named != labels.astype(bool)).any(1))
        worst = wrong[np.argsort(-losses[wrong], kind="stable")][:WORST]
        found = [each.value for each in self._precisions(kept)]
        facts = {
            "test_error": self.error(kept),
            "test_spread": self.spread(kept),
            "test_labels": {
                "images": labels.sum(axis=0, dtype=np.int64).tolist(),
                "average_precision": [None if np.isnan(value) else round(value, 4) for value in found],
            },
        }

        def listed(there: NDArray[Any]) -> str:
            return ", ".join(names[place] for place in np.flatnonzero(there).tolist()) or NONE

        return facts, [(row, {"class": listed(labels[row]), "predicted": listed(named[row])}) for row in worst.tolist()]

    @staticmethod
    def by_class(network: Mapping[str, Any]) -> tuple[list[int], list[float | None]]:
        """Test images with each label, and its average precision; see `Task`."""
        return network["test_labels"]["images"], network["test_labels"]["average_precision"]

    def chance(self, labels: NDArray[np.uint8]) -> float:
        """Error in percent of answers that are the same for all images: the precision of a class is its share then."""
        shares = labels.mean(axis=0)
        return 100.0 - 100.0 * mean_of(np.where(shares > 0, shares, np.nan))

    def balanced(self, labels: NDArray[np.uint8]) -> MultiLabel:
        """The same task: the error counts each class the same already, and `frequencies` shows rare ones more often."""
        return self

    def frequencies(self, labels: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Weights by which images are drawn: more often those with a rare label; see `rare_factors`."""
        return rare_factors(labels.astype(bool))


class Precision:
    """The average precision of one class: over its images the mean share of them in all images that come no later.

    That of scikit-learn's `average_precision_score`, and with each image left out in turn. Images of one score come at
    once.

    Args:
        scores: of n images, `(n,)`, the larger the surer.
        labels: 1 where an image has the class, else 0, `(n,)`.

    Attributes:
        value: 0 to 1; NaN where no image has the class.
    """

    def __init__(self, scores: NDArray[np.floating], labels: NDArray[np.floating]) -> None:
        self.labels = labels
        _, self.place = np.unique(-scores, return_inverse=True)  # of each image's score, the surest first
        self.there = np.bincount(self.place, labels)  # images of the class by score
        self.right, self.seen = self.there.cumsum(), np.bincount(self.place).cumsum()
        self.total = self.right[-1]
        self.value = float(share(self.there * self.right, self.seen).sum() / self.total) if self.total else np.nan

    def without(self) -> NDArray[np.float64]:
        """The same without each of the images, `(n,)`."""
        before = np.concatenate([[0.0], share(self.there * self.right, self.seen).cumsum()])[self.place]
        found = np.empty(len(self.labels))
        for label in (0, 1):
            of = self.labels == label
            place, right, seen = self.place[of], self.right - label, self.seen - 1
            later = np.concatenate([share(self.there * right, seen)[::-1].cumsum()[::-1][1:], [0.0]])[place]
            own = share((self.there - label) * right, seen)[place]
            found[of] = (before[of] + own + later) / (self.total - label) if self.total > label else np.nan
        return found


def share(part: NDArray[Any], whole: NDArray[Any]) -> NDArray[np.float64]:
    """The quotient, 0 where the whole is 0."""
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)


def mean_of(values: NDArray[np.float64]) -> float:
    """Mean of the values that are numbers; 0 where none is."""
    there = values[~np.isnan(values)]
    return float(there.mean()) if len(there) else 0.0
