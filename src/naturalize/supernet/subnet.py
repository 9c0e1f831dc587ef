"""A subnet as a plain PyTorch module: what is deployed, without a trace of elasticity.

This file needs torch alone. `naturalize export --format torch` writes it beside the weights, so that an exported
network loads where naturalize is not installed.
"""

from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "h_swish": nn.Hardswish,
    "none": nn.Identity,
}


class Normalize(nn.Module):
    """Normalises pixels 0..255, of any number type, to mean 0 and variance 1 by channel: a network's first step."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: list[float], std: list[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(1, -1, 1, 1), persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        return (pixels.to(self.mean.dtype) - self.mean) / self.std

    def into(self, images: Tensor, pixels: Tensor) -> None:
        """Write the normalised pixels into a tensor that is there, without one in between."""
        images.copy_(pixels).sub_(self.mean).div_(self.std)


class ConvNorm(nn.Module):
    """Convolution without bias, batch norm, activation.

    Args:
        cin, cout, kernel, stride, groups: of the convolution.
        activation: a name in `ACTIVATIONS`.
        eps: of the batch norm.
        same: pads as TensorFlow's SAME does: at stride 2 more at the end than at the start, by the size of the map.
        skip: adds the input to the output.
    """

    def __init__(
        self,
        cin: int,
        cout: int,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
        activation: str = "none",
        eps: float = 1e-5,
        same: bool = False,
        skip: bool = False,
    ) -> None:
        super().__init__()
        self.same = same and stride > 1
        padding = 0 if self.same else kernel // 2
        self.conv = nn.Conv2d(cin, cout, kernel, stride, padding, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(cout, eps=eps)
        self.activation = ACTIVATIONS[activation]()
        self.skip = skip

    def forward(self, x: Tensor) -> Tensor:
        padded = pad_same(x, self.conv.kernel_size[0], self.conv.stride[0]) if self.same else x
        y = self.activation(self.norm(self.conv(padded)))
        return x + y if self.skip else y


def pad_same(x: Tensor, kernel: int, stride: int) -> Tensor:
    """Maps `(n, channels, r, r)` padded as TensorFlow's SAME does for a convolution."""
    side = x.shape[-1]
    total = max(0, ((side - 1) // stride) * stride + kernel - side)
    before, after = total // 2, total - total // 2
    return nn.functional.pad(x, [before, after, before, after])


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


class InvertedResidual(nn.Module):
    """Expand, depthwise, squeeze-and-excite, project (Sandler et al., CVPR 2018; Howard et al., ICCV 2019).

    Where `expanded` equals `cin` nothing is expanded; where `squeezed` is 0 nothing is squeezed.
    """

    def __init__(
        self,
        cin: int,
        cout: int,
        expanded: int,
        kernel: int,
        stride: int,
        squeezed: int,
        activation: str,
        eps: float = 1e-5,
        same: bool = False,
    ) -> None:
        super().__init__()
        shared: dict[str, Any] = {"eps": eps, "same": same}
        expand = expanded != cin
        self.expand: nn.Module = ConvNorm(cin, expanded, activation=activation, **shared) if expand else nn.Identity()
        self.depthwise: nn.Module = ConvNorm(
            expanded, expanded, kernel, stride, expanded, activation=activation, **shared
        )
        self.squeeze_excite: nn.Module = SqueezeExcite(expanded, squeezed) if squeezed else nn.Identity()
        self.project: nn.Module = ConvNorm(expanded, cout, **shared)
        self.skip = stride == 1 and cin == cout

    def forward(self, x: Tensor) -> Tensor:
        y = self.expand(x)
        y = self.depthwise(y)
        y = self.squeeze_excite(y)
        y = self.project(y)
        return x + y if self.skip else y


class Bottleneck(nn.Module):
    """Residual bottleneck (He et al., CVPR 2016), its shortcut averaged before it is projected (ResNet-D).

    Args:
        cin, cout, stride: channels of input and output, and stride.
        squeezed: channels of the 3x3 convolution.
        projected: whether the shortcut is a projection: the first block of a stage.
    """

    def __init__(self, cin: int, cout: int, squeezed: int, stride: int, projected: bool) -> None:
        super().__init__()
        self.reduce: nn.Module = ConvNorm(cin, squeezed, activation="relu")
        self.conv: nn.Module = ConvNorm(squeezed, squeezed, 3, stride, activation="relu")
        self.expand: nn.Module = ConvNorm(squeezed, cout)
        self.pool = nn.AvgPool2d(stride, ceil_mode=True) if stride > 1 else nn.Identity()
        self.shortcut: nn.Module = ConvNorm(cin, cout) if projected else nn.Identity()
        self.activation = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        y = self.reduce(x)
        y = self.conv(y)
        y = self.expand(y)
        return self.activation(self.shortcut(self.pool(x)) + y)


class MaxPool(nn.MaxPool2d):
    """The largest of each 3x3 window, at stride 2."""

    def __init__(self) -> None:
        super().__init__(3, 2, 1)


class ClassificationHead(nn.Module):
    """Global mean, 1x1 convolution (none where `mixed` is 0), classifier."""

    def __init__(self, cin: int, mixed: int, classes: int) -> None:
        super().__init__()
        self.mix: nn.Module = nn.Conv2d(cin, mixed, 1, bias=False) if mixed else nn.Identity()
        self.act: nn.Module = nn.Hardswish() if mixed else nn.Identity()
        self.classifier: nn.Module = nn.Linear(mixed or cin, classes)

    def forward(self, maps: list[Tensor]) -> Tensor:
        x = maps[-1].mean((2, 3), keepdim=True)
        return self.classifier(self.act(self.mix(x)).flatten(1))


class SegmentationHead(nn.Module):
    """A class for each pixel: reduced ASPP with skips, lite (Howard et al., ICCV 2019, section 6.4).

    The deepest map goes through a 1x1 convolution and a gate of its mean, and is classified. The result is enlarged to
    each shallower map in turn, whose own 1x1 classifier is added, and at last to the network's input.

    Args:
        scales: positions of the maps that it reads, the deepest last.
        cin: channels of these maps.
        mixed: output channels of the 1x1 convolution.
        classes: number of classes.
        strides: side of the network's input over that of each map, a whole number.
    """

    def __init__(self, scales: list[int], cin: list[int], mixed: int, classes: int, strides: list[int]) -> None:
        super().__init__()
        self.scales = scales
        self.mix = nn.Conv2d(cin[-1], mixed, 1)
        self.gate = nn.Conv2d(cin[-1], mixed, 1)
        self.classifiers = nn.ModuleList(nn.Conv2d(channels, classes, 1) for channels in [*cin[:-1], mixed])
        self.strides = strides

    def forward(self, maps: list[Tensor]) -> Tensor:
        *shallow, x = [maps[scale] for scale in self.scales]
        gate = nn.functional.hardsigmoid(self.gate(x.mean((2, 3), keepdim=True)))
        y = self.classifiers[-1](nn.functional.relu(self.mix(x)) * gate)
        for index in range(len(shallow) - 1, -1, -1):
            y = enlarged(y, self.strides[index + 1] // self.strides[index])
            y = y + self.classifiers[index](shallow[index])
        return enlarged(y, self.strides[0])


def enlarged(x: Tensor, times: int) -> Tensor:
    """Maps `(n, channels, h, w)` with sides a whole number of times as long, bilinearly."""
    return nn.functional.interpolate(x, scale_factor=float(times), mode="bilinear", align_corners=False)


LAYERS: dict[str, type[nn.Module]] = {
    "conv": ConvNorm,
    "inverted_residual": InvertedResidual,
    "bottleneck": Bottleneck,
    "max_pool": MaxPool,
}
HEADS: dict[str, type[nn.Module]] = {"classification": ClassificationHead, "segmentation": SegmentationHead}


class Subnet(nn.Module):
    """A network from pixels 0..255, `(n, channels, resolution, resolution)`, to the head's logits: `(n, classes)`, or
    `(n, classes, resolution, resolution)` where each pixel has a class.

    Args:
        spec: numbers and strings only, as they stand in a network's card: `normalize`, `layers` in order, and `head`,
            each with the arguments of the module that it describes; layers and heads name it by their `kind`. `scales`
            is how many of the layers make each feature map that the head gets; one map of all where it is missing.
    """

    def __init__(self, spec: dict[str, Any]) -> None:
        super().__init__()
        self.spec = spec
        self.normalize = Normalize(**spec["normalize"])
        self.layers = nn.Sequential(*(make(LAYERS, **layer) for layer in spec["layers"]))
        self.scales = spec.get("scales", [len(self.layers)])
        self.head = make(HEADS, **spec["head"])

    def forward(self, pixels: Tensor) -> Tensor:
        return self.of_normalised(self.normalize(pixels))

    def of_normalised(self, images: Tensor) -> Tensor:
        """The head's output on normalised images."""
        return self.head(self.features(images))

    def features(self, images: Tensor) -> list[Tensor]:
        """Feature maps of normalised images by scale, ascending in depth; classification reads the last."""
        maps, x, layers = [], images, iter(self.layers)
        for number in self.scales:
            for layer in islice(layers, number):
                x = layer(x)
            maps.append(x)
        return maps


def make(kinds: dict[str, type[nn.Module]], kind: str, **arguments: Any) -> nn.Module:
    """A module of a kind."""
    return kinds[kind](**arguments)


def load(weights: str) -> Subnet:
    """The network of a file written by `naturalize export --format torch`, ready to classify."""
    content = torch.load(weights, map_location="cpu", weights_only=True)
    subnet = Subnet(content["card"]["spec"])
    subnet.load_state_dict(content["state_dict"])
    return subnet.eval()
