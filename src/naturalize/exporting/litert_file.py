"""LiteRT (formerly TensorFlow Lite): one `.tflite` file, float32, made by litert-torch.

litert-torch does not fit constraints.txt, so files are made in an environment of their own (docs/formats.md). It makes
a program for one picture; the runtime resizes it for any number.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from naturalize.data.machine import allowed_cpus
from naturalize.exporting.extras import library, quiet
from naturalize.exporting.network import Asked, Network
from naturalize.exporting.torch_export_file import folded, pixels_like
from naturalize.exporting.torch_file import LogitsOf

EXTRA = "litert"


def litert_files(network: Network, name: str, asked: Asked) -> dict[str, bytes]:
    """The file, by its name."""
    litert_torch = library("litert_torch", EXTRA)
    with tempfile.TemporaryDirectory(prefix="naturalize-litert-") as directory, quiet():
        path = Path(directory) / "model.tflite"
        litert_torch.convert(folded(network), (pixels_like(network, 1, torch.uint8),)).export(str(path))
        return {name: path.read_bytes()}


def litert_needs(opset: int | None) -> str:
    """The requirements for running the file, in words."""
    return f"LiteRT {version()} or newer; resize its input for more than one picture"


def version() -> str:
    """That of the runtime. Raises `UserError` where it is not installed."""
    found: str = library("ai_edge_litert", EXTRA).__version__
    return found


def interpreter(path: Path, threads: int, shape: tuple[int, ...]) -> Any:
    """A file, ready for uint8 pixels of a shape, with XNNPACK."""
    with quiet():
        made = library("ai_edge_litert.interpreter", EXTRA).Interpreter(str(path), num_threads=threads)
        made.resize_tensor_input(made.get_input_details()[0]["index"], shape)
        made.allocate_tensors()
    return made


def open_litert(path: Path) -> LogitsOf:
    """The program in a file as a function of pixels."""

    def answer(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        made = interpreter(path, allowed_cpus(), pixels.shape)
        made.set_tensor(made.get_input_details()[0]["index"], pixels)
        made.invoke()
        logits: NDArray[np.float32] = made.get_tensor(made.get_output_details()[0]["index"])
        return logits

    return answer
