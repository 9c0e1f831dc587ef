"""Calibration: batch-norm statistics of one extracted subnet, re-estimated on fixed training images (as OFA does)."""

import torch
from torch import Tensor, nn

from naturalize.supernet import Subnet


@torch.no_grad()
def calibrate(subnet: Subnet, pixels: Tensor) -> Subnet:
    """Set the subnet's statistics to those of one batch of pixels `(n, channels, r, r)`, n > 1; it ends in eval mode.

    One large batch in a fixed order: the result is a pure function of weights and pixels. The supernet is not touched.
    """
    norms = [module for module in subnet.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = 1.0
    subnet.train()(pixels)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return subnet.eval()
