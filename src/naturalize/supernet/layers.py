"""The layer table: every operator of n architectures at once. All counts are made from it; no torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
        kind: `conv`, `linear`, `pool` (of the whole map), `max_pool` or `avg_pool`. `(L,)`
        variables: columns of the codes that shape the operator, a tuple each. `(L,)`
        bias, norm: whether a bias, a batch norm belongs to it. `(L,)`
        activation: name of the function behind it, `none` for none. `(L,)`
        cin, cout, kernel, stride, groups: as in a convolution. `(n, L)`
        size_in, size_out: side of the square input and output maps in pixels. `(n, L)`
        adds: whether an earlier map is added to its output. `(n, L)`
        present: whether the architecture has the operator. `(n, L)`
    """

    name: NDArray[np.str_]
    kind: NDArray[np.str_]
    variables: NDArray[np.object_]
    bias: NDArray[np.bool_]
    norm: NDArray[np.bool_]
    activation: NDArray[np.str_]
    cin: Ints
    cout: Ints
    kernel: Ints
    stride: Ints
    groups: Ints
    size_in: Ints
    size_out: Ints
    adds: NDArray[np.bool_]
    present: NDArray[np.bool_]

    def weights(self) -> Ints:
        """Entries of each operator's weight, without bias and norm. `(n, L)`"""
        weights = self.kernel**2 * self.cin * self.cout // self.groups
        return np.where(self.present & self.weighted, weights, 0)

    @property
    def weighted(self) -> NDArray[np.bool_]:
        """Whether each operator has weights. `(L,)`"""
        return np.isin(self.kind, ("conv", "linear"))

    def madds(self) -> Ints:
        """Multiply-adds of each operator: convolutions and linear layers, squeeze-and-excite included, no bias."""
        return self.weights() * self.size_out**2

    def params(self) -> Ints:
        """Parameters of each operator, bias and the two of each batch-norm channel included. `(n, L)`"""
        extra = self.cout * (self.bias.astype(np.int64) + 2 * self.norm)
        return self.weights() + np.where(self.present & self.weighted, extra, 0)

    def activations(self) -> Ints:
        """Numbers that each convolution and linear layer puts out (Radosavovic et al., 2020, section 3). `(n, L)`"""
        return np.where(self.present & self.weighted, self.cout * self.size_out**2, 0)

    def size(self) -> Ints:
        """Bytes of each operator's weights as float32, with batch norms folded away: a bias a channel. `(n, L)`"""
        biases = np.where(self.present & self.weighted, self.cout * (self.bias | self.norm), 0)
        return 4 * (self.weights() + biases)

    def size_int8(self) -> Ints:
        """Bytes as int8: one a weight; a scale, and an int32 bias where there is one, for each channel. `(n, L)`"""
        channels = np.where(self.present & self.weighted, self.cout * (1 + (self.bias | self.norm)), 0)
        return self.weights() + 4 * channels

    def __add__(self, other: LayerTable) -> LayerTable:
        """The operators of `self`, then those of `other`, of the same n architectures."""
        joined = {f.name: np.concatenate([getattr(self, f.name), getattr(other, f.name)], -1) for f in fields(self)}
        return LayerTable(**joined)


