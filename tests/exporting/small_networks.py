"""Small networks with lively statistics, and what an export needs beside them."""

from typing import Any

import numpy as np
import torch
from torch import nn

from naturalize.data import Preprocessing
from naturalize.exporting import Check, Network
from naturalize.space import Architecture
from naturalize.supernet import Family, Supernet
from naturalize.supernet.operators import ElasticConvNorm
from naturalize.tasks import Classification

CLASS_NAMES = ["two words", "comma, comma", '"quoted"', "café", "0"]


def make_supernet(family: Family, channels: int = 3) -> Supernet:
    """A supernet whose batch norms are far from the identity, and whose logits depend on the picture, as if trained."""
    torch.manual_seed(0)
    heads = Classification(len(CLASS_NAMES)).heads(family)
    supernet = Supernet(family, {"default": heads}, [120.0] * channels, [60.0] * channels)
    for module in supernet.modules():
        if isinstance(module, ElasticConvNorm):
            nn.init.normal_(module.running_mean, 0, 0.3)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.uniform_(module.gamma, 0.5, 1.5)
            nn.init.normal_(module.beta, 0, 0.3)
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.02)
    return supernet.eval()


def network_of(supernet: Supernet, arch: Architecture) -> Network:
    """The network of an architecture, with its card."""
    subnet = supernet.extract(arch)
    return Network(subnet, card_of(arch, supernet.family, subnet.spec))


def card_of(arch: Architecture, family: Family, spec: dict[str, Any]) -> dict[str, Any]:
    """What a run would say of the network."""
    channels = len(spec["normalize"]["mean"])
    resolution = family.resolutions[arch.code[0]]
    return {
        "format": 1,
        "architecture": str(arch),
        "supernet": family.name,
        "task": "default",
        "weights_version": 3,
        "resolution": resolution,
        "class_names": CLASS_NAMES,
        "preprocessing": Preprocessing(channels, resolution, (120.0,) * channels, (60.0,) * channels).card(),
        "spec": spec,
    }


def check_of(network: Network, n: int = 12) -> Check:
    """Pictures of noise around different levels, with labels that mean nothing."""
    rng = np.random.default_rng(0)
    side, channels = network.card["resolution"], len(network.subnet.spec["normalize"]["mean"])
    level = rng.integers(0, 206, (n, channels, 1, 1))
    pixels = (level + rng.integers(0, 50, (n, channels, side, side))).astype(np.uint8)
    return Check(pixels, rng.integers(0, len(CLASS_NAMES), n))
