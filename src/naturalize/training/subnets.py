"""Subnets as they are deployed: extracted from a supernet, with the statistics that their batch norms need."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from naturalize.space import Architecture
from naturalize.supernet import Subnet, Supernet
from naturalize.training.batches import Images
from naturalize.training.calibrate import calibrate
from naturalize.training.engine import memory_format


class Subnets:
    """The subnets of a supernet, by architecture. The supernet's own statistics are neither read nor written.

    Args:
        supernet: with the present weights.
        calibration: fixed training images.
        device: for the subnets.
        keeps_statistics: whether subnets keep the statistics of the weights, in place of those of calibration images.
    """

    def __init__(
        self, supernet: Supernet, calibration: Images, device: torch.device, keeps_statistics: bool = False
    ) -> None:
        self.supernet = supernet
        self.calibration = calibration
        self.device = device
        self.keeps_statistics = keeps_statistics

    def of(self, arch: Architecture) -> Subnet:
        """The architecture's subnet with its statistics, on the device."""
        return self.calibrated(self.supernet.extract(arch), arch)

    def calibrated(self, subnet: Subnet, arch: Architecture) -> Subnet:
        """A subnet of an architecture with the statistics that it is deployed with, on the device."""
        subnet = subnet.to(self.device, memory_format=memory_format(self.device))  # type: ignore[call-overload]
        if self.keeps_statistics:
            return subnet.eval()
        pixels = self.calibration(np.arange(len(self.calibration)), self.resolution(arch))
        return calibrate(subnet, torch.from_numpy(pixels).to(self.device))

    def resolution(self, arch: Architecture) -> int:
        """Input side of an architecture in pixels."""
        return self.supernet.family.resolutions[arch.code[0]]


class Given(Subnets):
    """Subnets that are there by themselves, by architecture, in place of those of a supernet."""

    def __init__(self, others: Subnets, given: Mapping[Architecture, Subnet]) -> None:
        super().__init__(others.supernet, others.calibration, others.device, others.keeps_statistics)
        self.given = given

    def of(self, arch: Architecture) -> Subnet:
        """The architecture's subnet as it was given."""
        return self.given[arch]
