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
from naturalize.tasks import Task, balanced_error
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


def result_of(wrong: NDArray[np.bool_], labels: NDArray[np.int64]) -> tuple[float, dict[str, Any]]:
    """Error in percent, the mean over views, and what the archive keeps beside it.

    That is, of the plain view, `wrong` and `images`, counts, and the balanced error `balanced`; `views`, their number;
    `balanced_views`, the balanced error over all views.

    Args:
        wrong: whether each view of each image was answered wrongly, `(views, images)`.
        labels: classes of the images, `(images,)`.
    """
    by_view, (views, images) = wrong.sum(axis=1), wrong.shape

    def balanced(answers: NDArray[np.bool_]) -> float | None:
        return balanced_error(np.bincount(labels, answers.mean(axis=0)), np.bincount(labels))

    detail = {
        "wrong": int(by_view[0]),
        "images": images,
        "views": views,
        "balanced": balanced(wrong[:1]),
        "balanced_views": balanced(wrong),
    }
    return 100.0 * float(np.mean(by_view)) / images, detail


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
        """See `Measures`. Details, of the plain view unless they say so, are those of `result_of`."""

        def value_of(arch: Architecture) -> tuple[float, dict[str, Any]]:
            return self.of_answers(self.wrong(fold(self.subnets.of(arch)), arch))

        def status_of(error: Exception) -> str | None:
            return f"out of memory: {error}" if is_out_of_memory(error) else None

        return one_by_one(self.subnets.supernet.family.space.architectures(codes), value_of, status_of)

    def of_answers(self, wrong: NDArray[np.bool_]) -> tuple[float, dict[str, Any]]:
        """Value and details of answers, `(views, images)`: see `result_of`."""
        return result_of(wrong, np.asarray(self.images.labels))

    def wrong(self, network: Subnet, arch: Architecture) -> NDArray[np.bool_]:
        """Whether an architecture's network answers each view of each image wrongly, `(views, images)`."""
        rows = np.arange(len(self.images))
        labels = torch.from_numpy(np.asarray(self.images.labels))
        answers = (self.answer(network, rows, arch, view) for view in range(self.images.views))
        return torch.stack([self.task.wrong(logits, labels) for logits in answers]).numpy()

    def answer(self, network: Subnet, rows: NDArray[np.int64], arch: Architecture, view: int = 0) -> Tensor:
        """Logits `(len(rows), classes)` of the architecture's network on rows of the images."""
        resolution = self.subnets.resolution(arch)
        return logits_on(network, self.images, rows, resolution, self.subnets.device, self.progress, view)
