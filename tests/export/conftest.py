"""Small networks with lively statistics, and what an export needs beside them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from naturalize.export import Check, Network
from naturalize.space import Architecture
from naturalize.supernet import MobileNetV3, Supernet, make_family
from naturalize.tasks import Classification

CLASS_NAMES = ["two words", "comma, comma", '"quoted"', "café", "0"]


@pytest.fixture(scope="session")
def family() -> MobileNetV3:
    return make_family("mini", 32)


def make_supernet(family: MobileNetV3, channels: int = 3) -> Supernet:
    """A supernet whose batch norms are far from the identity, as after training."""
    torch.manual_seed(0)
    heads = Classification(len(CLASS_NAMES)).heads(family)
    supernet = Supernet(family, {"default": heads}, [120.0] * channels, [60.0] * channels)
    for module in supernet.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, 0, 0.3)
            nn.init.uniform_(module.running_var, 0.2, 3)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.3)
    return supernet.eval()


@pytest.fixture(scope="session")
def cut(family: MobileNetV3) -> Callable[[Architecture], Network]:
    """From an architecture to its network and card."""
    supernet = make_supernet(family)

    def network(arch: Architecture) -> Network:
        subnet = supernet.extract(arch)
        return Network(subnet, card_of(arch, family, subnet.spec))

    return network


def card_of(arch: Architecture, family: MobileNetV3, spec: dict[str, Any]) -> dict[str, Any]:
    resolution = int(family.resolution(np.array([arch.code]))[0])
    return {
        "format": 1,
        "architecture": str(arch),
        "supernet": family.name,
        "task": "default",
        "weights_version": 3,
        "resolution": resolution,
        "class_names": CLASS_NAMES,
        "preprocessing": {
            "mode": "RGB" if len(spec["normalize"]["mean"]) == 3 else "L",
            "resolution": resolution,
            "resample": "bilinear",
        },
        "spec": spec,
    }


@pytest.fixture(scope="session")
def networks(family: MobileNetV3, cut: Callable[[Architecture], Network]) -> tuple[Network, Network]:
    """The smallest and the largest network of the space."""
    smallest, largest = family.space.architectures(family.space.corners())
    return cut(smallest), cut(largest)


def check_of(network: Network, n: int = 20) -> Check:
    rng = np.random.default_rng(0)
    side, channels = network.card["resolution"], len(network.subnet.spec["normalize"]["mean"])
    pixels = rng.integers(0, 256, (n, channels, side, side), dtype=np.uint8)
    return Check(pixels, rng.integers(0, len(CLASS_NAMES), n))
