"""torch.export: one `.pt2` file that torch loads and runs without a class of ours, for any number of pictures.

The program is also what other formats are converted from.
"""

from __future__ import annotations

import copy
import io
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.export import ExportedProgram

from naturalize.exporting.extras import quiet
from naturalize.exporting.network import Asked, Network
from naturalize.exporting.torch_file import LogitsOf
from naturalize.training.evaluate import fold

EXAMPLES = 2  # pictures that are traced: of one, torch makes a program for one picture alone


def folded(network: Network) -> nn.Module:
    """The plain module of a network on the CPU, batch norms folded away: the same function of fewer operators."""
    return fold(copy.deepcopy(network.subnet).cpu().eval()).requires_grad_(False)


def pixels_like(network: Network, pictures: int, dtype: torch.dtype) -> Tensor:
    """Black pictures as the network takes them, `(pictures, channels, r, r)`."""
    return torch.zeros((pictures, *network.shape), dtype=dtype)


def program_of(network: Network, pictures: int = EXAMPLES, dtype: torch.dtype = torch.uint8) -> ExportedProgram:
    """A network as a program of torch.export that tells nothing of this machine.

    Args:
        network: what is traced.
        pictures: that the program takes at once; any number, where it is more than one.
        dtype: of the pixels, 0..255.
    """
    shapes = ({0: torch.export.Dim("batch", min=1)},) if pictures > 1 else None
    with quiet():
        program = torch.export.export(folded(network), (pixels_like(network, pictures, dtype),), dynamic_shapes=shapes)
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # paths of source files
    return program


def torch_export_files(network: Network, name: str, asked: Asked) -> dict[str, bytes]:
    """The file, by its name."""
    content = io.BytesIO()
    with quiet():
        torch.export.save(program_of(network), content)
    return {name: content.getvalue()}


def torch_export_needs(opset: int | None) -> str:
    """The requirements for running the file, in words."""
    return f"PyTorch {torch.__version__.partition('+')[0]} or newer, by torch.export.load"


def open_torch_export(path: Path) -> LogitsOf:
    """The program in a file as a function of pixels."""
    with quiet():
        module = torch.export.load(path).module()

    @torch.inference_mode()
    def run(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        logits: NDArray[np.float32] = module(torch.from_numpy(pixels)).numpy()
        return logits

    return run