class LayerTableBuilder:
    """A layer table under construction, operator by operator; values may be numbers or arrays of shape `(n,)`.

    Args:
        n: number of architectures.
        variables: columns of the codes that shape every operator.
    """

    def __init__(self, n: int, variables: tuple[int, ...]) -> None:
        self.n = n
        self.variables = variables
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
        variables: tuple[int, ...] = (),
        bias: bool = False,
        norm: bool = False,
        activation: str = "none",
        adds: bool | NDArray[np.bool_] = False,
        present: bool | NDArray[np.bool_] = True,
    ) -> int | Ints:
        """Append an operator. Returns the side of its output map in pixels; a `pool` reduces the map to one pixel.

        Args:
            name, kind, cin, cout, size_in, kernel, stride, groups, bias, norm, activation, adds, present: as of
                `LayerTable`.
            variables: columns that shape this operator, besides those that shape all.
        """
        size_out = -(-np.asarray(size_in) // stride) if kind != "pool" else np.ones_like(size_in)
        row = dict(locals())
        row.pop("self")
        row["variables"] = tuple(sorted({*self.variables, *variables}))
        self.rows.append(row)
        return size_out

    def table(self) -> LayerTable:
        """The finished table."""
        shared = {"name": np.str_, "kind": np.str_, "bias": np.bool_, "norm": np.bool_, "activation": np.str_}
        columns: dict[str, NDArray] = {}
        for f in fields(LayerTable):
            values = [row[f.name] for row in self.rows]
            if f.name == "variables":
                columns[f.name] = np.empty(len(values), dtype=object)
                columns[f.name][:] = values
            elif f.name in shared:
                columns[f.name] = np.array(values, dtype=shared[f.name])
            else:
                dtype = np.bool_ if f.name in ("adds", "present") else np.int64
                column: NDArray = np.empty((self.n, len(values)), dtype=dtype)
                for index, value in enumerate(values):
                    column[:, index] = value
                columns[f.name] = column
        return LayerTable(**columns)


class Counter:
    """Exact totals of a layer table for many architectures, by look-up.

    The count of an operator depends on a few variables only, so operators that depend on the same ones share a table
    with a cell for each combination of their options. The tables are read off the layer table of architectures that
    take each combination once, whatever their other variables are.

    Args:
        space: the search space.
        layers: codes `(n, d)` to the layer table of whole networks.
        count: `LayerTable.madds`, `LayerTable.params` or another count per operator, `(n, L)`; or k of them,
            `(n, L, k)`.
    """

    def __init__(
        self, space: SearchSpace, layers: Callable[[Codes], LayerTable], count: Callable[[LayerTable], Ints]
    ) -> None:
        options = space.upper + 1
        groups = sorted(set(layers(space.corners()).variables))
        grids = [every_option(space, variables, np.zeros_like(space.lower)) for variables in groups]
        table = layers(np.concatenate(grids))
        counts = count(table)
        ends = np.cumsum([len(grid) for grid in grids])
        self.tables = []
        for variables, grid, end in zip(groups, grids, ends, strict=True):
            of_group = np.array([of == variables for of in table.variables])
            totals = counts[end - len(grid) : end, of_group].sum(axis=1)
            places = np.cumprod([1, *options[list(variables)][:0:-1]])[::-1]
            self.tables.append((list(variables), places, totals))

    def __call__(self, codes: Codes) -> Ints:
        """The total of each architecture. Shapes: `(n, d) -> (n,)`, or `(n, k)` for k counts."""
        total = np.zeros((len(codes), *self.tables[0][2].shape[1:]), dtype=np.int64)
        for variables, places, totals in self.tables:
            total += totals[codes[:, variables] @ places]
        return total


def every_option(space: SearchSpace, variables: Sequence[int], lower: Codes) -> Codes:
    """Codes that take each combination of some variables' options once, the largest of all others. `(k, d)`

    Args:
        space: of the codes; these may break its rules.
        variables: columns.
        lower: first option of every variable, `(d,)`.
    """
    columns = list(variables)
    sizes = tuple((space.upper[columns] - lower[columns] + 1).tolist())
    grid = np.indices(sizes).reshape(len(columns), -1).T + lower[columns]
    codes = np.repeat(space.upper[None], len(grid), axis=0)
    codes[:, columns] = grid
    return codes


def divisible(value: float, divisor: int = 8) -> int:
    """The nearest multiple of `divisor`, never more than 10% below `value` (MobileNet's rule)."""
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


def divisible_each(values: Ints) -> Ints:
    """`divisible` of every entry."""
    rounded = np.maximum(8, (values + 4) // 8 * 8)
    return np.where(rounded < 0.9 * values, rounded + 8, rounded)
