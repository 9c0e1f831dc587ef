"""OpenVINO: `model.xml` and `model.bin`, float32 or int8 (nncf, calibrated on training pictures).

The files are made from our ONNX of operator set 14, whose HardSwish OpenVINO fuses with convolutions. They run as fast
as those made from torch.export, are made in a hundredth of the time, and keep the card.

Two defaults would miss our tolerance: weights are saved in half precision, and a CPU with bfloat16 computes in it,
whatever the file holds.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from naturalize.data.machine import allowed_cpus
from naturalize.exporting.extras import library, quiet
from naturalize.exporting.network import Asked, Network
from naturalize.exporting.onnx_file import PIXELS, onnx_bytes
from naturalize.exporting.torch_file import LogitsOf

OPSET = 14
EXTRA = "openvino"
WEIGHTS = ".bin"


def openvino_library(module: str) -> Any:
    """A module of OpenVINO or nncf, without the package that writes to the user's home and tells Intel of their use.

    Raises `UserError` where it is not installed.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    return library(module, EXTRA)


def openvino_files(network: Network, name: str, asked: Asked) -> dict[str, bytes]:
    """The two files, by name."""
    return saved(converted(network), name)


def openvino_int8_files(network: Network, name: str, asked: Asked) -> dict[str, bytes]:
    """The two files, by name, weights and activations of 8 bits."""
    nncf = openvino_library("nncf")
    assert asked.calibration is not None, "the format calibrates"
    pictures = nncf.Dataset([{PIXELS: picture[None]} for picture in asked.calibration])
    with quiet():
        model = nncf.quantize(converted(network), pictures, subset_size=len(asked.calibration))
    return saved(model, name)


def converted(network: Network) -> Any:
    """A network as OpenVINO's model."""
    openvino = openvino_library("openvino")
    with tempfile.TemporaryDirectory(prefix="naturalize-openvino-") as directory:
        path = Path(directory) / "model.onnx"
        path.write_bytes(onnx_bytes(network, OPSET))
        model = openvino.Core().read_model(path)  # `convert_model` takes seconds
    passes = openvino_library("openvino.passes")
    manager = passes.Manager()
    manager.register_pass(passes.ConstantFolding())
    manager.run_passes(model)
    return model


def saved(model: Any, name: str) -> dict[str, bytes]:
    """The files of a model, by name: the same bytes every time."""
    for number, node in enumerate(model.get_ordered_ops()):  # which OpenVINO numbers on from model to model
        if node.get_type_name() != "Parameter":
            node.set_friendly_name(f"{node.get_type_name()}_{number}")
    with tempfile.TemporaryDirectory(prefix="naturalize-openvino-") as directory:
        path = Path(directory) / name
        openvino_library("openvino").save_model(model, path, compress_to_fp16=False)
        return {each.name: each.read_bytes() for each in (path, path.with_suffix(WEIGHTS))}


def openvino_needs(opset: int | None) -> str:
    """The requirements for running the files, in words."""
    version = openvino_library("openvino").__version__.partition("-")[0]
    return f"OpenVINO {version} or newer, {WEIGHTS} beside it, INFERENCE_PRECISION_HINT=f32"


def compiled(path: Path, threads: int) -> Any:
    """A request to a model on the CPU, in float32."""
    options = {
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "ENABLE_CPU_PINNING": False,  # or each model keeps to one CPU, and to the neighbours that are there
    }
    return openvino_library("openvino").Core().compile_model(path, "CPU", options).create_infer_request()


def open_openvino(path: Path) -> LogitsOf:
    """The model of the files as a function of pixels."""
    request = compiled(path, allowed_cpus())

    def run(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        logits: NDArray[np.float32] = request.infer({PIXELS: pixels})[0].copy()
        return logits

    return run
