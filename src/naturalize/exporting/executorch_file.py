"""ExecuTorch: one `.pte` file, float32, for one picture; all of it is XNNPACK's but the conversion of the pixels.

A program for any number of pictures would need a largest number, for which memory is planned, and takes twice as long
to make.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from naturalize.data.machine import allowed_cpus
from naturalize.exporting.extras import library, quiet
from naturalize.exporting.network import Asked, Network
from naturalize.exporting.torch_export_file import program_of
from naturalize.exporting.torch_file import LogitsOf

EXTRA = "executorch"


def executorch_files(network: Network, name: str, asked: Asked) -> dict[str, bytes]:
    """The file, by its name."""
    exir = library("executorch.exir", EXTRA)
    partitioner = library("executorch.backends.xnnpack.partition.xnnpack_partitioner", EXTRA).XnnpackPartitioner
    with quiet():
        lowered = exir.to_edge_transform_and_lower(program_of(network, 1), partitioner=[partitioner()])
        return {name: bytes(lowered.to_executorch().buffer)}


def executorch_needs(opset: int | None) -> str:
    """The requirements for running the file, in words."""
    return f"ExecuTorch {version().partition('+')[0]} or newer with XNNPACK, one picture at a time"


def version() -> str:
    """That of the library. Raises `UserError` where it is not installed."""
    found: str = library("executorch.version", EXTRA).__version__
    return found


def load_executorch(path: Path, threads: int) -> Callable[[Tensor], Tensor]:
    """The method of a file as a function of pixels; its threads are those of the process."""
    with quiet():
        bindings = library("executorch.extension.pybindings.portable_lib", EXTRA)
        bindings._unsafe_reset_threadpool(threads)  # the only way there is
        module = bindings._load_for_executorch(str(path))

    def run(pixels: Tensor) -> Tensor:
        logits: Tensor = module.forward([pixels])[0]
        return logits

    return run


def open_executorch(path: Path) -> LogitsOf:
    """The program in a file as a function of pixels."""
    run = load_executorch(path, allowed_cpus())

    return lambda pixels: np.concatenate([run(picture[None]).numpy().copy() for picture in torch.from_numpy(pixels)])
