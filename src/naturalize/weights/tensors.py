"""Files of weights, read without running any code in them: safetensors, and PyTorch's own with weights alone."""

from __future__ import annotations

import pickle
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from naturalize.errors import UserError

TORCH = (b"PK", b"\x80\x02")  # first bytes of PyTorch's files, of the newer kind and the older


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by name; those below `state_dict` where it has such an entry.

    Raises:
        UserError: for a file that is missing, truncated, without weights, or with code.
    """
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise UserError(f"no file of weights at {path}") from error
    except pickle.UnpicklingError as error:
        if path.read_bytes()[:2] in TORCH:
            raise UserError(
                f"{path} is refused: it holds more than tensors, which could run code when it is loaded; save its "
                "`state_dict()` alone"
            ) from error
        raise damaged(path, error) from error
    except MemoryError:
        raise
    except Exception as error:  # a file may make its readers stumble anywhere
        raise damaged(path, error) from error
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict):
        raise UserError(f"{path} holds no weights by name but a {type(content).__name__}")
    tensors = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    if not tensors:
        raise UserError(f"{path} holds no weights by name")
    return tensors


def damaged(path: Path, error: Exception) -> UserError:
    """The error for a file that cannot be read."""
    why = str(error).strip().split("\n")[0][:120]
    return UserError(f"{path} is damaged, truncated or no file of weights ({type(error).__name__}: {why})")
