"""The error of subnets as int8 files: quantised and run by onnxruntime, in place of the float network."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from naturalize.exporting import Asked
from naturalize.exporting.network import nameless
from naturalize.exporting.onnx_file import LOGITS, PIXELS, onnx_bytes
from naturalize.exporting.onnx_int8 import OPSET, facts_of, int8_files, quantized, spread
from naturalize.exporting.onnx_model import int8_entries, make_session
from naturalize.objectives import Measured, one_by_one
from naturalize.progress import Progress, silent
from naturalize.space import Architecture, Codes
from naturalize.supernet import Subnet
from naturalize.tasks import Task
from naturalize.training.batches import Images
from naturalize.training.evaluate import images_at_once
from naturalize.training.subnets import Subnets

METHOD, PICTURES = "MinMax", 32  # of the quick way: all of them, in both ways, take several times as long
IMAGES = 500  # that a search asks of each network, spread over all: onnxruntime's int8 is slower than a batch in torch


class Int8Error:
    """The task's error in percent of the int8 file of a subnet, on images in their plain view.

    A pure function of weights, architecture and images, and of onnxruntime's version.

    Args:
        subnets: to measure; their calibration pictures tell the ranges of activations.
        task: that makes an error of answers.
        images: to answer.
        progress: called with every batch.
        exported: whether the file is the one that `export --format onnx-int8` writes, and not one of the quick way.
    """

    def __init__(
        self, subnets: Subnets, task: Task, images: Images, progress: Progress = silent, exported: bool = False
    ) -> None:
        self.subnets = subnets
        self.task = task
        self.images = images
        self.progress = progress
        self.exported = exported

    def measure(self, codes: Codes) -> Measured:
        """See `Measures`. Details: those of the task's `result`; `method` and `pictures` that quantised."""

        def value_of(arch: Architecture) -> tuple[float, dict[str, Any]]:
            answers, facts = self.answers_of(arch)
            value, details = self.task.result([answers], np.asarray(self.images.labels))
            return value, {**details, **facts}

        def status_of(error: Exception) -> str | None:
            if isinstance(error, OSError) or isinstance(error.__cause__, OSError):
                return None  # a full disk says nothing of the network
            return f"no int8: {type(error).__name__}: {error}"  # onnxruntime's have no base of their own

        return one_by_one(self.subnets.supernet.family.space.architectures(codes), value_of, status_of)

    def answers_of(self, arch: Architecture) -> tuple[Tensor, dict[str, Any]]:
        """What the task makes of the answers of an architecture's file, `(n, ...)`, and how it was quantised."""
        side = self.subnets.resolution(arch)
        content, facts = self.file_of(self.subnets.of(arch), side)
        session, answers = make_session(content, torch.get_num_threads(), int8_entries()), []
        size = images_at_once(side)
        for start in range(0, len(self.images), size):
            self.progress("evaluate", start, len(self.images))
            rows = np.arange(start, min(start + size, len(self.images)))
            (logits,) = session.run([LOGITS], {PIXELS: self.images(rows, side)})
            labels = torch.from_numpy(np.asarray(self.images.labels)[rows])
            answers.append(self.task.answers(torch.from_numpy(logits), labels))
        return torch.cat(answers), facts

    def file_of(self, subnet: Subnet, side: int) -> tuple[bytes, dict[str, Any]]:
        """The int8 file of a subnet, and how it was quantised."""
        network = nameless(copy.deepcopy(subnet).cpu().eval(), side)
        pixels: NDArray[np.uint8] = self.subnets.calibration(np.arange(len(self.subnets.calibration)), side)
        if not self.exported:
            few = spread(pixels, PICTURES)
            return quantized(onnx_bytes(network, OPSET), METHOD, few), {"method": METHOD, "pictures": len(few)}
        content = int8_files(network, "model.onnx", Asked(calibration=pixels))["model.onnx"]
        return content, {name: facts_of(content)[name] for name in ("method", "pictures")}
