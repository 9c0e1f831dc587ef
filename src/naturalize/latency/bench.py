"""Where architectures of a supernet are measured: by the clock in a runtime, or by a user's program."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from naturalize.exporting import FORMATS, Asked, Network
from naturalize.exporting.network import nameless
from naturalize.latency.clock import burst, ratios, runs_for, spread_of
from naturalize.latency.program import answer, find_program
from naturalize.latency.runtimes import RUNTIMES, Once
from naturalize.latency.setting import COMMAND, Setting
from naturalize.space import Architecture
from naturalize.supernet import Supernet, make_family
from naturalize.tasks import Classification

Floats = NDArray[np.float64]

ROUNDS = 3  # bursts of each, for a model
LEAST_ROUNDS, NARROW = 5, 0.01  # bursts of a network of a front; its standard error that is wanted, relative
LEAST_ANSWERS = 3  # of a program for a network of a front
PATIENCE = 3.0  # times the seconds that a program has, after which it is asked about no other network
SEED = 0  # of the reference network's weights, and of the choice of networks: the same on every machine


class Bench:
    """Opens and times architectures of a supernet in a runtime.

    Args:
        supernet: whose subnets are run; their weights do not matter.
        setting: how they are run.
        check: called between bursts; it may raise to stop.

    Attributes:
        group: networks that are open at once.
    """

    group = 8

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
        path = written(network, Path(self.directory.name), name, runtime.format)
        return runtime.open(path, self.setting, network.shape)

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
            archs: opened `group` at a time.
            seconds: for all of them; each has `LEAST_ROUNDS` all the same.
        """
        medians, errors, start = [], [], time.monotonic()
        for first in range(0, len(archs), self.group):
            group = self.opened_all(archs[first : first + self.group])
            until = start + seconds * min(1.0, (first + self.group) / len(archs))
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


class ProgramBench:
    """Asks a user's program about architectures of a supernet; its numbers are thousandths of a second, or of a joule.

    Args:
        supernet: whose subnets it gets as ONNX files; their weights do not matter.
        setting: that names the program.
        unit: of its numbers, for messages.
        check: called a few times a second; it may raise to stop.
    """

    group = 1  # of which each may take long, so that the clock is asked after every one

    def __init__(
        self, supernet: Supernet, setting: Setting, unit: str, check: Callable[[], object] = lambda: None
    ) -> None:
        self.supernet = supernet
        self.program = find_program(setting.path)
        self.unit = unit
        self.check = check
        self.directory = tempfile.TemporaryDirectory(prefix="naturalize-latency-")

    def __enter__(self) -> ProgramBench:
        return self

    def __exit__(self, *exception: object) -> None:
        self.directory.cleanup()

    def asked(self, arch: Architecture, times: int) -> Floats:
        """What the program prints for an architecture, some times. Raises `UserError` for no number. `(times,)`"""
        file = written(bare(self.supernet, arch), Path(self.directory.name), arch.text, "onnx")
        return np.array([answer(self.program, file, self.unit, self.check) for _ in range(times)]) / 1e3

    def medians(self, archs: Sequence[Architecture]) -> Floats:
        """One number for each architecture. `(n,)`"""
        return np.concatenate([self.asked(arch, 1) for arch in archs])

    def narrow(self, archs: Sequence[Architecture], seconds: float) -> tuple[Floats, Floats]:
        """Numbers, asked for until they are narrow, and their relative standard errors; as of `Bench.narrow`.

        A slow program is asked about the first ones alone; the others have NaN.
        """
        medians: list[float] = []
        errors: list[float] = []
        start = time.monotonic()
        for number, arch in enumerate(archs, start=1):
            if medians and time.monotonic() > start + PATIENCE * seconds:
                medians.append(np.nan)
                errors.append(np.nan)
                continue
            until = start + seconds * number / len(archs)
            found = self.asked(arch, LEAST_ANSWERS)
            while spread_of(found[:, None])[0] > NARROW and time.monotonic() < until:
                found = np.concatenate([found, self.asked(arch, LEAST_ANSWERS)])
            medians.append(float(np.median(found)))
            errors.append(float(spread_of(found[:, None])[0]))
        return np.array(medians), np.array(errors)

    def reference_s(self) -> float:
        """One: a program's numbers are its own."""
        return 1.0


def open_bench(
    supernet: Supernet, setting: Setting, unit: str = "milliseconds", check: Callable[[], object] = lambda: None
) -> Bench | ProgramBench:
    """Where a setting measures; arguments as of the two. Raises `UserError` where it cannot."""
    return (
        ProgramBench(supernet, setting, unit, check) if setting.runtime == COMMAND else Bench(supernet, setting, check)
    )


def written(network: Network, directory: Path, name: str, format: str) -> Path:
    """The file of a network in a directory, as it is exported."""
    kind = FORMATS[format]
    path = directory / (name + kind.suffix)
    for file, content in kind.files(network, path.name, Asked()).items():
        path.with_name(file).write_bytes(content)
    return path


def reference_network() -> Network:
    """The network that all others are compared with: the largest `mini` at 32 px, with random weights."""
    family = make_family("mini", 32)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(SEED)  # not those of GPUs, which are the caller's
        supernet = Supernet(family, {"default": Classification(10).heads(family)}, [0.0] * 3, [1.0] * 3).eval()
    return bare(supernet, family.space.largest)


def bare(supernet: Supernet, arch: Architecture) -> Network:
    """An architecture as a network that a file can be written of."""
    return nameless(supernet.extract(arch).eval(), supernet.family.resolutions[arch.code[0]])
