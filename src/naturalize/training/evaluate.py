"""Evaluation of an extracted, calibrated subnet: fixed images, fixed order, inference mode."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from naturalize.progress import Progress, silent

BATCH = 256


@torch.inference_mode()
def logits_of(
    network: nn.Module, pixels: NDArray[np.uint8], device: torch.device, progress: Progress = silent
) -> Tensor:
    """Logits `(n, classes)`, on the CPU, of pixels `(n, channels, r, r)`; the network is on `device`."""
    network = network.eval()
    parts = []
    for start in range(0, len(pixels), BATCH):
        progress("evaluate", start, len(pixels))
        batch = torch.from_numpy(pixels[start : start + BATCH]).to(device)
        parts.append(network(batch.contiguous(memory_format=torch.channels_last)).float().cpu())
    return torch.cat(parts)
