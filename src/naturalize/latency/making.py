"""A latency model is made: networks are chosen, timed in turn, and fitted; others judge it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from naturalize import rng
from naturalize.latency.bench import SEED, Bench, ProgramBench
from naturalize.latency.model import LatencyModel, Samples, fit, layer_keys
from naturalize.latency.store import Store
from naturalize.progress import Progress, silent
from naturalize.space import Codes, SearchSpace
from naturalize.supernet.layers import Ints, LayerTable

Floats = NDArray[np.float64]

PHASE = "latency"
LEAST, JUDGES = 8, 30  # networks that judge the model, at least and at most; the model has at least as many
POOL = 3000  # random architectures that those to measure are chosen from
ENOUGH, MOST = 24, 600  # measured networks that every layer is in at last, and networks of one call at most
JUDGING = 0.15  # share of the time


@dataclass(frozen=True)
class Judged:
    """How well a model tells the latency of networks that it was not fitted to.

    Attributes:
        networks: number of these.
        spearman: rank correlation of the model with the clock; None where it is not defined.
        median_error: of the model, in percent.
    """

    networks: int
    spearman: float | None
    median_error: float


def chosen(
    space: SearchSpace, layers: Callable[[Codes], LayerTable], counts: dict[tuple[int, ...], int], n: int
) -> Codes:
    """Architectures that have layers which were measured least, up to n of them: `(k, d)`.

    They are picked one after the other from a random sample, each for the layers that those before it do not have.

    Args:
        space, layers: of the networks.
        counts: number of measured networks by layer.
        n: number of architectures.
    """
    pool = np.concatenate([space.corners(), mixed(space, POOL, rng.generator(SEED, "latency networks"))])
    keys = layer_keys(layers(pool))
    distinct, place = np.unique(keys.reshape(-1, keys.shape[-1]), axis=0, return_inverse=True)
    has = np.zeros((len(pool), len(distinct)), np.float32)
    has[np.repeat(np.arange(len(pool)), keys.shape[1]), place.ravel()] = 1.0
    has[:, distinct[:, 0] < 0] = 0.0
    seen = np.array([counts.get(tuple(key), 0) for key in distinct.tolist()], np.float32)
    found: list[int] = []
    for _ in range(min(n, len(pool))):
        gain = has @ np.where(seen < ENOUGH, 1.0 / (1.0 + seen) ** 2, 0.0).astype(np.float32)
        gain[found] = 0.0
        if not gain.any():
            break
        found.append(int(gain.argmax()))
        seen += has[found[-1]]
    return pool[found]


def mixed(space: SearchSpace, n: int, generator: np.random.Generator) -> Codes:
    """n architectures of the kinds that a search asks about, in turn: uniform ones, and largest ones less something."""
    halves = space.sample(n - n // 2, generator), space.sample_trimmed(n // 2, generator)
    return np.concatenate(halves)[np.argsort([*range(n - n // 2), *range(n // 2)], kind="stable")]


def make_model(
    bench: Bench | ProgramBench,
    space: SearchSpace,
    layers: Callable[[Codes], LayerTable],
    store: Store,
    seconds: float,
    progress: Progress = silent,
) -> tuple[LatencyModel, Judged]:
    """Measure networks for some seconds, fit a model to all that the store has, and judge it on others.

    Layers that the store knows well are not measured again. The model that is judged does not know the networks that
    judge, and the one that is returned does.

    Args:
        bench: of the supernet.
        space: of the architectures that are measured; the supernet's, or a part of it.
        layers: codes to the layer table of whole networks.
        store: of the machine; it is written at the end, and where a stop comes before.
        seconds: for measuring, `JUDGING` of them for the networks that judge.
        progress: called after every group.
    """
    store.prepare()
    samples = store.samples
    if store.reference_s is None:
        store.reference_s = bench.reference_s()
    clock = Clock(bench, layers, store.reference_s, seconds, progress)
    wanted = chosen(space, layers, measured_layers(samples), MOST)
    apart = 0 if len(wanted) else JUDGES - LEAST  # where every layer is known, few new networks judge with earlier ones
    drawn = mixed(space, JUDGES - apart, rng.generator(len(samples.rows), "latency judges"))
    try:
        for keys, took in clock.measured(wanted, (1.0 - JUDGING) * seconds):
            samples.add(keys, took)
        others = list(clock.measured(drawn, seconds))
        fitted, earlier = samples.split(apart)
        judged = judge(fit(fitted), [*earlier, *others])
        for keys, took in others:
            samples.add(keys, took)
    finally:
        store.save()
    return fit(samples), judged


class Clock:
    """Seconds of architectures, for as long as there is time. Arguments as of `make_model`."""

    def __init__(
        self,
        bench: Bench | ProgramBench,
        layers: Callable[[Codes], LayerTable],
        reference_s: float,
        seconds: float,
        progress: Progress,
    ) -> None:
        self.bench = bench
        self.layers = layers
        self.reference_s = reference_s
        self.seconds = seconds
        self.progress = progress
        self.start = time.monotonic()

    def measured(self, codes: Codes, until: float) -> Iterator[tuple[Ints, float]]:
        """The keys of each architecture's layers and its seconds, group by group; of `LEAST` architectures at least.

        Args:
            codes: `(n, d)`.
            until: seconds after the start at which no new group begins.
        """
        for first in range(0, len(codes), self.bench.group):
            used = time.monotonic() - self.start
            if first >= LEAST and used >= until:
                break
            self.progress(PHASE, min(round(used), round(self.seconds)), max(1, round(self.seconds)))
            group = codes[first : first + self.bench.group]
            medians = self.bench.medians(self.bench.supernet.family.space.architectures(group))
            for keys, ratio in zip(layer_keys(self.layers(group)), medians, strict=True):
                yield keys[keys[:, 0] >= 0], float(ratio) * self.reference_s


def measured_layers(samples: Samples) -> dict[tuple[int, ...], int]:
    """Number of measured networks by layer."""
    numbers = np.bincount([place for row in samples.rows for place in set(row)], minlength=len(samples.keys))
    return dict(zip(map(tuple, samples.keys.tolist()), numbers.tolist(), strict=True))


def judge(model: LatencyModel, networks: Sequence[tuple[Ints, float]]) -> Judged:
    """A model against measured networks that it was not fitted to: keys of the layers and seconds of each."""
    from scipy.stats import spearmanr  # slow to import, and every command comes by here

    told = np.array([model.constant + model.seconds(keys).sum() for keys, _ in networks])
    took = np.array([seconds for _, seconds in networks])
    varied = len(took) > 2 and np.ptp(told) > 0 and np.ptp(took) > 0
    spearman = float(spearmanr(told, took).statistic) if varied else None
    return Judged(len(took), spearman, 100.0 * float(np.median(np.abs(told - took) / took)))
