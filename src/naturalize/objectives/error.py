"""The error of subnets on fixed images, as their task defines it."""

from __future__ import annotations

from collections.abc import Sequence
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
from naturalize.training.batches import Images
from naturalize.training.evaluate import answers_on, fold
from naturalize.training.subnets import Subnets


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
    """The task's error in percent, as the share of images answered wrongly: the mean over the views of the images.

    A pure function of weights, architecture and images.

    Args:
        subnets: to measure.
        task: that makes an error of answers.
        images: to answer, with one or more views.
        progress: called with every batch.
    """

    def __init__(self, subnets: Subnets, task: Task, images: Images, progress: Progress = silent) -> None:
        self.subnets = subnets
        self.task = task
        self.images = images
        self.progress = progress

    def measure(self, codes: Codes) -> Measured:
        """See `Measures`. Details are those of the task's `result`."""

        def value_of(arch: Architecture) -> tuple[float, dict[str, Any]]:
            return self.of_answers(self.answers_by_view(fold(self.subnets.of(arch)), arch))

        def status_of(error: Exception) -> str | None:
            return f"out of memory: {error}" if is_out_of_memory(error) else None

        return one_by_one(self.subnets.supernet.family.space.architectures(codes), value_of, status_of)

    def of_answers(self, answers: Sequence[Tensor]) -> tuple[float, dict[str, Any]]:
        """Value and details of answers to the images in each view: see the task's `result`."""
        return self.task.result(answers, np.asarray(self.images.labels))

    def answers_by_view(self, network: Subnet, arch: Architecture) -> list[Tensor]:
        """What the task makes of the answers of an architecture's network to the images, in each view."""
        rows = np.arange(len(self.images))
        return [self.answers(network, rows, arch, view) for view in range(self.images.views)]

    def answers(self, network: Subnet, rows: NDArray[np.int64], arch: Architecture, view: int = 0) -> Tensor:
        """The same for rows of the images in one view, `(len(rows), ...)`."""
        side, device = self.subnets.resolution(arch), self.subnets.device
        return answers_on(network, self.images, rows, side, device, self.task.answers, self.progress, view)
