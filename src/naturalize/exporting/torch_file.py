"""PyTorch: `model.pt` with weights and card, and `model.py` beside it, which loads it without naturalize."""

from __future__ import annotations

import importlib.util
import io
import json
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from naturalize.exporting.network import Asked, Network, weights_of

LogitsOf = Callable[[NDArray[np.uint8]], NDArray[np.float32]]

MODULE = "model.py"


def torch_files(network: Network, name: str, asked: Asked) -> dict[str, bytes]:
    """The file of weights, and the source of the module that takes them, by file name."""
    # JSON makes new objects of the card's strings, so that pickle's bytes do not depend on which ones were shared.
    card = json.loads(json.dumps(network.card))
    content = io.BytesIO()
    torch.save({"state_dict": weights_of(network.subnet), "card": card}, content)
    source = resources.files("naturalize.supernet").joinpath("subnet.py").read_bytes()
    return {name: content.getvalue(), MODULE: source}


def torch_needs(opset: int | None) -> str:
    """The requirements for running the file, in words."""
    return f"PyTorch 2.0 or newer, and {MODULE} beside it"


def open_torch(path: Path) -> LogitsOf:
    """The exported network as its consumers run it: by the source beside it."""
    spec = importlib.util.spec_from_file_location("naturalize_exported_model", path.with_name(MODULE))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with torch.random.fork_rng(devices=[]):  # starting values are drawn, and replaced at once
        return logits_of_arrays(module.load(str(path)))


def logits_of_arrays(subnet: nn.Module) -> LogitsOf:
    """A plain network as a function of arrays: uint8 pixels `(n, channels, r, r)` to logits `(n, classes)`."""

    @torch.inference_mode()
    def run(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        return subnet(torch.from_numpy(pixels)).numpy()

    return run
