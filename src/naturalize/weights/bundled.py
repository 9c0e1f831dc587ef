"""Weights that come inside this package: 16-bit safetensors and a card that says how they came to be."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors import SafetensorError

from naturalize.archive import TASK
from naturalize.errors import UserError
from naturalize.supernet import Supernet, make_family
from naturalize.tasks import Classification
from naturalize.tensor_files import load_tensors

BUNDLED = Path(__file__).parent / "files"


def has_bundled(name: str) -> bool:
    """Whether weights of a supernet are inside the package."""
    return (BUNDLED / f"{name}.safetensors").exists()


def bundled_supernet(name: str) -> Supernet:
    """The supernet with its bundled weights; its classifier is new, since each task brings its own."""
    card = json.loads((BUNDLED / f"{name}.json").read_text(encoding="utf-8"))
    family = make_family(name, 32)
    supernet = Supernet(family, {TASK: Classification(2).heads(family)}, card["mean"], card["std"])
    path = BUNDLED / f"{name}.safetensors"
    try:
        tensors, _ = load_tensors(path)
    except (OSError, SafetensorError, ValueError) as error:
        raise UserError(f"{path} is damaged ({error}): install naturalize again") from error
    unexpected = supernet.load_state_dict({key: tensor.float() for key, tensor in tensors.items()}, strict=False)
    assert not unexpected.unexpected_keys
    return supernet
