"""Files of tensors that detect damage: safetensors with a checksum of their whole content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
import torch
from safetensors import safe_open
from torch import Tensor

from naturalize.files import write_bytes

TOLD, CHECKSUM = "naturalize", "sha256"  # keys: of a file's metadata, one JSON text, and of the checksum within it


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> str:
    """Write tensors, in one step, with a checksum of them and of the metadata. Returns the checksum."""
    own = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    found = checksum(own, metadata or {})
    told = json.dumps({**(metadata or {}), CHECKSUM: found}, sort_keys=True)
    write_bytes(path, safetensors.torch.save(own, {TOLD: told}))  # safetensors writes several in any order
    return found


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a file that `save_tensors` wrote; files of an older naturalize have no checksum.

    Raises:
        OSError, SafetensorError, ValueError: the file is not there, is no such file, or has changed since.
    """
    with safe_open(path, framework="pt") as file:
        metadata = dict(file.metadata() or {})
        metadata = json.loads(metadata[TOLD]) if TOLD in metadata else metadata
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, it is no mapping
    wanted = metadata.pop(CHECKSUM, None)
    if wanted is not None and checksum(tensors, metadata) != wanted:
        raise ValueError("its content has changed since it was written: its checksum is another")
    return tensors, metadata


def checksum(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """SHA-256 of names, types, shapes and values of contiguous tensors on the CPU, and of metadata."""
    digest = hashlib.sha256(json.dumps(sorted(metadata.items())).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        digest.update(tensor.reshape(-1).clone(memory_format=torch.contiguous_format).view(torch.uint8).numpy().data)
    return digest.hexdigest()
