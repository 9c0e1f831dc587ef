"""Which images a step trains on, and how they come to the network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from naturalize import rng
from naturalize.data import Pixels
from naturalize.data.augment import Augment
from naturalize.supernet.subnet import Normalize
from naturalize.training.engine import memory_format


@dataclass(frozen=True)
class Batches:
    """Rows of each step: every epoch is a new permutation, cut into batches of almost equal size.

    No image is left out and no batch is smaller than `size`, unless there are fewer images than that in all: batch norm
    cannot train on one image.

    Attributes:
        n: training images.
        size: images in a batch, at least; below twice as many.
    """

    n: int
    size: int
    seed: int

    @property
    def per_epoch(self) -> int:
        """Batches in an epoch."""
        return max(1, self.n // self.size)

    def rows(self, step: int) -> NDArray[np.int64]:
        """Training rows of a step, counted from 0 over all epochs."""
        epoch, place = divmod(step, self.per_epoch)
        order = rng.generator(self.seed, "epoch", epoch).permutation(self.n)
        return np.array_split(order, self.per_epoch)[place]


class TrainingImages:
    """Batches of augmented, normalised images at any resolution.

    Args:
        pixels: of the training split.
        augment: applied after normalisation.
        seed: of the augmentation; one step's draws are the same at each resolution.
    """

    def __init__(self, pixels: Pixels, augment: Augment, seed: int) -> None:
        self.pixels = pixels
        self.augment = augment
        self.seed = seed
        self.labels = torch.from_numpy(np.asarray(pixels.labels))

    def __call__(
        self, rows: NDArray[np.int64], resolution: int, step: int, normalize: Normalize
    ) -> tuple[Tensor, Tensor]:
        """Images `(b, channels, resolution, resolution)` and labels `(b,)`, on normalize's device."""
        device = normalize.mean.device
        raw = torch.from_numpy(self.pixels(rows, resolution)).to(device)
        images = normalize(raw).contiguous(memory_format=memory_format(device))
        images = self.augment(images, rng.integer(self.seed, "augment", step))
        return images.contiguous(memory_format=memory_format(device)), self.labels[rows].to(device)
