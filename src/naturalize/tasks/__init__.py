"""Tasks, which a run learns: head, loss, metric. A run holds its tasks by name; today there is one.

A new kind of task is one file beside `classification.py` and one line in `KINDS`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from torch import Tensor, nn

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

__all__ = [
    "CLASSIFICATION",
    "KINDS",
    "Classification",
    "Task",
    "balanced_error",
    "balanced_error_of",
    "balanced_images",
    "balanced_weights",
    "majority_error",
]


class Task(Protocol):
    """The interface of every kind of task. Immutable; weights are in the heads that it makes."""

    def heads(self, family: Family) -> dict[int, nn.Module]:
        """New heads, one for each body of a family: each a `supernet.Head`."""

    def layers(self, family: Family, codes: Codes) -> LayerTable:
        """The head's rows of the layer table of n architectures."""

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Training loss of a batch."""

    def distillation_loss(self, logits: Tensor, teacher: Tensor) -> Tensor:
        """Training loss of a batch against a teacher's output."""

    def wrong(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Whether each answer is wrong, `(n,)` bool: the error in percent is 100 times its mean."""


CLASSIFICATION = "classification"
KINDS: dict[str, Callable[[int], Classification]] = {CLASSIFICATION: Classification}
"""Kinds of tasks by name, each a function of the number of classes."""
