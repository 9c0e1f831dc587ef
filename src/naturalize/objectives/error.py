"""The error of subnets: wrong answers counted on fixed images."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from naturalize.objectives import Measured, one_by_one
from naturalize.progress import Progress, silent
from naturalize.space import Architecture, Codes
from naturalize.supernet import Subnet
from naturalize.tasks import Task
from naturalize.training.evaluate import fold, logits_on
from naturalize.training.subnets import Images, Subnets


class Chosen:
    """A selection of images, in the first of their views."""

    def __init__(self, images: Images, rows: NDArray[np.int64], views: int) -> None:
        self.images = images
        self.rows = rows
        self.views = views
        self.labels = images.labels[rows]

    def __len__(self) -> int:
        return len(self.rows)

    def __call__(self, rows: NDArray[np.int64], resolution: int, view: int = 0) -> NDArray[np.uint8]:
        return self.images(self.rows[rows], resolution, view)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error is a lack of memory: of NumPy, of torch on a GPU, or of its CPU, which has no error type."""
    told = str(error)  # "can't allocate" by Linux and macOS, "not enough" by Windows
    on_cpu = "DefaultCPUAllocator" in told and ("can't allocate memory" in told or "not enough memory" in told)
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or on_cpu


class Error:
    """Percent of images answered wrongly, the mean over the views of each image.

    A pure function of weights, architecture and images.

    Args:
        subnets: to measure.
        task: that decides which answers are wrong.
        images: to answer, with one or more views.
        progress: called with every batch.
    """

    def __init__(self, subnets: Subnets, task: Task, images: Images, progress: Progress = silent) -> None:
        self.subnets = subnets
        self.task = task
        self.images = images
        self.progress = progress

    def measure(self, codes: Codes) -> Measured:
        """See `Measures`. Details: `wrong` and `images`, counts on the plain view, and `views`."""

        def value_of(arch: Architecture) -> tuple[float, dict[str, Any]]:
            wrong = self.wrong_by_view(fold(self.subnets.of(arch)), arch)
            value = 100.0 * float(np.mean(wrong)) / len(self.images)
            return value, {"wrong": int(wrong[0]), "images": len(self.images), "views": len(wrong)}

        def status_of(error: Exception) -> str | None:
            return f"out of memory: {error}" if is_out_of_memory(error) else None

        return one_by_one(self.subnets.supernet.family.space.architectures(codes), value_of, status_of)

    def wrong_by_view(self, network: Subnet, arch: Architecture) -> list[int]:
        """Wrong answers of an architecture's network among the images in each view."""
        rows = np.arange(len(self.images))
        labels = torch.from_numpy(np.asarray(self.images.labels))
        answers = (self.answer(network, rows, arch, view) for view in range(self.images.views))
        return [int(self.task.wrong(logits, labels).sum()) for logits in answers]

    def answer(self, network: Subnet, rows: NDArray[np.int64], arch: Architecture, view: int = 0) -> Tensor:
        """Logits `(len(rows), classes)` of the architecture's network on rows of the images."""
        resolution = self.subnets.resolution(arch)
        return logits_on(network, self.images, rows, resolution, self.subnets.device, self.progress, view)
