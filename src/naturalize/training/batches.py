"""The images of a training step, and their way to the network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from naturalize import rng
from naturalize.data.augment import Augment, pieces
from naturalize.supernet.subnet import Normalize
from naturalize.training.engine import memory_format


@dataclass(frozen=True)
class Batches:
    """The rows of each step: every epoch is a new permutation, cut into batches of almost equal size.

    No image is left out and no batch is smaller than `size`, unless there are fewer images than that in all: batch norm
    cannot train on one image.

    Attributes:
        n: number of training images.
        size: images in a batch, at least; there are fewer than twice as many.
        weights: by which images are drawn, with repeats, `(n,)`; each once an epoch where None.
    """

    n: int
    size: int
    seed: int
    weights: NDArray[np.float64] | None = None

    @property
    def per_epoch(self) -> int:
        """Batches in an epoch."""
        return max(1, self.n // self.size)

    def rows(self, step: int) -> NDArray[np.int64]:
        """Training rows of a step, counted from 0 over all epochs."""
        epoch, place = divmod(step, self.per_epoch)
        generator = rng.generator(self.seed, "epoch", epoch)
        if self.weights is None:
            order = generator.permutation(self.n)
        else:
            order = generator.choice(self.n, self.n, p=self.weights / self.weights.sum())
        return np.array_split(order, self.per_epoch)[place]


class Pictures(Protocol):
    """Pictures with labels at any resolution, as `data.Pixels`."""

    labels: NDArray[Any]

    def __len__(self) -> int: ...

    def __call__(self, rows: NDArray[np.int64], resolution: int) -> NDArray[np.uint8]: ...


class Images(Protocol):
    """Pictures with labels, at any resolution and in one or more views: `data.Pixels`, or what a run keeps of them."""

    views: int
    labels: NDArray[Any]

    def __len__(self) -> int: ...

    def __call__(self, rows: NDArray[np.int64], resolution: int, view: int = 0) -> NDArray[np.uint8]: ...


class Joined:
    """Pictures of two splits as one: the rows of the first, then those of the second.

    Attributes:
        labels: `(n, ...)`.
    """

    def __init__(self, first: Pictures, second: Pictures) -> None:
        self.first, self.second = first, second
        self.labels: NDArray[Any] = np.concatenate([first.labels, second.labels])

    def __len__(self) -> int:
        return len(self.labels)

    def __call__(self, rows: NDArray[np.int64], resolution: int) -> NDArray[np.uint8]:
        """Pixels `(len(rows), channels, resolution, resolution)`."""
        of_first = rows < len(self.first)
        parts = self.first(rows[of_first], resolution), self.second(rows[~of_first] - len(self.first), resolution)
        pixels = np.empty((len(rows), *parts[0].shape[1:]), dtype=np.uint8)
        pixels[of_first], pixels[~of_first] = parts
        return pixels


class TrainingImages:
    """Batches of augmented, normalised images at any resolution.

    Args:
        pixels: of the training split, or joined with those of another.
        augment: applied after normalisation.
        seed: of the augmentation; one step's draws are the same at each resolution.
    """

    def __init__(self, pixels: Pictures, augment: Augment, seed: int) -> None:
        self.pixels = pixels
        self.augment = augment
        self.seed = seed
        self.labels = torch.from_numpy(np.asarray(pixels.labels))

    def __call__(
        self, rows: NDArray[np.int64], resolution: int, step: int, normalize: Normalize
    ) -> tuple[Tensor, Tensor]:
        """Images `(b, channels, resolution, resolution)` and labels, on normalize's device.

        Labels are classes `(b,)`, or masks `(b, resolution, resolution)`, which move with the images.
        """
        device = normalize.mean.device
        raw = torch.from_numpy(self.pixels(rows, resolution)).to(device)
        kind = memory_format(device)
        images = torch.empty(raw.shape, dtype=normalize.mean.dtype, device=device, memory_format=kind)
        for some in pieces(raw):
            normalize.into(images[some], raw[some])
        labels, seed = self.labels[rows].to(device), rng.integer(self.seed, "augment", step)
        if labels.ndim == 3:
            images, labels = self.augment.with_masks(images, labels, seed)
        else:
            images = self.augment(images, seed)
        return images.contiguous(memory_format=kind), labels
