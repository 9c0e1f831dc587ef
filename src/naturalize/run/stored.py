"""Pictures that a run keeps, so that its networks can be cut, calibrated and checked without the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError

from naturalize import rng
from naturalize.data import Dataset, Pixels
from naturalize.errors import UserError
from naturalize.progress import Progress, silent
from naturalize.tensor_files import load_tensors, save_tensors

RANGES = 64  # pictures that tell the ranges of activations, for int8
CALIBRATION = 256  # 512 gain 0.2 points at most and cost every measurement half as much again (docs/benchmarks.md)
CHECK = 128
MOST_BYTES = 256e6  # of calibration at all resolutions: large pictures are kept in smaller numbers, but at least LEAST
CHECK_BYTES = 64e6  # the same of check pictures
LEAST = 64

Bytes = NDArray[np.uint8]


class StoredPixels:
    """Fixed pictures at every resolution; called as `data.Pixels` are."""

    views = 1

    def __init__(self, by_resolution: Mapping[int, Bytes], labels: NDArray[np.int64]) -> None:
        self.by_resolution = dict(by_resolution)
        self.labels = labels

    def __len__(self) -> int:
        return len(self.labels)

    def __call__(self, rows: NDArray[np.int64], resolution: int, view: int = 0) -> Bytes:
        """Pixels of rows, `(len(rows), channels, resolution, resolution)`."""
        return self.by_resolution[resolution][rows]


def store_pixels(
    path: Path, dataset: Dataset, resolutions: Sequence[int], seed: int, calibrates: bool, progress: Progress = silent
) -> None:
    """Write check pictures (validation) and calibration pictures (training), drawn by the seed, at each resolution.

    Args:
        path, dataset, seed: of the file, of the run, of the draws.
        resolutions: sides in pixels.
        calibrates: whether networks take statistics of these pictures; otherwise as many are kept as int8 files need.
        progress: called for each resolution.
    """
    arrays: dict[str, NDArray] = {}
    picture = dataset.channels * sum(side * side for side in resolutions)
    kinds = (
        ("calibration", "train", CALIBRATION if calibrates else RANGES, MOST_BYTES),
        ("check", "val", CHECK, CHECK_BYTES),
    )
    for name, split, wanted, most in kinds:
        number = min(wanted, max(LEAST, int(most / picture)))
        pixels = Pixels(dataset, some(dataset.splits[split], number, seed, name), resolutions)
        arrays[f"{name}.labels"] = pixels.labels
        for number, resolution in enumerate(resolutions):
            progress("pixels", number, len(resolutions))
            arrays[f"{name}.{resolution}"] = pixels(np.arange(len(pixels)), resolution)
    save_tensors(path, {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()})


def some(rows: NDArray[np.int64], most: int, seed: int, purpose: str) -> NDArray[np.int64]:
    """A random subset of at most `most` rows, sorted."""
    return rows[np.sort(rng.generator(seed, purpose).permutation(len(rows))[:most])]


def load_pixels(path: Path, name: str) -> StoredPixels:
    """The `calibration` or `check` pictures of a run. Raises `UserError` where the file is missing or damaged."""
    try:
        tensors, _ = load_tensors(path)
    except (OSError, SafetensorError, ValueError) as error:
        raise UserError(f"{path} is missing or damaged ({error}): networks cannot be cut without it") from error
    arrays = {key: tensor.numpy() for key, tensor in tensors.items()}
    by_resolution = {
        int(key.split(".")[1]): array
        for key, array in arrays.items()
        if key.startswith(f"{name}.") and "labels" not in key
    }
    return StoredPixels(by_resolution, arrays[f"{name}.labels"])
