"""Calibration: batch-norm statistics of one extracted subnet, re-estimated on fixed training images (as OFA does)."""

import torch
from torch import Tensor, nn

from naturalize.supernet import Subnet
from naturalize.training.evaluate import images_at_once


@torch.no_grad()
def calibrate(subnet: Subnet, pixels: Tensor) -> Subnet:
    """Set the subnet's statistics to those of pixels `(n, channels, r, r)`, n > 1; it ends in eval mode.

    Statistics of large batches in a fixed order are averaged: the result is a pure function of weights and pixels.
    The supernet is not touched.
    """
    norms = [module for module in subnet.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over batches
    subnet.train()
    for batch in pixels.tensor_split(max(1, len(pixels) // images_at_once(pixels.shape[-1]))):
        subnet(batch)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return subnet.eval()
