"""Evaluation of an extracted, calibrated subnet: fixed images, fixed order, inference mode."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from naturalize.progress import Progress, silent
from naturalize.supernet import Subnet
from naturalize.supernet.subnet import ConvNorm
from naturalize.training.engine import memory_format

if TYPE_CHECKING:
    from naturalize.training.batches import Images

PIXELS = 2**18  # of a batch: 256 images of 32 px, 32 of 90 px and more
FEWEST = 32  # images in a batch
BATCHES = 8  # batches whose images are read at once: threads that decode share them


@torch.no_grad()
def fold(subnet: Subnet) -> Subnet:
    """Fold each batch norm into the convolution before it, in place: the same function in a quarter less time.

    This is for a calibrated subnet that only answers: it cannot be saved any more.
    """
    for module in list(subnet.modules()):
        if isinstance(module, ConvNorm) and isinstance(module.norm, nn.BatchNorm2d):
            conv, norm = module.conv, module.norm
            assert norm.running_mean is not None
            assert norm.running_var is not None
            statistics = norm.running_mean, norm.running_var, norm.eps
            conv.weight, conv.bias = fuse_conv_bn_weights(conv.weight, None, *statistics, norm.weight, norm.bias)
            module.add_module("norm", nn.Identity())
    return subnet


def images_at_once(side: int) -> int:
    """Images of `side` pixels that go through a network at once: activations stay within some hundred megabytes."""
    return max(FEWEST, PIXELS // side**2)


@torch.inference_mode()
def logits_of(
    network: nn.Module, pixels: NDArray[np.uint8], device: torch.device, progress: Progress = silent
) -> Tensor:
    """Logits `(n, classes)`, on the CPU, of pixels `(n, channels, r, r)`; the network is on `device`."""
    return torch.cat(list(logits_in_batches(network.eval(), pixels, device, progress)))


def logits_in_batches(
    network: nn.Module, pixels: NDArray[np.uint8], device: torch.device, progress: Progress
) -> Iterator[Tensor]:
    """Logits of some pictures after the other; arguments as of `logits_of`.

    On a CPU these are as few as its cache holds: 32 of 320 px at once take twice as long as two by two.
    """
    side = pixels.shape[-1]
    size = max(1, PIXELS // side**2) if device.type == "cpu" else images_at_once(side)
    for start in range(0, len(pixels), size):
        progress("evaluate", start, len(pixels))
        batch = torch.from_numpy(pixels[start : start + size]).to(device)
        yield network(batch.contiguous(memory_format=memory_format(device))).float().cpu()


def logits_on(
    network: nn.Module,
    images: Callable[[NDArray[np.int64], int, int], NDArray[np.uint8]],
    rows: NDArray[np.int64],
    side: int,
    device: torch.device,
    progress: Progress = silent,
    view: int = 0,
) -> Tensor:
    """Logits `(len(rows), classes)`, on the CPU, of rows of images; a few batches are in memory at a time.

    Args:
        network, device: the network, and the device that it is on.
        images: function from rows, resolution and view to pixels, as `data.Pixels`.
        rows: of the images.
        side: the resolution in pixels.
        progress: called with every batch.
        view: of the images.
    """
    most = BATCHES * images_at_once(side)
    parts = (images(rows[start : start + most], side, view) for start in range(0, len(rows), most))
    return torch.cat([logits_of(network, pixels, device, progress) for pixels in parts])


@torch.inference_mode()
def answers_on(
    network: nn.Module,
    images: Images,
    rows: NDArray[np.int64],
    side: int,
    device: torch.device,
    answers: Callable[[Tensor, Tensor], Tensor],
    progress: Progress = silent,
    view: int = 0,
) -> Tensor:
    """What a task makes of a network's logits, `(len(rows), ...)`, on the CPU; logits are in memory a batch at a time.

    Args:
        network, rows, side, device, progress, view: as of `logits_on`.
        images: with labels.
        answers: function from logits and labels to a row for each image, as a task's `answers`.
    """
    labels = torch.from_numpy(np.asarray(images.labels[rows]))
    most, parts, done = BATCHES * images_at_once(side), [], 0
    for start in range(0, len(rows), most):
        pixels = images(rows[start : start + most], side, view)
        for logits in logits_in_batches(network.eval(), pixels, device, progress):
            parts.append(answers(logits, labels[done : done + len(logits)]))
            done += len(logits)
    return torch.cat(parts)
