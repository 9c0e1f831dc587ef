"""A supernet, pictures and a trainer that fit in memory and take milliseconds, without a run directory."""

from __future__ import annotations

import numpy as np
import torch
from lightning_fabric import Fabric

from naturalize.data.augment import Augment
from naturalize.objectives.error import Error
from naturalize.supernet import Supernet, make_family
from naturalize.tasks import Classification
from naturalize.training.adapt import Trainer, make_optimizer
from naturalize.training.batches import Batches, TrainingImages
from naturalize.training.subnets import Subnets

CLASSES = 3


class Pictures:
    """n pictures of bands; called as `data.Pixels` are."""

    views = 1

    def __init__(self, n: int, seed: int = 0, labels: np.ndarray | None = None) -> None:
        self.seed = seed
        self.shown = np.arange(n) % CLASSES
        self.labels = self.shown if labels is None else labels

    def __len__(self) -> int:
        return len(self.shown)

    def __call__(self, rows, resolution: int, view: int = 0) -> np.ndarray:
        wanted = np.arange(len(self))[rows]
        images = np.random.default_rng(self.seed).integers(0, 100, (len(self), 1, resolution, resolution))
        for place, row in enumerate(self.shown.tolist()):
            band = resolution // CLASSES
            images[place, 0, row * band : (row + 1) * band] += 120
        return images[wanted].astype(np.uint8)


def make_supernet(name: str = "mini", classes: int = CLASSES) -> Supernet:
    """A new supernet for small grey pictures, the same at each call."""
    torch.manual_seed(0)
    family = make_family(name, 8)
    return Supernet(family, {"default": Classification(classes).heads(family)}, [100.0], [60.0])


def make_trainer(supernet: Supernet, pictures: Pictures, size: int = 8, precision: str = "32-true") -> Trainer:
    """A trainer of it on the CPU."""
    fabric = Fabric(accelerator="cpu", devices=1, precision=precision)  # type: ignore[arg-type]
    wrapped, optimizer = fabric.setup(supernet, make_optimizer(supernet, 3e-4))
    images = TrainingImages(pictures, Augment(False), 0)  # type: ignore[arg-type]
    return Trainer(fabric, wrapped, optimizer, Classification(CLASSES), images, Batches(len(pictures), size, 0))


def make_error(supernet: Supernet, calibration: Pictures, images: Pictures) -> Error:
    """Error on the CPU."""
    return Error(Subnets(supernet, calibration, torch.device("cpu")), Classification(CLASSES), images)


def tensors(supernet: Supernet) -> dict[str, torch.Tensor]:
    """A copy of everything that a supernet holds."""
    return {name: tensor.clone() for name, tensor in supernet.state_dict().items()}
