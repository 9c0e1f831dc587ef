"""What runs a network that is measured: a runtime by its name, from an exported file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from naturalize.errors import UserError
from naturalize.exporting import executorch_file, litert_file, ncnn_file, openvino_file
from naturalize.exporting.extras import library
from naturalize.exporting.onnx_model import make_session, runtime
from naturalize.latency.clock import Once
from naturalize.latency.setting import CPU, CUDA, EXECUTORCH, NCNN, Setting
from naturalize.supernet.subnet import load
from naturalize.training.evaluate import fold


@dataclass(frozen=True)
class Runtime:
    """A program that runs networks.

    Attributes:
        format: name in `exporting.FORMATS` of the files that it takes.
        open: function from such a file, the setting and the shape of one picture `(channels, side, side)` to `Once`.
        version: function that returns its name and version. Raises `UserError` where it is not installed.
    """

    format: str
    open: Callable[[Path, Setting, tuple[int, int, int]], Once]
    version: Callable[[], str]


def pictures(setting: Setting, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """What a network is run on, `(batch, channels, side, side)`."""
    return np.random.default_rng(0).integers(0, 256, (setting.batch, *shape)).astype(np.uint8)


def onnxruntime_version() -> str:
    """Name and version of the runtime."""
    return f"onnxruntime {runtime().__version__}"


def open_onnxruntime(path: Path, setting: Setting, shape: tuple[int, int, int]) -> Once:
    """A network on the CPU; its threads do not spin between runs, so that they leave the CPU to others."""
    session = make_session(path, setting.threads, {"session.intra_op.allow_spinning": "0"})
    (taken,), (given,) = session.get_inputs(), session.get_outputs()
    feed, names = {taken.name: pictures(setting, shape)}, [given.name]
    return lambda: session.run(names, feed)


def openvino_version() -> str:
    """Name and version of the runtime."""
    return f"openvino {openvino_file.openvino_library('openvino').__version__}"


def open_openvino(path: Path, setting: Setting, shape: tuple[int, int, int]) -> Once:
    """A network on the CPU, in float32."""
    request = openvino_file.compiled(path, setting.threads)
    feed = {openvino_file.PIXELS: pictures(setting, shape)}
    return lambda: request.infer(feed)


def ncnn_version() -> str:
    """Names and versions of the runtime and of its converter."""
    ncnn, pnnx = (library(name, ncnn_file.EXTRA) for name in ("ncnn", "pnnx"))
    return f"ncnn {ncnn.__version__}, pnnx {pnnx.__version__}"


def open_ncnn(path: Path, setting: Setting, shape: tuple[int, int, int]) -> Once:
    """A network on the CPU, in float32."""
    run = ncnn_file.load_ncnn(path, setting.threads)
    (picture,) = pictures(setting, shape).astype(np.float32)
    return lambda: run(picture)


def executorch_version() -> str:
    """Name and version of the runtime."""
    return f"executorch {executorch_file.version()}"


def open_executorch(path: Path, setting: Setting, shape: tuple[int, int, int]) -> Once:
    """A network on the CPU."""
    run = executorch_file.load_executorch(path, setting.threads)
    pixels = torch.from_numpy(pictures(setting, shape))
    return lambda: run(pixels)


def litert_version() -> str:
    """Name and version of the runtime, whose converter is there too."""
    library("litert_torch", litert_file.EXTRA)
    return f"litert {litert_file.version()}"


def open_litert(path: Path, setting: Setting, shape: tuple[int, int, int]) -> Once:
    """A network on the CPU."""
    pixels = pictures(setting, shape)
    made = litert_file.interpreter(path, setting.threads, pixels.shape)
    made.set_tensor(made.get_input_details()[0]["index"], pixels)
    run: Once = made.invoke
    return run


def cuda_version() -> str:
    """The GPU and what runs on it. Raises `UserError` where there is none."""
    if not torch.cuda.is_available():
        raise UserError(f"latency:{CUDA} needs an NVIDIA GPU, and torch {torch.__version__} sees none")
    return f"torch {torch.__version__} on {torch.cuda.get_device_name()}"


def open_cuda(path: Path, setting: Setting, shape: tuple[int, int, int]) -> Once:
    """A network as one CUDA graph, timed by the GPU's own clock: Python would take longer.

    This has not been run on a GPU yet.
    """
    with torch.random.fork_rng(devices=[]):  # starting values are drawn, and replaced at once
        network = fold(load(str(path))).cuda()
    pixels = torch.from_numpy(pictures(setting, shape)).cuda()
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.inference_mode():
        with torch.cuda.stream(aside):
            for _ in range(3):  # which choose kernels and take memory: a graph may do neither
                network(pixels)
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            network(pixels)
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))

    def once() -> float:
        start.record()
        graph.replay()
        end.record()
        end.synchronize()
        return 1e-3 * start.elapsed_time(end)

    return once


RUNTIMES: dict[str, Runtime] = {
    CPU: Runtime("onnx", open_onnxruntime, onnxruntime_version),
    CUDA: Runtime("torch", open_cuda, cuda_version),
    "openvino": Runtime("openvino", open_openvino, openvino_version),
    NCNN: Runtime("ncnn", open_ncnn, ncnn_version),
    EXECUTORCH: Runtime("executorch", open_executorch, executorch_version),
    "litert": Runtime("litert", open_litert, litert_version),
}
