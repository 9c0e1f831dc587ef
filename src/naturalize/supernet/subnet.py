"""A subnet as a plain PyTorch module: what is deployed, without a trace of elasticity.

This file needs torch alone. `naturalize export --format torch` writes it beside the weights, so that an exported
network loads where naturalize is not installed.
"""

from typing import Any

import torch
from torch import Tensor, nn

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "h_swish": nn.Hardswish, "none": nn.Identity}


class Normalize(nn.Module):
    """Pixels 0..255, of any number type, to zero mean and unit variance per channel. The first step of a network."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: list[float], std: list[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(1, -1, 1, 1), persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        return (pixels.to(self.mean.dtype) - self.mean) / self.std


class ConvNorm(nn.Module):
    """Convolution without bias, then batch norm."""

    def __init__(self, cin: int, cout: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(cin, cout, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(cout)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x))


class SqueezeExcite(nn.Module):
    """Channels weighted by a gate computed from their means (Hu et al., CVPR 2018; hard sigmoid as in MobileNetV3)."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, squeezed, 1)
        self.expand = nn.Conv2d(squeezed, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        gate = x.mean((2, 3), keepdim=True)
        gate = self.expand(nn.functional.relu(self.reduce(gate)))
        return x * nn.functional.hardsigmoid(gate)


class Block(nn.Module):
    """Inverted residual of MobileNetV3 (Howard et al., ICCV 2019): expand, depthwise, squeeze-and-excite, project."""

    def __init__(
        self,
        cin: int,
        cout: int,
        expanded: int,
        kernel: int,
        stride: int,
        squeezed: int,
        activation: str,
    ) -> None:
        super().__init__()
        act = ACTIVATIONS[activation]
        self.expand: nn.Module = ConvNorm(cin, expanded) if expanded != cin else nn.Identity()
        self.expand_act: nn.Module = act() if expanded != cin else nn.Identity()
        self.depthwise: nn.Module = ConvNorm(expanded, expanded, kernel, stride, groups=expanded)
        self.depthwise_act = act()
        self.squeeze_excite: nn.Module = SqueezeExcite(expanded, squeezed) if squeezed else nn.Identity()
        self.project: nn.Module = ConvNorm(expanded, cout)
        self.skip = stride == 1 and cin == cout

    def forward(self, x: Tensor) -> Tensor:
        y = self.expand_act(self.expand(x))
        y = self.depthwise_act(self.depthwise(y))
        y = self.squeeze_excite(y)
        y = self.project(y)
        return x + y if self.skip else y


class ClassificationHead(nn.Module):
    """Global mean, 1x1 convolution, classifier."""

    def __init__(self, cin: int, mixed: int, classes: int) -> None:
        super().__init__()
        self.mix: nn.Module = nn.Conv2d(cin, mixed, 1, bias=False)
        self.act = nn.Hardswish()
        self.classifier: nn.Module = nn.Linear(mixed, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = x.mean((2, 3), keepdim=True)
        return self.classifier(self.act(self.mix(x)).flatten(1))


HEADS: dict[str, type[nn.Module]] = {"classification": ClassificationHead}


class Subnet(nn.Module):
    """Pixels 0..255, `(n, channels, resolution, resolution)`, to the head's output (logits `(n, classes)`).

    Args:
        spec: numbers and strings only, as they stand in a network's card: `normalize`, `stem`, `blocks`, `final` and
            `head`, each with the arguments of the module that it describes.
    """

    def __init__(self, spec: dict[str, Any]) -> None:
        super().__init__()
        self.spec = spec
        head = dict(spec["head"])
        self.normalize = Normalize(**spec["normalize"])
        self.stem: nn.Module = ConvNorm(**spec["stem"])
        self.stem_act = nn.Hardswish()
        self.blocks = nn.Sequential(*(Block(**block) for block in spec["blocks"]))
        self.final: nn.Module = ConvNorm(**spec["final"])
        self.final_act = nn.Hardswish()
        self.head: nn.Module = HEADS[head.pop("kind")](**head)

    def forward(self, pixels: Tensor) -> Tensor:
        x = self.normalize(pixels)
        x = self.stem_act(self.stem(x))
        x = self.blocks(x)
        x = self.final_act(self.final(x))
        return self.head(x)


def load(weights: str) -> Subnet:
    """The network of a file written by `naturalize export --format torch`, ready to classify."""
    content = torch.load(weights, map_location="cpu", weights_only=True)
    subnet = Subnet(content["card"]["spec"])
    subnet.load_state_dict(content["state_dict"])
    return subnet.eval()
