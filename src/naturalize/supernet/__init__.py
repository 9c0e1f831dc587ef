"""Weight-sharing supernets: a family's bodies, the heads that tasks put on them, and the subnets cut from both."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from naturalize.errors import unknown
from naturalize.space import Architecture, Codes
from naturalize.supernet.blocks import ElasticBottleneck, ElasticInvertedResidual
from naturalize.supernet.efficientnet_lite import efficientnet_lite0
from naturalize.supernet.family import Body, Family, LayerSpec
from naturalize.supernet.layers import Counter, LayerTable
from naturalize.supernet.mini import mini
from naturalize.supernet.mobilenetv3 import mobilenetv3
from naturalize.supernet.proxyless import proxyless
from naturalize.supernet.resnet import resnet50
from naturalize.supernet.subnet import Normalize, Subnet

__all__ = [
    "FAMILIES",
    "Body",
    "Counter",
    "Family",
    "Head",
    "Subnet",
    "Supernet",
    "make_family",
    "resolutions_for",
]


def resolutions_for(side: int) -> tuple[int, ...]:
    """Resolution options of `mini` for images with a short side of `side` px.

    They are four pixels apart, up to the image's own side but within 24 and 40: small pictures gain from being
    enlarged, larger ones suit published weights. Digits of 8 px get 8 to 24, pictures of 32 px get 20 to 32.
    """
    largest = min(40, max(24, side // 4 * 4))
    smallest = max(8, min(largest - 12, side // 4 * 4))
    return tuple(range(smallest, largest + 1, 4))


def large_resolutions_for(side: int) -> tuple[int, ...]:
    """Resolution options of `efficientnet-lite0` for images with a short side of `side` px.

    They go from 24 px, where a whole network costs less than the smallest one at 64 px and knows more, up to the
    image's own side, but within 96 and 224.
    """
    largest = min(LARGE_SIDES[-1], max(96, side))
    return tuple(option for option in LARGE_SIDES if option <= largest)


LARGE_SIDES = (24, 28, 32, 40, 48, 56, 64, 72, 80, 96, 112, 128, 144, 160, 176, 192, 208, 224)
RESOLUTIONS: dict[str, Callable[[int], tuple[int, ...]]] = {
    "mini": resolutions_for,
    "efficientnet-lite0": large_resolutions_for,
}
FAMILIES: dict[str, Callable[[tuple[int, ...]], Family]] = {
    "mini": mini,
    "ofa-mbv3": lambda _: mobilenetv3("ofa-mbv3", (0, 1)),
    "ofa-mbv3-w1.0": lambda _: mobilenetv3("ofa-mbv3-w1.0", (0, 0)),
    "ofa-mbv3-w1.2": lambda _: mobilenetv3("ofa-mbv3-w1.2", (1, 1)),
    "ofa-proxyless-w1.3": lambda _: proxyless(),
    "ofa-resnet50": lambda _: resnet50(),
    "efficientnet-lite0": efficientnet_lite0,
}


def make_family(name: str, side: int, resolutions: Sequence[int] = ()) -> Family:
    """The family of a supernet's name, for images with a short side of `side` px. Raises `UserError`.

    Args:
        name: one of `FAMILIES`.
        side: of the images in pixels; it decides the resolutions.
        resolutions: options in place of those.
    """
    if name not in FAMILIES:
        raise unknown("supernet", name, FAMILIES)
    family = FAMILIES[name](tuple(resolutions) or RESOLUTIONS.get(name, lambda _: ())(side))
    if not resolutions:
        return family
    found: Family = replace(cast(Any, family), resolutions=tuple(resolutions))
    return found


class Head(Protocol):
    """The interface of a head, which a task puts on one body: the two verbs of an elastic operator, and a spec.

    A head is an `nn.Module`. `forward` takes the body's feature maps by scale; `extract` fills the head of a plain
    network; `spec` gives that head's arguments, `kind` included, for the channels of each map.
    """

    def forward(self, features: Sequence[Tensor], arch: Architecture) -> Tensor: ...

    def extract(self, plain: nn.Module, arch: Architecture) -> None: ...

    def spec(self, channels: Sequence[int]) -> dict[str, Any]: ...


class Supernet(nn.Module):
    """Bodies of a family and heads by task. It holds no current subnet: the architecture is an argument of each call.

    Args:
        family: the bodies' description.
        heads: for each task a mapping from the code of a body to its head.
        mean, std: of the training pixels (0..255), one value per input channel.
    """

    def __init__(
        self,
        family: Family,
        heads: Mapping[str, Mapping[int, nn.Module]],
        mean: Sequence[float],
        std: Sequence[float],
    ) -> None:
        super().__init__()
        self.family = family
        self.channels = len(mean)
        self.normalize = Normalize(list(mean), list(std))
        self.bodies = nn.ModuleDict({str(code): Body(family, code, self.channels) for code in family.bodies})
        self.heads = nn.ModuleDict(
            {task: nn.ModuleDict({str(code): head for code, head in by.items()}) for task, by in heads.items()}
        )

    def body(self, arch: Architecture) -> Body:
        """The body that the architecture picks."""
        return cast(Body, self.bodies[str(self.family.body(arch))])

    def head(self, arch: Architecture, task: str | None = None) -> nn.Module:
        """The head of a task on the architecture's body; of the first task unless told."""
        return self.head_of(self.family.body(arch), task)

    def layers_of(self, body: int) -> nn.ModuleList:
        """The elastic layers of a body, by its code."""
        return cast(Body, self.bodies[str(body)]).layers

    def sort_channels(self) -> None:
        """Order the inner channels of every block by importance, so that smaller expansions keep the important ones."""
        for body in self.family.bodies:
            for layer in self.layers_of(body):
                if isinstance(layer, ElasticInvertedResidual | ElasticBottleneck):
                    layer.sort_channels()

    def head_of(self, body: int, task: str | None = None) -> nn.Module:
        """The head of a task on a body, by its code; of the first task unless told."""
        return cast(nn.ModuleDict, self.heads[task or next(iter(self.heads))])[str(body)]

    def forward(self, images: Tensor, arch: Architecture, task: str | None = None) -> Tensor:
        """The task's output (classification: logits `(n, classes)`) of normalised images `(n, channels, r, r)`."""
        return self.head(arch, task)(self.body(arch).features(images, arch), arch)

    @torch.no_grad()
    def extract(self, arch: Architecture, task: str | None = None) -> Subnet:
        """The architecture as a plain module with weights of its own; takes pixels 0..255, normalises inside."""
        head = cast(Any, self.head(arch, task))
        normalize = {"mean": self.normalize.mean.flatten().tolist(), "std": self.normalize.std.flatten().tolist()}
        scales = [[layer.spec for layer in scale] for scale in self.family.present(arch, self.channels)]
        layers = list(chain.from_iterable(scales))
        spec = {
            "normalize": normalize,
            "layers": layers,
            "scales": [len(scale) for scale in scales],
            "head": head.spec(channels_by_scale(scales)),
        }
        with torch.device("meta"):  # every tensor is replaced below: drawing values would take most of the time
            plain = Subnet(spec)
        plain.normalize = Normalize(**normalize).to(self.normalize.mean.device)
        self.body(arch).extract(plain, arch)
        head.extract(plain.head, arch)
        return plain.train(self.training)


def channels_by_scale(scales: Sequence[Sequence[LayerSpec]]) -> list[int]:
    """Channels of the feature map that each scale's layers end with."""
    found, channels = [], 0
    for scale in scales:
        channels = next((spec["cout"] for spec in reversed(scale) if "cout" in spec), channels)
        found.append(channels)
    return found


def layers_of(family: Family, head_layers: Callable[[Codes], LayerTable], channels: int) -> Callable:
    """A function from codes to the layer table of whole networks, body then head, on images with so many channels."""
    return lambda codes: family.layers(codes, channels=channels) + head_layers(codes)
