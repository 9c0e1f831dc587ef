"""ncnn: `model.param` and `model.bin`, float32, written by pnnx; one picture at a time, as float pixels 0..255.

Two defaults would miss our tolerance: pnnx writes weights in half precision, and ncnn computes in it.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from naturalize.data.machine import allowed_cpus
from naturalize.errors import UserError
from naturalize.exporting.extras import library, quiet
from naturalize.exporting.network import Asked, Network
from naturalize.exporting.torch_export_file import folded, pixels_like
from naturalize.exporting.torch_file import LogitsOf

EXTRA = "ncnn"
WEIGHTS = ".bin"
PIXELS, LOGITS = "in0", "out0"  # pnnx's names
HALF = ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic")  # ncnn's options

Floats = NDArray[np.float32]


def ncnn_files(network: Network, name: str, asked: Asked) -> dict[str, bytes]:
    """The two files, by name; pnnx writes six others. Raises `UserError` where pnnx fails."""
    pnnx = library("pnnx", EXTRA)
    example = pixels_like(network, 1, torch.float32)
    with tempfile.TemporaryDirectory(prefix="naturalize-ncnn-") as directory, quiet():
        traced = Path(directory) / "model.pt"
        torch.jit.trace(folded(network), example).save(traced)
        shape = f"inputshape={list(example.shape)}f32".replace(" ", "")
        # Its own Python function does not look at how the program ended.
        done = subprocess.run([pnnx.EXEC_PATH, traced.name, shape, "fp16=0"], cwd=directory, capture_output=True)
        written = {suffix: traced.with_suffix(f".ncnn{suffix}") for suffix in (".param", WEIGHTS)}
        if done.returncode or not all(path.exists() for path in written.values()):
            raise UserError(f"pnnx {pnnx.__version__} could not convert the network (exit code {done.returncode})")
        return {str(Path(name).with_suffix(suffix)): path.read_bytes() for suffix, path in written.items()}


def ncnn_needs(opset: int | None) -> str:
    """The requirements for running the files, in words."""
    return f"ncnn, {WEIGHTS} beside it, float pixels 0..255, one picture at a time, fp16 options off"


def load_ncnn(path: Path, threads: int) -> Callable[[Floats], Floats]:
    """The network of the files as a function of one float picture `(channels, r, r)` to logits `(classes,)`."""
    ncnn = library("ncnn", EXTRA)
    net = ncnn.Net()
    net.opt.num_threads = threads
    for option in HALF:
        setattr(net.opt, option, False)
    if net.load_param(str(path)) or net.load_model(str(path.with_suffix(WEIGHTS))):
        raise UserError(f"ncnn {ncnn.__version__} cannot load {path}")

    def run(picture: Floats) -> Floats:
        extractor = net.create_extractor()
        extractor.input(PIXELS, ncnn.Mat(picture))  # which reads the array's memory, and does not keep it
        return np.array(extractor.extract(LOGITS)[1])

    return run


def open_ncnn(path: Path) -> LogitsOf:
    """The network of the files as a function of pixels."""
    run = load_ncnn(path, allowed_cpus())
    return lambda pixels: np.stack([run(picture) for picture in pixels.astype(np.float32)])
