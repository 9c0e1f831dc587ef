"""The networks of the `ofa` package, which published them, and our codes in its words."""

import importlib
import importlib.util
import sys
from types import ModuleType

import pytest
import torch
from torch import nn

from naturalize.space import Architecture
from naturalize.supernet import Family


class Stub(ModuleType):
    """A module of nothing but empty classes: `ofa` imports torchvision for data and transforms alone."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


def networks() -> ModuleType:
    """`ofa`'s elastic networks; the test is skipped where the package is not installed."""
    names = ("torchvision", "torchvision.transforms", "torchvision.transforms.functional", "torchvision.datasets")
    stubs = {name: Stub(name) for name in names if importlib.util.find_spec("torchvision") is None}
    for name, stub in stubs.items():
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(stubs[parent], child, stub)
    sys.modules.update(stubs)
    try:
        return pytest.importorskip("ofa.imagenet_classification.elastic_nn.networks", reason="`ofa` is not installed")
    finally:  # others look whether there is a torchvision
        for name in stubs:
            del sys.modules[name]


def reference(name: str, classes: int = 1000) -> nn.Module:
    """The package's network of one of our families, with random weights and statistics."""
    ofa = networks()
    torch.manual_seed(0)
    mobile = {"dropout_rate": 0, "ks_list": [3, 5, 7], "expand_ratio_list": [3, 4, 6], "depth_list": [2, 3, 4]}
    if name == "ofa-resnet50":
        network = ofa.OFAResNets(
            n_classes=classes, dropout_rate=0, depth_list=[0, 1, 2], expand_ratio_list=[0.2, 0.25, 0.35],
            width_mult_list=[0.65, 0.8, 1.0],
        )  # fmt: skip
    elif name == "ofa-proxyless-w1.3":
        network = ofa.OFAProxylessNASNets(n_classes=classes, width_mult=1.3, **mobile)
    else:
        network = ofa.OFAMobileNetV3(n_classes=classes, width_mult=float(name[-3:]), **mobile)
    return randomised(network)


def largest_alone(classes: int = 1000) -> nn.Module:
    """The package's network of which it published the weights as `ofa_D4_E6_K7`, with random weights and statistics."""
    networks()
    ofa = importlib.import_module("ofa.imagenet_classification.networks")
    torch.manual_seed(0)
    return randomised(ofa.MobileNetV3Large(n_classes=classes, dropout_rate=0, ks=7, expand_ratio=6, depth_param=4))


def randomised(network: nn.Module) -> nn.Module:
    """The network with random statistics, scales, biases and maps of kernels, for evaluation."""
    with torch.no_grad():
        for key, tensor in (*network.named_parameters(), *network.named_buffers()):
            if key.endswith("running_mean"):
                tensor.normal_(0, 0.1)
            elif key.endswith("running_var"):
                tensor.uniform_(0.7, 1.3)
            elif ".bn." in key and key.endswith("weight"):
                tensor.uniform_(0.8, 1.2)
            elif key.endswith(("_matrix", "bias")):
                tensor.add_(0.1 * torch.randn_like(tensor))
    return network.eval()


def activate(network: nn.Module, family: Family, arch: Architecture) -> None:
    """Make the package's network the one of our architecture."""
    code = list(arch.code)
    if family.name == "ofa-resnet50":
        blocks, depths = code[8:], []
        for start, most in ((0, 4), (4, 4), (8, 6), (14, 4)):
            depths.append(sum(layer > 0 for layer in blocks[start : start + most]) - (most - 2))
        network.set_active_subnet(
            d=[2 * code[7], *depths],
            e=[(0.2, 0.25, 0.35)[max(layer, 1) - 1] for layer in blocks],
            w=code[1:7],
        )
        return
    layers, start, depths = code[2:], 0, []
    for stage in family.stages:
        depths.append(sum(layer > 0 for layer in layers[start : start + stage.blocks]))
        start += stage.blocks
    network.set_active_subnet(
        ks=[(3, 5, 7)[(max(layer, 1) - 1) % 3] for layer in layers],
        e=[(3, 4, 6)[(max(layer, 1) - 1) // 3] for layer in layers],
        d=depths,
    )
