"""A latency model is made: networks are chosen, timed in turn, and fitted; others judge it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr

from naturalize import rng
from naturalize.exporting import FORMATS, Asked, Network
from naturalize.latency.clock import burst, ratios, runs_for, spread_of
from naturalize.latency.model import LatencyModel, Samples, fit, layer_keys
from naturalize.latency.runtimes import RUNTIMES, Once
from naturalize.latency.setting import Setting
from naturalize.latency.store import Store
from naturalize.progress import Progress, silent
from naturalize.space import Architecture, Codes, SearchSpace
from naturalize.supernet import Supernet, make_family
from naturalize.supernet.layers import Ints, LayerTable
from naturalize.tasks import Classification

Floats = NDArray[np.float64]

PHASE = "latency"
GROUP = 8  # networks that are open at once
ROUNDS = 3  # bursts of each, for a model
LEAST_ROUNDS, NARROW = 5, 0.01  # bursts of a network of a front; its standard error that is wanted, relative
JUDGES = 30  # networks that judge the model
POOL = 3000  # random architectures that those to measure are chosen from
SEED = 0  # of the choice: the same networks on every machine
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


class Bench:
    """Opens and times architectures of a supernet in a runtime.

    Args:
        supernet: whose subnets are run; their weights do not matter.
        setting: how they are run.
        check: called between bursts; it may raise to stop.
    """

    def __init__(self, supernet: Supernet, setting: Setting, check: Callable[[], object] = lambda: None) -> None:
        self.supernet = supernet
        self.setting = setting
        self.check = check
        self.directory = tempfile.TemporaryDirectory(prefix="naturalize-latency-")
        self.reference = self.opened(reference_network(), "reference")

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *exception: object) -> None:
        self.directory.cleanup()

    def opened(self, network: Network, name: str) -> Once:
        """A network as the runtime runs it."""
        runtime = RUNTIMES[self.setting.runtime]
        kind = FORMATS[runtime.format]
        path = Path(self.directory.name) / (name + kind.suffix)
        for file, content in kind.files(network, path.name, Asked()).items():
            path.with_name(file).write_bytes(content)
        side, channels = network.card["resolution"], len(network.subnet.spec["normalize"]["mean"])
        return runtime.open(path, self.setting, (channels, side, side))

    def opened_all(self, archs: Sequence[Architecture]) -> list[Once]:
        """Architectures as the runtime runs them."""
        return [self.opened(bare(self.supernet, arch), str(number)) for number, arch in enumerate(archs)]

    def medians(self, archs: Sequence[Architecture]) -> Floats:
        """Times over the reference's, the median of `ROUNDS`; all are open at once. `(n,)`"""
        found: Floats = np.median(ratios(self.opened_all(archs), self.reference, ROUNDS, self.check), axis=0)
        return found

    def narrow(self, archs: Sequence[Architecture], seconds: float) -> tuple[Floats, Floats]:
        """Times over the reference's, in rounds until all are narrow, and their relative standard errors; `(n,)` each.

        Args:
            archs: opened `GROUP` at a time.
            seconds: for all of them; each has `LEAST_ROUNDS` all the same.
        """
        medians, errors, start = [], [], time.monotonic()
        for first in range(0, len(archs), GROUP):
            group = self.opened_all(archs[first : first + GROUP])
            until = start + seconds * min(1.0, (first + GROUP) / len(archs))
            found = ratios(group, self.reference, LEAST_ROUNDS, self.check)
            while spread_of(found).max() > NARROW and time.monotonic() < until:
                found = np.concatenate([found, ratios(group, self.reference, LEAST_ROUNDS, self.check)])
            medians.append(np.median(found, axis=0))
            errors.append(spread_of(found))
        return np.concatenate(medians), np.concatenate(errors)

    def reference_s(self) -> float:
        """Seconds of the reference network, the fastest of some bursts: those that no neighbour disturbed."""
        runs = runs_for(self.reference)
        return min(burst(self.reference, runs) for _ in range(20))


def reference_network() -> Network:
    """The network that all others are compared with: the largest `mini` at 32 px, with random weights."""
    family = make_family("mini", 32)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(SEED)  # not those of GPUs, which are the caller's
        supernet = Supernet(family, {"default": Classification(10).heads(family)}, [0.0] * 3, [1.0] * 3).eval()
    return bare(supernet, family.space.largest)


def bare(supernet: Supernet, arch: Architecture) -> Network:
    """A subnet with as much of a card as a file needs."""
    subnet = supernet.extract(arch).eval()
    card = {"resolution": supernet.family.resolutions[arch.code[0]], "class_names": [], "preprocessing": {}}
    return Network(subnet, card)


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
    bench: Bench,
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
    drawn = mixed(space, JUDGES, rng.generator(len(samples.rows), "latency judges"))
    try:
        for keys, took in clock.measured(wanted, (1.0 - JUDGING) * seconds):
            samples.add(keys, took)
        others = list(clock.measured(drawn, seconds))
        judged = judge(fit(samples), others)
        for keys, took in others:
            samples.add(keys, took)
    finally:
        store.save()
    return fit(samples), judged


class Clock:
    """Seconds of architectures, for as long as there is time. Arguments as of `make_model`."""

    def __init__(
        self,
        bench: Bench,
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
        """The keys of each architecture's layers and its seconds, group by group; one group at least.

        Args:
            codes: `(n, d)`.
            until: seconds after the start at which no new group begins.
        """
        for first in range(0, len(codes), GROUP):
            used = time.monotonic() - self.start
            if first and used >= until:
                break
            self.progress(PHASE, min(round(used), round(self.seconds)), max(1, round(self.seconds)))
            group = codes[first : first + GROUP]
            medians = self.bench.medians(self.bench.supernet.family.space.architectures(group))
            for keys, ratio in zip(layer_keys(self.layers(group)), medians, strict=True):
                yield keys[keys[:, 0] >= 0], float(ratio) * self.reference_s


def measured_layers(samples: Samples) -> dict[tuple[int, ...], int]:
    """Number of measured networks by layer."""
    numbers = np.bincount([place for row in samples.rows for place in set(row)], minlength=len(samples.keys))
    return dict(zip(map(tuple, samples.keys.tolist()), numbers.tolist(), strict=True))


def judge(model: LatencyModel, networks: Sequence[tuple[Ints, float]]) -> Judged:
    """A model against measured networks that it was not fitted to: keys of the layers and seconds of each."""
    told = np.array([model.constant + model.seconds(keys).sum() for keys, _ in networks])
    took = np.array([seconds for _, seconds in networks])
    varied = len(took) > 2 and np.ptp(told) > 0 and np.ptp(took) > 0
    spearman = float(spearmanr(told, took).statistic) if varied else None
    return Judged(len(took), spearman, 100.0 * float(np.median(np.abs(told - took) / took)))
