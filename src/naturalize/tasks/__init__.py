"""Tasks, which a run learns: head, loss, metric. A run holds its tasks by name; today there is one.

Labels of n images are an array whose first axis is that of the images: class indices, or masks, or `(n, classes)` of 0
and 1.

A new kind of task is one file beside `classification.py` and one line in `KINDS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from naturalize.data import Dataset
from naturalize.space import Codes
from naturalize.supernet import Family
from naturalize.supernet.layers import LayerTable
from naturalize.tasks.classification import (
    Classification,
    balanced_error,
    balanced_error_of,
    balanced_images,
    balanced_weights,
    majority_error,
)
from naturalize.tasks.multilabel import MultiLabel
from naturalize.tasks.segmentation import Segmentation

__all__ = [
    "CLASSIFICATION",
    "KINDS",
    "MULTI_LABEL",
    "SEGMENTATION",
    "Classification",
    "MultiLabel",
    "Segmentation",
    "Task",
    "balanced_error",
    "balanced_error_of",
    "balanced_images",
    "balanced_weights",
    "kind_of",
    "kind_of_front",
    "majority_error",
    "task_of",
]


class Task(Protocol):
    """The interface of every kind of task. Immutable; weights are in the heads that it makes.

    Attributes:
        by_pixel: whether answers are maps. Otherwise heads end in a linear classifier, which can be fitted to features.
        activation: what makes probabilities of logits, "softmax" over the classes or "sigmoid" of each; in cards.
        unit, score: what is counted of each class, and what it is scored by, in words; "" for the share that is right.
        blind: what `chance` is the error of, in words.
        worst: which images `tested` names, in a sentence.
        classes: number of classes.
    """

    by_pixel: ClassVar[bool]
    activation: ClassVar[str]
    unit: ClassVar[str]
    score: ClassVar[str]
    blind: ClassVar[str]
    worst: ClassVar[str]

    @property
    def classes(self) -> int: ...

    def heads(self, family: Family) -> dict[int, nn.Module]:
        """New heads, one for each body of a family: each a `supernet.Head`."""

    def layers(self, family: Family, codes: Codes) -> LayerTable:
        """The head's rows of the layer table of n architectures."""

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Training loss of a batch."""

    def distillation_loss(self, logits: Tensor, teacher: Tensor) -> Tensor:
        """Training loss of a batch against a teacher's output."""

    def answers(self, logits: Tensor, labels: Tensor) -> Tensor:
        """What an error is made of: a row for each image, `(n, ...)`."""

    def error(self, answers: Tensor) -> float:
        """Error in percent of the answers to a set of images."""

    def spread(self, answers: Tensor) -> float | None:
        """Standard error of `error` in percentage points; None where it is that of a share of images."""

    def result(self, views: Sequence[Tensor], labels: NDArray[Any]) -> tuple[float, dict[str, Any]]:
        """Error in percent of answers to images in each view, the mean over views, and what is kept beside it.

        That is the number of `images` and of `views`, and of the plain view `wrong`, a number of images, or `error`
        with its `spread`, where the error is no share of images.
        """

    def kept(self, logits: Tensor, labels: Tensor) -> Tensor:
        """What `tested` is made of: a row for each image, `(n, ...)`."""

    def tested(
        self, kept: Tensor, labels: NDArray[Any], names: Sequence[str]
    ) -> tuple[dict[str, Any], list[tuple[int, dict[str, Any]]]]:
        """What front.json holds of a network's test, and rows of the worst images, each with what it holds of them.

        Args:
            kept: of all test images.
            labels: of these, `(n, ...)`.
            names: of the classes.
        """

    @staticmethod
    def by_class(network: Mapping[str, Any]) -> tuple[list[int], list[float | None] | None]:
        """Units of each class in a network's test, and its score, 0 to 1; None where there is none.

        Args:
            network: an entry of front.json that was tested.
        """

    def chance(self, labels: NDArray[Any]) -> float:
        """Error in percent of answers without a look at the image, as `blind` says."""

    def balanced(self, labels: NDArray[Any]) -> Task:
        """The task with weights in its loss by which rare classes of the labels count as much as common ones."""

    def frequencies(self, labels: NDArray[Any]) -> NDArray[np.float64] | None:
        """Weights by which images are drawn for a balanced training, `(n,)`; None where all are drawn alike."""


CLASSIFICATION, SEGMENTATION, MULTI_LABEL = "classification", "segmentation", "multi-label"
KINDS: dict[str, Callable[[int], Any]] = {
    CLASSIFICATION: Classification,
    SEGMENTATION: Segmentation,
    MULTI_LABEL: MultiLabel,
}
"""Kinds of tasks by name, each a function of the number of classes."""


def kind_of(dataset: Dataset) -> str:
    """The kind of task that the labels of a data set are for."""
    if dataset.meaning:
        return SEGMENTATION
    return MULTI_LABEL if dataset.several else CLASSIFICATION


def kind_of_front(front: Mapping[str, Any]) -> Any:
    """The kind of task of front.json, one of `KINDS`; those of an older naturalize have classifications."""
    return KINDS[front.get("kind", CLASSIFICATION)]


def task_of(dataset: Dataset) -> Task:
    """The task of a data set, without weights of classes."""
    task: Task = KINDS[kind_of(dataset)](len(dataset.class_names))
    return task
