"""Exact objectives: multiply-adds and parameters, from the layer table, at each architecture's own resolution."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from naturalize.archive import Context
from naturalize.objectives import Kind, Measured
from naturalize.space import Codes
from naturalize.supernet import Counter, Family, layers_of
from naturalize.supernet.layers import LayerTable
from naturalize.tasks import Classification

UNITS = {"madds": "multiply-adds", "params": "parameters"}


class Exact:
    """A count of the deployed network, head included.

    Args:
        name: `madds` or `params`.
        channels: of the input images.
    """

    kind: Kind = "exact"

    def __init__(self, name: str, family: Family, task: Classification, channels: int) -> None:
        self.name = name
        self.unit = UNITS[name]
        layers = layers_of(family, lambda codes: task.layers(family, codes), channels)
        self.count = Counter(family.space, layers, LayerTable.madds if name == "madds" else LayerTable.params)

    def __call__(self, codes: Codes) -> NDArray[np.float64]:
        """The count of each architecture, a whole number. Shapes: `(n, d) -> (n,)`."""
        return self.count(codes).astype(np.float64)

    def measure(self, codes: Codes, context: Context | None = None) -> Measured:
        """See `Objective`."""
        n = len(codes)
        return Measured(self(codes), np.zeros(n), ["ok"] * n, [{}] * n)
