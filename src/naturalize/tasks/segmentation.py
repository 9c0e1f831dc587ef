"""Semantic segmentation: a class for each pixel. Head, loss and metric."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from naturalize.data.masks import IGNORED
from naturalize.space import Architecture, Codes
from naturalize.supernet import Family, make_family, subnet
from naturalize.supernet.family import largest_by_body
from naturalize.supernet.layers import LayerTable, LayerTableBuilder
from naturalize.supernet.operators import own

MIXED = 128  # channels of the head's 1x1 convolution (Howard et al., ICCV 2019, section 6.4)
COMMON = 0.5  # share of images from which on a class that they show is not rare
LARGE = 1024  # a side that maps divide without a rest
WORST = 6  # images that front.json names of each network
SIZES = 4  # of maps that the head reads: the deepest map of each of the last four (docs/benchmarks.md)


class SegmentationHead(nn.Module):
    """The elastic twin of `subnet.SegmentationHead`: elastic only by the body below.

    Args:
        scales, cin, classes, strides: as of the plain head; `cin` are the largest numbers of channels.
    """

    def __init__(self, scales: list[int], cin: list[int], classes: int, strides: list[int]) -> None:
        super().__init__()
        self.scales, self.classes, self.strides = scales, classes, strides
        self.mix = nn.Conv2d(cin[-1], MIXED, 1)
        self.gate = nn.Conv2d(cin[-1], MIXED, 1)
        self.classifiers = nn.ModuleList(nn.Conv2d(channels, classes, 1) for channels in [*cin[:-1], MIXED])
        for weight in (each for each in self.classifiers.parameters() if each.ndim > 1):
            nn.init.normal_(weight, std=0.01)

    def forward(self, features: Sequence[Tensor], arch: Architecture) -> Tensor:
        *shallow, x = [features[scale] for scale in self.scales]
        gate = F.hardsigmoid(first(self.gate, x.mean((2, 3), keepdim=True)))
        y = first(self.classifiers[-1], F.relu(first(self.mix, x)) * gate)
        for index in range(len(shallow) - 1, -1, -1):
            y = subnet.enlarged(y, self.strides[index + 1] // self.strides[index])
            y = y + first(self.classifiers[index], shallow[index])
        return subnet.enlarged(y, self.strides[0])

    def extract(self, plain: subnet.SegmentationHead, arch: Architecture) -> None:
        """Copy the weights into the plain head."""
        pairs = zip([self.mix, self.gate, *self.classifiers], [plain.mix, plain.gate, *plain.classifiers], strict=True)
        for ours, theirs in pairs:
            theirs.weight = own(ours.weight[:, : theirs.in_channels])
            theirs.bias = own(ours.bias)

    def spec(self, channels: Sequence[int]) -> dict[str, Any]:
        """Arguments of the plain head on maps with these numbers of channels."""
        return {
            "kind": "segmentation", "scales": self.scales, "cin": [channels[scale] for scale in self.scales],
            "mixed": MIXED, "classes": self.classes, "strides": self.strides,
        }  # fmt: skip


def first(conv: nn.Module, x: Tensor) -> Tensor:
    """A 1x1 convolution by the weights of the first channels, as many as the map has."""
    conv = cast(nn.Conv2d, conv)
    return F.conv2d(x, conv.weight[:, : x.shape[1]], conv.bias)


@dataclass(frozen=True)
class Segmentation:
    """The task of naming a class for each pixel.

    Labels are masks `(n, side, side)` of class indices, `IGNORED` where nothing is to be learnt. Logits are
    `(n, classes, r, r)`; loss and error are taken at the masks' side, to which logits are enlarged bilinearly.

    Attributes:
        classes: number of classes.
        class_weights: weight of each class's pixels in the training loss; all the same where None.
    """

    by_pixel: ClassVar[bool] = True
    activation: ClassVar[str] = "softmax"
    unit: ClassVar[str] = "pixels"
    score: ClassVar[str] = "IoU"
    blind: ClassVar[str] = "always answering the most frequent class"
    worst: ClassVar[str] = (
        "Those with the largest error: the picture, its mask (white is ignored), and the network's answer."
    )

    classes: int
    class_weights: tuple[float, ...] | None = None

    def heads(self, family: Family) -> dict[int, nn.Module]:
        """New heads, one for each body of a family."""
        return {body: self._head(family, codes) for body, codes in largest_by_body(family).items()}

    def _head(self, family: Family, codes: Codes) -> SegmentationHead:
        maps, scales = family.maps(codes), read_scales(family)
        strides = [strides_of(family)[scale] for scale in scales]
        return SegmentationHead(scales, [int(maps[scale].channels[0]) for scale in scales], self.classes, strides)

    def layers(self, family: Family, codes: Codes) -> LayerTable:
        """The head's rows of the layer table of n architectures."""
        maps = family.maps(codes)
        *shallow, last = read = [maps[scale] for scale in read_scales(family)]
        build = LayerTableBuilder(len(codes), tuple({variable for each in read for variable in each.variables}))
        build.add("pool", "pool", last.channels, last.channels, last.side)
        build.add("gate", "conv", last.channels, MIXED, np.ones_like(last.side), bias=True, activation="h_sigmoid")
        build.add("mix", "conv", last.channels, MIXED, last.side, bias=True, activation="relu")
        build.add("classifier", "conv", MIXED, self.classes, last.side, bias=True)
        for place, low in reversed(list(enumerate(shallow))):
            build.add(f"classifier{place}", "conv", low.channels, self.classes, low.side, bias=True, adds=True)
        return build.table()

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy: the mean over pixels that count, weighted by class where there are weights."""
        weight = None if self.class_weights is None else logits.new_tensor(self.class_weights)
        logits = at_size(logits, labels)
        return F.cross_entropy(logits, labels.long(), weight, ignore_index=IGNORED)

    def distillation_loss(self, logits: Tensor, teacher: Tensor) -> Tensor:
        """Cross-entropy with the teacher's probabilities as targets: the mean over all pixels."""
        return F.cross_entropy(logits, at_size(teacher.detach(), logits[:, 0]).softmax(1))

    def classes_of(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The class of each pixel at the size of masks, `(n, height, width)`, uint8: the first of the largest logits.

        As `argmax`, which takes several times as long.
        """
        logits = at_size(logits.contiguous(), labels)
        rank = torch.arange(self.classes, 0, -1, dtype=torch.uint8, device=logits.device)[:, None, None]
        return self.classes - ((logits == logits.amax(1, keepdim=True)).view(torch.uint8) * rank).amax(1)

    def answers(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Pixels by true and by predicted class for each image, `(n, classes, classes)`.

        Ignored pixels are left out. Where logits are not finite, every pixel is wrong. Images are enlarged one by one:
        at the masks' side logits take much memory.
        """
        return torch.stack([self._counts(*pair) for pair in zip(logits, labels, strict=True)])

    def _counts(self, logits: Tensor, label: Tensor) -> Tensor:
        finite = torch.stack(logits.aminmax()).isfinite().all()
        predicted = self.classes_of(logits[None], label[None])[0] if finite else (label.int() + 1) % self.classes
        pairs = label.clamp(max=self.classes).int() * self.classes + predicted  # ignored pixels are the last row
        counts = torch.bincount(pairs.flatten(), minlength=(self.classes + 1) * self.classes)
        return counts.view(-1, self.classes)[: self.classes]

    def error(self, answers: Tensor) -> float:
        """100 - mIoU in percent, by the pixels of all images together."""
        return 100.0 - 100.0 * mean_iou(answers.sum(0).numpy())

    def result(self, views: Sequence[Tensor], labels: NDArray[np.uint8]) -> tuple[float, dict[str, Any]]:
        """The error, its mean over views, and its standard error; see `Task`."""
        return result_with_spread(self.error, self.spread, views)

    def kept(self, logits: Tensor, labels: Tensor) -> Tensor:
        """See `answers`."""
        return self.answers(logits, labels)

    def tested(
        self, kept: Tensor, labels: NDArray[np.uint8], names: Sequence[str]
    ) -> tuple[dict[str, Any], list[tuple[int, dict[str, Any]]]]:
        """See `Task`; the confusion is of pixels, and the worst images have the largest errors of their own."""
        errors = np.array([self.error(answer[None]) if answer.any() else -1.0 for answer in kept])
        worst = [row for row in np.argsort(-errors, kind="stable").tolist() if errors[row] >= 0][:WORST]
        facts = {
            "test_error": self.error(kept),
            "test_spread": self.spread(kept),
            "test_confusion": kept.sum(0).tolist(),
        }
        return facts, [(row, {"error": round(float(errors[row]), 2)}) for row in worst]

    @staticmethod
    def by_class(network: Mapping[str, Any]) -> tuple[list[int], list[float | None]]:
        """Test pixels and intersection over union of each class; see `Task`."""
        confusion = np.asarray(network["test_confusion"], dtype=np.int64)
        found = class_iou(confusion).tolist()
        return confusion.sum(axis=1).tolist(), [None if np.isnan(value) else round(value, 4) for value in found]

    def spread(self, answers: Tensor) -> float:
        """Standard error of the error, by the jackknife over images (Efron and Tibshirani, 1993, chapter 11)."""
        counts = answers.numpy()
        n = len(counts)
        if n < 2:
            return 0.0
        total = counts.sum(0)
        left_out = [100.0 * mean_iou(total - each) for each in counts]
        return float(np.sqrt((n - 1) * np.var(left_out)))

    def chance(self, labels: NDArray[np.uint8]) -> float:
        """Error in percent of naming every pixel by the most frequent class."""
        pixels = self._pixels(labels)
        return 100.0 - 100.0 * pixels.max() / max(1, pixels.sum()) / max(1, np.count_nonzero(pixels))

    def weighted(self, labels: NDArray[np.uint8]) -> Segmentation:
        """The task with weights of classes, share of the pixels ** -1/4: all count the same in mIoU, and not in pixels.

        Stronger ones cost common classes more than rare ones gain (docs/benchmarks.md).
        """
        weights = np.maximum(1, self._pixels(labels)) ** -0.25
        return replace(self, class_weights=tuple((weights / weights.mean()).tolist()))

    def balanced(self, labels: NDArray[np.uint8]) -> Segmentation:
        """The task with weights of classes, 1 / ln(1.02 + share of the pixels) (Paszke et al., 2016, section 5.1)."""
        pixels = self._pixels(labels)
        weights = 1.0 / np.log(1.02 + pixels / pixels.sum())
        return replace(self, class_weights=tuple((weights / weights.mean()).tolist()))

    def _pixels(self, labels: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Pixels of each class, `(classes,)`."""
        found = np.zeros(256, dtype=np.int64)
        for label in labels:
            found += np.bincount(label.ravel(), minlength=256)
        return found[: self.classes]

    def frequencies(self, labels: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Weights by which images are drawn: more often those that show a rare class; see `rare_factors`."""
        return rare_factors(
            np.array([np.bincount(label.ravel(), minlength=256)[: self.classes] > 0 for label in labels])
        )


def result_with_spread(
    error: Callable[[Tensor], float], spread: Callable[[Tensor], float], views: Sequence[Tensor]
) -> tuple[float, dict[str, Any]]:
    """The result of answers in views where the error is no share of images; see `Task.result`.

    Args:
        error, spread: functions of a task, from the answers to n images to percent and percentage points.
        views: answers in each view, `(n, ...)`.
    """
    errors = [error(answers) for answers in views]
    plain = {"error": errors[0], "spread": spread(views[0])}
    return float(np.mean(errors)), {**plain, "images": len(views[0]), "views": len(views)}


def rare_factors(shows: NDArray[np.bool_]) -> NDArray[np.float64]:
    """How often to draw each image: the more, the rarer the rarest class that it shows (Gupta et al., CVPR 2019).

    Args:
        shows: which classes each image shows, `(n, classes)`.

    Returns:
        `(n,)`, at least 1.
    """
    often = np.maximum(shows.mean(0), 1 / len(shows))
    factors = np.maximum(1.0, np.sqrt(COMMON / often))
    found: NDArray[np.float64] = np.where(shows, factors, 1.0).max(1)
    return found


def at_size(logits: Tensor, labels: Tensor) -> Tensor:
    """Logits `(n, classes, h, w)` at the size of masks `(n, height, width)`, bilinearly."""
    if logits.shape[2:] == labels.shape[1:]:
        return logits
    return F.interpolate(logits, size=labels.shape[1:], mode="bilinear", align_corners=False)


def read_scales(family: Family) -> list[int]:
    """Positions of the maps that a head reads: the deepest of each of the last `SIZES` sizes, ascending in depth."""
    deepest = {stride: scale for scale, stride in enumerate(strides_of(family))}
    return list(deepest.values())[-SIZES:]


def strides_of(family: Family) -> list[int]:
    """Side of a picture over that of the map of each scale."""
    large = make_family(family.name, LARGE, [LARGE])
    return [LARGE // int(each.side[0]) for each in large.maps(large.space.corners()[1:])]


def mean_iou(confusion: NDArray[np.int64]) -> float:
    """Mean of `class_iou` over the classes that have one; 0 where none has."""
    found = class_iou(confusion)
    there = found[~np.isnan(found)]
    return float(there.mean()) if len(there) else 0.0


def class_iou(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """Intersection over union of each class, `(classes,)`; NaN where a class is neither there nor predicted.

    Args:
        confusion: pixels by true and by predicted class, `(classes, classes)`.
    """
    right = np.diag(confusion).astype(np.float64)
    union = confusion.sum(0) + confusion.sum(1) - right
    return np.divide(right, union, out=np.full(len(right), np.nan), where=union > 0)
