"""Checkpoints: one directory each, weights and trainer state together, and a pointer that is renamed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from naturalize.errors import UserError
from naturalize.files import check_content, checksum_of, room_on_disk, sync_directory, write_json, write_text
from naturalize.tensor_files import load_tensors, save_tensors


class Checkpoints:
    """The directory `supernet/` of a run. A checkpoint is whole before the pointer names it, and stays until pruned."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def names(self) -> list[str]:
        """Whole checkpoints, the oldest first."""
        if not self.directory.is_dir():
            return []
        found = [path.name for path in self.directory.iterdir() if path.is_dir() and path.name.isdigit()]
        return sorted(found, key=int)

    def latest(self) -> str | None:
        """The checkpoint that the pointer names, or None before the first. Raises `UserError` where it names none."""
        pointer = self.directory / "latest"
        if not pointer.exists():
            return None
        name, *told = [*pointer.read_text(encoding="utf-8", errors="replace").split(), ""]
        if name not in self.names() or (told[0] and told[0] != checksum_of(name)):
            newest = (self.names() or ["none"])[-1]
            raise UserError(
                f"{pointer} is damaged ({name!r} is no checkpoint of it): write the name of a checkpoint into it, the "
                f"newest is {newest}, or put it back from a copy"
            )
        return name

    def save(self, weights: Mapping[str, Tensor], trainer: Mapping[str, Tensor], state: dict[str, Any]) -> str:
        """Write a checkpoint and let the pointer name it. Raises `UserError` for tensors that are not finite."""
        broken = [name for tensors in (weights, trainer) for name, t in tensors.items() if not torch.isfinite(t).all()]
        if broken:
            raise UserError(
                f"training diverged: {broken[0]} is no longer finite, so nothing was saved; look at the pictures with "
                f"`naturalize check`. {self.kept()}"
            )
        name = f"{int((self.names() or ['-1'])[-1]) + 1:04d}"
        beside = self.directory / f".{name}.new"
        with room_on_disk(self.directory):
            shutil.rmtree(beside, ignore_errors=True)
            beside.mkdir(parents=True)
            try:
                save_tensors(beside / "weights.safetensors", weights)
                save_tensors(beside / "trainer.safetensors", trainer, {"state": json.dumps(state)})
                write_json(beside / "state.json", {**state, "checksum": checksum_of(state)})
                beside.rename(self.directory / name)
            except BaseException:
                shutil.rmtree(beside, ignore_errors=True)
                raise
            sync_directory(self.directory)
            write_text(self.directory / "latest", f"{name} {checksum_of(name)}\n")
        return name

    def kept(self) -> str:
        """The last whole checkpoint, in words."""
        latest = self.latest()
        return "No checkpoint was written yet" if latest is None else f"The last whole one is {self.directory / latest}"

    def state(self, name: str) -> dict[str, Any]:
        """The state that `save` was given."""
        try:
            return check_content(json.loads((self.directory / name / "state.json").read_text(encoding="utf-8")))
        except (OSError, ValueError, AttributeError) as error:
            raise damaged(self.directory / name, error) from error

    def load(self, name: str) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Any]]:
        """Weights, trainer tensors and state of a checkpoint. Raises `UserError` where it is damaged."""
        directory = self.directory / name
        try:
            weights, _ = load_tensors(directory / "weights.safetensors")
            trainer, metadata = load_tensors(directory / "trainer.safetensors")
            state = self.state(name)
            if "state" in metadata and json.loads(metadata["state"]) != state:
                raise ValueError("state.json has changed since it was written")
        except (OSError, SafetensorError, ValueError) as error:
            raise damaged(directory, error) from error
        return weights, trainer, state

    def version(self, version: int) -> str | None:
        """The checkpoint that completed a weights version, if it is kept."""
        for name in reversed(self.names()):
            state = self.state(name)
            if state["complete"] and state["version"] == version:
                return name
        return None

    def prune(self, versions: Iterable[int]) -> None:
        """Delete all but the latest and those that completed one of the given weights versions."""
        kept = {self.latest(), *(self.version(version) for version in versions)}
        for name in self.names():
            if name not in kept:
                shutil.rmtree(self.directory / name, ignore_errors=True)


def damaged(directory: Path, error: Exception) -> UserError:
    """The error for a checkpoint that cannot be read."""
    return UserError(
        f"checkpoint {directory} is damaged ({error}): put its files back from a copy, or write the name of an older "
        f"checkpoint into {directory.parent / 'latest'}"
    )
