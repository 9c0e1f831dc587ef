"""A family of supernets: a search space, the layers of its architectures, and the elastic layers of a body."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from torch import Tensor, nn

from naturalize.space import Architecture, Codes, SearchSpace
from naturalize.supernet import subnet
from naturalize.supernet.layers import Ints, LayerTable

LayerSpec = dict[str, Any]


class Present(NamedTuple):
    """A layer that an architecture has.

    Attributes:
        number: of the elastic layer in its body.
        spec: an entry of `layers` in the spec of a `subnet.Subnet`.
        option: of its first convolution, by what stands before the layer; -1 for what the largest architecture has.
    """

    number: int
    spec: LayerSpec
    option: int = -1


class Map(NamedTuple):
    """The feature map of one scale, of n architectures.

    Attributes:
        channels: `(n,)`.
        side: in pixels, `(n,)`.
        variables: columns of the codes that shape it.
    """

    channels: Ints
    side: Ints
    variables: tuple[int, ...]


@dataclass(frozen=True)
class Opened:
    """Number of options of each elastic dimension that take part, from the largest one; 1 keeps a dimension shut."""

    kernels: int = 1
    depths: int = 1
    expansions: int = 1
    widths: int = 1


class Family(Protocol):
    """The description of a family. Immutable, hashable, without weights.

    Variable 1 of every space is the input resolution. A family with several bodies has a variable that picks one.

    Attributes:
        name: of the supernet, as users give it.
        resolutions: input sides in pixels, ascending: the options of variable 1.
        bodies: codes of the bodies.
    """

    @property
    def name(self) -> str: ...

    @property
    def resolutions(self) -> tuple[int, ...]: ...

    @property
    def space(self) -> SearchSpace: ...

    @property
    def bodies(self) -> range: ...

    def in_body(self, codes: Codes, body: int) -> Codes:
        """The same architectures in one body."""
        ...

    def body(self, arch: Architecture) -> int:
        """Code of the body that an architecture picks."""
        ...

    def maps(self, codes: Codes) -> list[Map]:
        """Feature maps of n architectures by scale, ascending in depth, as `Body.features` gives them."""
        ...

    def mixed_channels(self, codes: Codes) -> Ints:
        """Channels of a classification head's 1x1 convolution; 0 for none. Shapes: `(n, d) -> (n,)`."""
        ...

    @property
    def options(self) -> Opened:
        """The options of each elastic dimension of the layers."""
        ...

    def sample_opened(self, n: int, rng: np.random.Generator, opened: Opened) -> Codes:
        """n architectures, each dimension of each layer or stage uniform among its opened options. Shape `(n, d)`."""
        ...

    def layers(self, codes: Codes, input_size: int | None = None, channels: int = 3) -> LayerTable:
        """The layer table of the bodies of n architectures.

        Args:
            codes: `(n, d)`.
            input_size: side of the input in pixels, in place of each architecture's own resolution.
            channels: of the input.
        """
        ...

    def present(self, arch: Architecture, channels: int) -> list[list[Present]]:
        """The layers that an architecture has, by scale."""
        ...

    def elastic_layers(self, body: int, channels: int) -> list[nn.Module]:
        """New layers of a body, each with `forward(x, spec, option)` and `extract(plain, option)`."""
        ...


def largest_by_body(family: Family) -> dict[int, Codes]:
    """Codes of the largest architecture, `(1, d)`, by the code of its body."""
    return {body: family.in_body(family.space.corners()[1:], body) for body in family.bodies}


class Body(nn.Module):
    """The backbone of a supernet, or one of several: everything but the head.

    Args:
        family: of the supernet.
        code: of the body, one of `family.bodies`.
        channels: of the input images.
    """

    def __init__(self, family: Family, code: int, channels: int) -> None:
        super().__init__()
        self.family = family
        self.channels = channels
        self.layers = nn.ModuleList(family.elastic_layers(code, channels))

    def features(self, images: Tensor, arch: Architecture) -> list[Tensor]:
        """Feature maps by scale, ascending in depth; classification reads the last.

        Args:
            images: normalised, `(n, channels, r, r)` with r the architecture's resolution.
            arch: the architecture.
        """
        maps, x = [], images
        for scale in self.family.present(arch, self.channels):
            for number, spec, option in scale:
                x = self.layers[number](x, spec, option)
            maps.append(x)
        return maps

    def extract(self, plain: subnet.Subnet, arch: Architecture) -> None:
        """Copy the architecture's slices into the layers of a plain network of its spec."""
        present = [layer for scale in self.family.present(arch, self.channels) for layer in scale]
        for (number, _, option), layer in zip(present, plain.layers, strict=True):
            self.layers[number].extract(layer, option)  # type: ignore[operator]
