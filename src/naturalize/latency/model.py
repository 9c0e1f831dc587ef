"""The latency model: seconds of every distinct layer, fitted to measured whole networks."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from naturalize.supernet.layers import Ints, LayerTable

Floats = NDArray[np.float64]

KINDS = ("conv", "linear", "pool", "max_pool", "avg_pool")
ACTIVATIONS = ("none", "relu", "relu6", "h_swish", "h_sigmoid")
FIELDS = ("kind", "activation", "cin", "cout", "kernel", "stride", "groups", "size_in", "size_out", "adds")
MOST_FITTED = 2000  # networks; the fit takes the third power of their number
DEVIATION = 0.3  # a layer's time may differ from what its work explains by such a share
NOISES = (0.003, 0.01, 0.03, 0.1)  # of a measured network, as a share; the fit takes the one that predicts best


def layer_keys(table: LayerTable) -> Ints:
    """What tells layers apart, in the order of `FIELDS`; -1 throughout where a layer is absent. `(n, L, 10)`"""
    n, layers = table.present.shape
    kinds = np.array([KINDS.index(str(kind)) for kind in table.kind])
    activations = np.array([ACTIVATIONS.index(str(name)) for name in table.activation])
    shared = [np.broadcast_to(column, (n, layers)) for column in (kinds, activations)]
    keys = np.stack([*shared, *(getattr(table, name) for name in FIELDS[2:])], axis=2).astype(np.int64)
    keys[~table.present] = -1
    return keys


@dataclass
class Samples:
    """Measured networks: which layers each has, and its seconds.

    Attributes:
        keys: distinct layers, `(k, 10)`.
        rows: for each network the positions of its layers in `keys`.
        seconds: of one run of each network.
    """

    keys: Ints = field(default_factory=lambda: np.empty((0, len(FIELDS)), np.int64))
    rows: list[list[int]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def add(self, keys: Ints, seconds: float) -> None:
        """Add a network by the keys of its present layers, `(l, 10)`."""
        places = {tuple(key): place for place, key in enumerate(self.keys.tolist())}
        new = [key for key in dict.fromkeys(map(tuple, keys.tolist())) if key not in places]
        if new:
            places |= {key: len(self.keys) + number for number, key in enumerate(new)}
            self.keys = np.concatenate([self.keys, np.array(new, np.int64)])
        self.rows.append([places[tuple(key)] for key in keys.tolist()])
        self.seconds.append(seconds)

    def last(self, n: int) -> Samples:
        """The n networks that were measured last."""
        return Samples(self.keys, self.rows[-n:], self.seconds[-n:])

    def split(self, n: int) -> tuple[Samples, list[tuple[Ints, float]]]:
        """All but the n networks that were measured last, and of those the keys of their layers and their seconds."""
        end = len(self.rows) - n
        rest = zip(self.rows[end:], self.seconds[end:], strict=True)
        return Samples(self.keys, self.rows[:end], self.seconds[:end]), [(self.keys[row], took) for row, took in rest]

    def counts(self) -> Floats:
        """How often each network has each layer. `(n, k)`"""
        found = np.zeros((len(self.rows), len(self.keys)))
        for row, places in enumerate(self.rows):
            np.add.at(found[row], places, 1.0)
        return found


@dataclass(frozen=True)
class LatencyModel:
    """Seconds of a network: a constant, and the seconds of its layers.

    A layer that was in no measured network has what its work explains.

    Attributes:
        constant: seconds of a network without layers.
        coefficients: seconds by unit of each kind of work, see `work`. `(w,)`
        keys: layers that were in measured networks, `(k, 10)`.
        deviations: of their seconds from what their work explains, as a share of it. `(k,)`
    """

    constant: float
    coefficients: Floats
    keys: Ints
    deviations: Floats

    def seconds(self, keys: Ints) -> Floats:
        """Seconds of layers by their keys, 0 for absent ones. Shapes: `(..., 10) -> (...,)`."""
        flat, place = np.unique(keys.reshape(-1, keys.shape[-1]), axis=0, return_inverse=True)
        explained = work(flat) @ self.coefficients
        known = {tuple(key): number for number, key in enumerate(self.keys.tolist())}
        found = np.array([known.get(tuple(key), -1) for key in flat.tolist()])
        shares = np.append(self.deviations, 0.0)[found]
        seconds = np.maximum(0.0, explained * (1.0 + shares))
        seconds[flat[:, 0] < 0] = 0.0
        return seconds[place.reshape(keys.shape[:-1])]

    def nanoseconds(self, table: LayerTable) -> Ints:
        """Nanoseconds of each operator, which `Counter` adds up. `(n, L)`"""
        return np.rint(1e9 * self.seconds(layer_keys(table))).astype(np.int64)


def work(keys: Ints) -> Floats:
    """The work of layers that costs time: by class of layer, count, multiply-adds, numbers moved, weights.

    Classes are told apart because runtimes have kernels of their own for them. Shapes: `(k, 10) -> (k, w)`.
    """
    of = {name: keys[:, place] for place, name in enumerate(FIELDS)}
    groups = np.maximum(of["groups"], 1)
    weights = of["kernel"] ** 2 * of["cin"] * of["cout"] // groups
    weighted = np.isin(of["kind"], (KINDS.index("conv"), KINDS.index("linear")))
    weights = np.where(weighted, weights, 0)
    read, written = of["cin"] * of["size_in"] ** 2, of["cout"] * of["size_out"] ** 2
    amounts = np.stack([np.ones_like(groups), weights * of["size_out"] ** 2, read + written, weights], axis=1)
    depthwise = groups > 1
    classes = [
        *(depthwise & (of["kernel"] == kernel) for kernel in (3, 5, 7)),
        weighted & ~depthwise & (of["kernel"] > 1),
        weighted & ~depthwise & (of["kernel"] == 1) & (of["size_out"] > 1),
        weighted & ~depthwise & (of["kernel"] == 1) & (of["size_out"] == 1),
        ~weighted,
    ]
    by_class = [amounts * np.asarray(mask)[:, None] for mask in classes]
    swish = (of["activation"] == ACTIVATIONS.index("h_swish")) * written
    present = (keys[:, :1] >= 0).astype(np.float64)
    found: Floats = np.concatenate([*by_class, (of["adds"] * written)[:, None], swish[:, None]], axis=1) * present
    return found


def fit(samples: Samples) -> LatencyModel:
    """The model that explains measured networks: work first, then what layers add to or take from it.

    Coefficients of work are the non-negative least squares of relative errors. Deviations of single layers are ridge
    regression on what is left, towards none; how far noise is trusted is chosen by errors on networks left out.

    Args:
        samples: three networks at least.
    """
    from scipy.optimize import nnls  # slow to import

    samples = samples.last(MOST_FITTED)
    seconds, counts = np.array(samples.seconds), samples.counts()
    amounts = np.concatenate([np.ones((len(seconds), 1)), counts @ work(samples.keys)], axis=1) / seconds[:, None]
    scale = np.where((norm := np.linalg.norm(amounts, axis=0)) > 0, norm, 1.0)
    solution, _ = nnls(amounts / scale, np.ones(len(seconds)), maxiter=20 * amounts.shape[1])
    constant, coefficients = float(solution[0] / scale[0]), solution[1:] / scale[1:]
    explained = work(samples.keys) @ coefficients
    design = counts * explained / seconds[:, None]
    rest = 1.0 - (constant + counts @ explained) / seconds
    gram = DEVIATION**2 * design @ design.T
    best = min(NOISES, key=lambda noise: left_out_error(gram, rest, noise))
    weights = np.linalg.solve(gram + best**2 * np.eye(len(rest)), rest)
    return LatencyModel(constant, coefficients, samples.keys, DEVIATION**2 * design.T @ weights)


def left_out_error(gram: Floats, rest: Floats, noise: float) -> float:
    """Mean squared error of each network predicted from the others (Rasmussen and Williams, 2006, equation 5.12)."""
    inverse = np.linalg.inv(gram + noise**2 * np.eye(len(rest)))
    return float(np.mean((inverse @ rest / np.diag(inverse)) ** 2))
