"""Exact objectives: counts of the layer table, at each architecture's own resolution."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from naturalize.objectives import of_kind
from naturalize.space import Codes
from naturalize.supernet import Counter, Family, layers_of
from naturalize.supernet.layers import Ints, LayerTable
from naturalize.tasks import Task


class Exact:
    """A count of the deployed network, head included.

    Args:
        name: of the objective; the count of `LayerTable` has it too, with `_` for a colon.
        family, task: of body and head.
        channels: of the input images.
    """

    def __init__(self, name: str, family: Family, task: Task, channels: int) -> None:
        self.space = family.space
        self.layers = whole_layers(family, task, channels)
        self.of_operators = getattr(LayerTable, name.replace(":", "_"))

    @cached_property
    def count(self) -> Counter:
        """The look-up; made at the first use, since a run seldom asks for every count."""
        return Counter(self.space, self.layers, self.of_operators)

    def __call__(self, codes: Codes) -> NDArray[np.float64]:
        """The count of each architecture, a whole number. Shapes: `(n, d) -> (n,)`."""
        return self.count(codes).astype(np.float64)


def whole_layers(family: Family, task: Task, channels: int) -> Callable[[Codes], LayerTable]:
    """A function from codes to the layer table of whole networks, head included."""
    return layers_of(family, lambda codes: task.layers(family, codes), channels)


def exact_counts(family: Family, task: Task, channels: int) -> dict[str, Exact]:
    """Every count by its name; arguments as of `Exact`."""
    return {name: Exact(name, family, task, channels) for name in of_kind("exact")}


def stage_counts(family: Family, task: Task, channels: int) -> Callable[[Codes], NDArray[np.float64]]:
    """A function for multiply-adds and parameters of each part of a network, as stem and stages: `(n, d) -> (n, k)`.

    Parts that are the same in all architectures are left out.

    Args:
        family, task, channels: as of `Exact`.
    """
    layers = whole_layers(family, task, channels)
    names = [str(name).split(".")[0] for name in layers(family.space.corners()).name]

    inside = np.array([[name == part for part in dict.fromkeys(names)] for name in names])

    def by_part(table: LayerTable) -> Ints:
        both = table.madds(), table.params()
        return np.concatenate([np.where(inside, count[:, :, None], 0) for count in both], axis=2)

    counter = Counter(family.space, layers, by_part)
    varying = np.ptp(counter(family.space.corners()), axis=0) > 0
    return lambda codes: counter(codes)[:, varying].astype(np.float64)
