"""Image classification: head, loss and metric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from naturalize.space import Architecture, Codes
from naturalize.supernet import Family, subnet
from naturalize.supernet.family import largest_by_body
from naturalize.supernet.layers import LayerTable, LayerTableBuilder
from naturalize.supernet.operators import own
from naturalize.tasks.confidence import confidence_of

WORST = 12  # images with wrong answers that front.json names of each network


class ClassificationHead(nn.Module):
    """Global mean, 1x1 convolution and classifier on one body. Elastic only by the body below.

    Args:
        cin: the largest number of channels of the body's last feature map.
        mixed: output channels of the 1x1 convolution; 0 for none.
        classes: number of classes.
    """

    def __init__(self, cin: int, mixed: int, classes: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(cin, mixed, 1, bias=False) if mixed else None
        self.act = nn.Hardswish()
        self.classifier = nn.Linear(mixed or cin, classes)
        if self.mix is not None:
            nn.init.kaiming_normal_(self.mix.weight, mode="fan_out")
        nn.init.normal_(self.classifier.weight, std=0.01)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, features: Sequence[Tensor], arch: Architecture) -> Tensor:
        x = features[-1].mean((2, 3), keepdim=True)
        if self.mix is not None:
            x = self.act(self.mix(x))
        x = x.flatten(1)
        return F.linear(x, self.classifier.weight[:, : x.shape[1]], self.classifier.bias)

    def extract(self, plain: subnet.ClassificationHead, arch: Architecture) -> None:
        """Copy the weights into the plain head."""
        if self.mix is not None:
            plain.mix.weight = own(self.mix.weight)
        plain.classifier.weight = own(self.classifier.weight[:, : plain.classifier.in_features])
        plain.classifier.bias = own(self.classifier.bias)

    def spec(self, channels: Sequence[int]) -> dict[str, Any]:
        """Arguments of the plain head on maps with these numbers of channels."""
        mixed = self.mix.out_channels if self.mix is not None else 0
        return {"kind": "classification", "cin": channels[-1], "mixed": mixed, "classes": self.classifier.out_features}


@dataclass(frozen=True)
class Classification:
    """The task of naming one class per image.

    Attributes:
        classes: number of classes.
        label_smoothing: of the training loss.
        class_weights: weight of each class's images in the training loss; all the same where None.
    """

    by_pixel: ClassVar[bool] = False
    activation: ClassVar[str] = "softmax"
    unit: ClassVar[str] = "images"
    score: ClassVar[str] = ""
    blind: ClassVar[str] = "always answering the most frequent class"
    worst: ClassVar[str] = "The most confident mistakes, as the network sees them."

    classes: int
    label_smoothing: float = 0.1
    class_weights: tuple[float, ...] | None = None

    def heads(self, family: Family) -> dict[int, nn.Module]:
        """New heads, one for each body of a family."""
        return {
            body: ClassificationHead(
                int(family.maps(codes)[-1].channels[0]), int(family.mixed_channels(codes)[0]), self.classes
            )
            for body, codes in largest_by_body(family).items()
        }

    def layers(self, family: Family, codes: Codes) -> LayerTable:
        """The head's rows of the layer table of n architectures."""
        last, mixed = family.maps(codes)[-1], family.mixed_channels(codes)
        build, channels = LayerTableBuilder(len(codes), last.variables), last.channels
        size = build.add("pool", "pool", channels, channels, last.side)
        if mixed.any():
            build.add("mix", "conv", channels, mixed, size, activation="h_swish")
            channels = mixed
        build.add("classifier", "linear", channels, self.classes, size, bias=True)
        return build.table()

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy with smoothed labels: the mean over the batch, weighted by class where there are weights.

        The whole loss of an image has the weight of its class. Torch's `weight` weighs the smoothed part by the other
        classes' weights, and is then smallest for the rarest class whatever the image shows (pytorch issue 104776).
        """
        losses = F.cross_entropy(logits, labels, reduction="none", label_smoothing=self.label_smoothing)
        if self.class_weights is None:
            return losses.mean()
        weights = logits.new_tensor(self.class_weights)[labels]
        return (weights * losses).sum() / weights.sum()

    def smoothed(self, labels: Tensor) -> Tensor:
        """Probabilities `(n, classes)` that `loss` has for targets, without class weights."""
        hard = F.one_hot(labels, self.classes).float()
        return (1 - self.label_smoothing) * hard + self.label_smoothing / self.classes

    def distillation_loss(self, logits: Tensor, teacher: Tensor) -> Tensor:
        """Cross-entropy with the teacher's probabilities as targets: the mean over the batch."""
        return F.cross_entropy(logits, teacher.detach().softmax(1))

    def wrong(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Whether each image is misclassified, `(n,)` bool; the error in percent is 100 times its mean.

        Logits that are not finite count as wrong.
        """
        return (logits.argmax(1) != labels) | ~logits.isfinite().all(1)

    def answers(self, logits: Tensor, labels: Tensor) -> Tensor:
        """See `wrong`."""
        return self.wrong(logits, labels)

    def error(self, answers: Tensor) -> float:
        """Percent of wrong answers."""
        return 100.0 * int(answers.sum()) / len(answers)

    def spread(self, answers: Tensor) -> None:
        """None: the error is a share of images."""

    def result(self, views: Sequence[Tensor], labels: NDArray[np.int64]) -> tuple[float, dict[str, Any]]:
        """See `result_of`."""
        return result_of(torch.stack(list(views)).numpy(), labels)

    def kept(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Whether each image is misclassified, the class that is named, and its probability, `(n, 3)`."""
        return torch.stack([self.wrong(logits, labels).float(), *map(Tensor.float, self.predictions(logits))], 1)

    def tested(
        self, kept: Tensor, labels: NDArray[np.int64], names: Sequence[str]
    ) -> tuple[dict[str, Any], list[tuple[int, dict[str, Any]]]]:
        """See `Task`; the worst images are the most confident mistakes."""
        probability = kept[:, 2].numpy()
        wrong, predicted = kept[:, 0].numpy().astype(bool), kept[:, 1].numpy().astype(np.int64)
        confusion = np.bincount(labels * self.classes + predicted, minlength=self.classes**2)
        confusion = confusion.reshape(self.classes, self.classes)
        facts = {
            "test_error": 100.0 * int(wrong.sum()) / len(labels),
            "test_confusion": confusion.tolist(),
            "test_balanced_error": balanced_error_of(confusion),
            "test_confidence": confidence_of(probability, wrong),
        }
        worst = np.flatnonzero(wrong)[np.argsort(-probability[wrong], kind="stable")][:WORST]
        return facts, [
            (
                row,
                {
                    "class": names[labels[row]],
                    "predicted": names[predicted[row]],
                    "probability": round(float(probability[row]), 4),
                },
            )
            for row in worst.tolist()
        ]

    @staticmethod
    def by_class(network: Mapping[str, Any]) -> tuple[list[int], None]:
        """Test images of each class; see `Task`."""
        return np.asarray(network["test_confusion"], dtype=np.int64).sum(axis=1).tolist(), None

    def chance(self, labels: NDArray[np.int64]) -> float:
        """See `majority_error`."""
        return majority_error(labels)

    def balanced(self, labels: NDArray[np.int64]) -> Classification:
        """The task with weights by which each class counts as much as any other; see `balanced_weights`."""
        return replace(self, class_weights=balanced_weights(labels, self.classes))

    def frequencies(self, labels: NDArray[np.int64]) -> None:
        """None: the loss has the weights."""

    def predictions(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Class index and probability of the most likely class, `(n,)` each; 0 where logits are not finite."""
        probability, index = logits.softmax(1).max(1)
        return index, probability.nan_to_num(0.0)


def result_of(wrong: NDArray[np.bool_], labels: NDArray[np.int64]) -> tuple[float, dict[str, Any]]:
    """Error in percent, the mean over views, and what the archive keeps beside it.

    That is, of the plain view, `wrong` and `images`, counts, and the balanced error `balanced`; `views`, their number;
    `balanced_views`, the balanced error over all views.

    Args:
        wrong: whether each view of each image was answered wrongly, `(views, images)`.
        labels: classes of the images, `(images,)`.
    """
    by_view, (views, images) = wrong.sum(axis=1), wrong.shape

    def balanced(answers: NDArray[np.bool_]) -> float | None:
        return balanced_error(np.bincount(labels, answers.mean(axis=0)), np.bincount(labels))

    detail = {
        "wrong": int(by_view[0]),
        "images": images,
        "views": views,
        "balanced": balanced(wrong[:1]),
        "balanced_views": balanced(wrong),
    }
    return 100.0 * float(np.mean(by_view)) / images, detail


def balanced_weights(labels: np.ndarray, classes: int) -> tuple[float, ...]:
    """Class weights by which each class counts as much as any other; images / (classes x images of the class)."""
    counts = np.maximum(1, np.bincount(labels, minlength=classes))
    return tuple((len(labels) / (classes * counts)).tolist())


def balanced_error(wrong: ArrayLike, images: ArrayLike) -> float | None:
    """Mean of the classes' errors in percent, over the classes that have images; None where none has.

    It is 100 less the mean per-class accuracy, which the field reports of Flowers, Pets and Aircraft.

    Args:
        wrong, images: numbers of wrong answers and of images of each class, `(classes,)`.
    """
    wrong, images = np.asarray(wrong, dtype=np.float64), np.asarray(images, dtype=np.float64)
    seen = images > 0
    return 100.0 * float((wrong[seen] / images[seen]).mean()) if seen.any() else None


def balanced_error_of(confusion: ArrayLike) -> float | None:
    """The same of a confusion matrix: images by true and by predicted class, `(classes, classes)`."""
    confusion = np.asarray(confusion, dtype=np.int64)
    images = confusion.sum(axis=1)
    return balanced_error(images - np.diag(confusion), images)


def balanced_images(labels: NDArray[np.int64]) -> int:
    """Number of images whose plain error is as sure as the balanced error of images with these labels, `(n,)`.

    It is n where classes are equally frequent: the variance of a mean over classes is that of the rarest ones.
    """
    counts = np.bincount(labels)
    counts = counts[counts > 0]
    return max(1, round(len(counts) ** 2 / float((1.0 / counts).sum())))


def majority_error(labels: np.ndarray) -> float:
    """Error in percent of always answering the most frequent class."""
    return 100.0 * (1.0 - np.bincount(labels).max() / len(labels))
