"""The layer table: every operator of n architectures at once. Whatever counts, times or draws reads it; no torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from naturalize.space import Codes, SearchSpace

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class LayerTable:
    """Operators of n architectures in order of execution; L is the number of operators of the largest one.

    Fields of shape `(L,)` are the same for all architectures, those of shape `(n, L)` are per architecture.

    Attributes:
        name: where the operator sits, as `stage2.position3.expand`. `(L,)`
        kind: `conv`, `linear` or `pool`. `(L,)`
        variable: column of the codes that shapes the operator, besides resolution and width; -1 for none. `(L,)`
        bias, norm: whether a bias, a batch norm belongs to it. `(L,)`
        cin, cout, kernel, stride, groups: as in a convolution. `(n, L)`
        size_in, size_out: side of the square input and output maps in pixels. `(n, L)`
        present: whether the architecture has the operator. `(n, L)`
    """

    name: NDArray[np.str_]
    kind: NDArray[np.str_]
    variable: Ints
    bias: NDArray[np.bool_]
    norm: NDArray[np.bool_]
    cin: Ints
    cout: Ints
    kernel: Ints
    stride: Ints
    groups: Ints
    size_in: Ints
    size_out: Ints
    present: NDArray[np.bool_]

    def weights(self) -> Ints:
        """Entries of each operator's weight, without bias and norm. `(n, L)`"""
        weights = self.kernel**2 * self.cin * self.cout // self.groups
        return np.where(self.present & (self.kind != "pool"), weights, 0)

    def madds(self) -> Ints:
        """Multiply-adds of each operator: convolutions and linear layers, squeeze-and-excite included, no bias."""
        return self.weights() * self.size_out**2

    def params(self) -> Ints:
        """Parameters of each operator, bias and the two of each batch-norm channel included. `(n, L)`"""
        extra = self.cout * (self.bias.astype(np.int64) + 2 * self.norm)
        return self.weights() + np.where(self.present & (self.kind != "pool"), extra, 0)

    def __add__(self, other: LayerTable) -> LayerTable:
        """The operators of `self`, then those of `other`, of the same n architectures."""
        joined = {f.name: np.concatenate([getattr(self, f.name), getattr(other, f.name)], -1) for f in fields(self)}
        return LayerTable(**joined)


class LayerTableBuilder:
    """Collects operators in order; values may be numbers or arrays of shape `(n,)`."""

    def __init__(self, n: int) -> None:
        self.n = n
        self.rows: list[dict[str, object]] = []

    def add(
        self,
        name: str,
        kind: str,
        cin: int | Ints,
        cout: int | Ints,
        size_in: int | Ints,
        *,
        kernel: int | Ints = 1,
        stride: int = 1,
        groups: int | Ints = 1,
        variable: int = -1,
        bias: bool = False,
        norm: bool = False,
        present: bool | NDArray[np.bool_] = True,
    ) -> int | Ints:
        """Append an operator; the side of its output map is given back. A `pool` reduces the map to one pixel."""
        size_out = -(-np.asarray(size_in) // stride) if kind != "pool" else np.ones_like(size_in)
        row = dict(locals())
        row.pop("self")
        self.rows.append(row)
        return size_out

    def table(self) -> LayerTable:
        """The finished table."""
        shared = {"name": np.str_, "kind": np.str_, "variable": np.int64, "bias": np.bool_, "norm": np.bool_}
        columns: dict[str, NDArray] = {}
        for f in fields(LayerTable):
            values = [row[f.name] for row in self.rows]
            if f.name in shared:
                columns[f.name] = np.array(values, dtype=shared[f.name])
            else:
                dtype = np.bool_ if f.name == "present" else np.int64
                column: NDArray = np.empty((self.n, len(values)), dtype=dtype)
                for index, value in enumerate(values):
                    column[:, index] = value
                columns[f.name] = column
        return LayerTable(**columns)


class Counter:
    """Exact totals of a layer table for many architectures, by look-up.

    An operator depends on the shared variables (resolution, width) and on one variable of its own, so its count is a
    small table. The tables are read off the layer table of architectures whose layers all bear the same code.

    Args:
        space: the search space; its first `shared` variables shape every operator.
        layers: codes `(n, d)` to the layer table of whole networks.
        count: `LayerTable.madds`, `LayerTable.params` or another count per operator, `(n, L)`.
        shared: number of leading shared variables.
    """

    def __init__(
        self,
        space: SearchSpace,
        layers: Callable[[Codes], LayerTable],
        count: Callable[[LayerTable], Ints],
        shared: int = 2,
    ) -> None:
        self.shared = shared
        self.shape = tuple((space.upper + 1)[:shared].tolist())
        options = int(space.upper[shared:].max()) + 1
        grid = np.indices((*self.shape, options)).reshape(shared + 1, -1).T
        codes = np.concatenate([grid[:, :shared], np.repeat(grid[:, shared:], len(space) - shared, axis=1)], axis=1)
        codes[:, shared:] = np.minimum(codes[:, shared:], space.upper[shared:])
        table = layers(codes)
        counts = count(table)
        owners = np.arange(shared, len(space))
        owned = (table.variable[:, None] == owners).astype(np.int64)
        self.options = options
        self.per_variable = np.ascontiguousarray((counts @ owned).T)
        self.fixed = counts[:, table.variable < shared].sum(axis=1)

    def __call__(self, codes: Codes) -> Ints:
        """The total of each architecture. Shapes: `(n, d) -> (n,)`."""
        cell = np.ravel_multi_index(tuple(codes[:, : self.shared].T), self.shape) * self.options
        rows = cell[:, None] + codes[:, self.shared :]
        own = self.per_variable[np.arange(rows.shape[1]), rows].sum(axis=1)
        return self.fixed[cell] + own
