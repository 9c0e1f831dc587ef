"""Weight-sharing supernets: a family's bodies, the heads that tasks put on them, and the subnets cut from both."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from naturalize.errors import unknown
from naturalize.space import Architecture, Codes
from naturalize.supernet.layers import Counter, LayerTable
from naturalize.supernet.mobilenetv3 import Body, MobileNetV3, mini, ofa
from naturalize.supernet.subnet import Normalize, Subnet

__all__ = ["FAMILIES", "Counter", "Head", "MobileNetV3", "Subnet", "Supernet", "make_family", "resolutions_for"]


def resolutions_for(side: int) -> tuple[int, ...]:
    """Resolution options of `mini` for images with a short side of `side` px.

    Four pixels apart, up to the image's own side but within 24 and 40: small pictures gain from being enlarged, larger
    ones are what published weights are for. Digits of 8 px get 8 to 24, pictures of 32 px get 20 to 32.
    """
    largest = min(40, max(24, side // 4 * 4))
    smallest = max(8, min(largest - 12, side // 4 * 4))
    return tuple(range(smallest, largest + 1, 4))


FAMILIES: dict[str, Callable[[int], MobileNetV3]] = {
    "mini": lambda side: mini(resolutions_for(side)),
    "ofa-mbv3": lambda side: ofa("ofa-mbv3", (0, 1)),
    "ofa-mbv3-w1.0": lambda side: ofa("ofa-mbv3-w1.0", (0, 0)),
    "ofa-mbv3-w1.2": lambda side: ofa("ofa-mbv3-w1.2", (1, 1)),
}


def make_family(name: str, side: int) -> MobileNetV3:
    """The family of a supernet's name, for images with a short side of `side` px. Raises `UserError`."""
    if name not in FAMILIES:
        raise unknown("supernet", name, FAMILIES)
    return FAMILIES[name](side)


class Head(Protocol):
    """What a task puts on one body: the two verbs of an elastic operator, and its rows of the layer table.

    A head is an `nn.Module`. `forward` takes the body's feature maps by scale; `extract` fills the head of a plain
    network; `spec` gives that head's arguments, `kind` included.
    """

    def forward(self, features: Sequence[Tensor], arch: Architecture) -> Tensor: ...

    def extract(self, plain: nn.Module, arch: Architecture) -> None: ...

    def spec(self, arch: Architecture) -> dict[str, Any]: ...


class Supernet(nn.Module):
    """Bodies of a family and heads by task. It holds no current subnet: the architecture is an argument of each call.

    Args:
        family: the bodies' description.
        heads: for each task a mapping from width code to its head.
        mean, std: of the training pixels (0..255), one value per input channel.
    """

    def __init__(
        self,
        family: MobileNetV3,
        heads: Mapping[str, Mapping[int, nn.Module]],
        mean: Sequence[float],
        std: Sequence[float],
    ) -> None:
        super().__init__()
        self.family = family
        self.channels = len(mean)
        self.normalize = Normalize(list(mean), list(std))
        self.bodies = nn.ModuleDict({str(width): Body(family, width, self.channels) for width in family.bodies})
        self.heads = nn.ModuleDict(
            {task: nn.ModuleDict({str(width): head for width, head in by.items()}) for task, by in heads.items()}
        )

    def body(self, arch: Architecture) -> Body:
        """The body that the architecture's width picks."""
        return cast(Body, self.bodies[str(arch.code[1])])

    def head(self, arch: Architecture, task: str) -> nn.Module:
        """The head of a task on the architecture's body."""
        return cast(nn.ModuleDict, self.heads[task])[str(arch.code[1])]

    def forward(self, images: Tensor, arch: Architecture, task: str = "default") -> Tensor:
        """The task's output (classification: logits `(n, classes)`) of normalised images `(n, channels, r, r)`."""
        return self.head(arch, task)(self.body(arch).features(images, arch), arch)

    @torch.no_grad()
    def extract(self, arch: Architecture, task: str = "default") -> Subnet:
        """The architecture as a plain module with weights of its own; takes pixels 0..255, normalises inside."""
        head = cast(Any, self.head(arch, task))
        normalize = {"mean": self.normalize.mean.flatten().tolist(), "std": self.normalize.std.flatten().tolist()}
        spec = {"normalize": normalize, **self.family.spec(arch, self.channels), "head": head.spec(arch)}
        plain = Subnet(spec)
        self.body(arch).extract(plain, arch)
        head.extract(plain.head, arch)
        return plain.train(self.training).to(self.normalize.mean.device)


def layers_of(family: MobileNetV3, head_layers: Callable[[Codes], LayerTable], channels: int) -> Callable:
    """Codes to the layer table of whole networks: body, then head."""
    return lambda codes: family.layers(codes, channels=channels) + head_layers(codes)
