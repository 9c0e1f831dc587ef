"""Families of inverted residuals: a stem, stages of blocks with elastic depth, kernel and expansion, a 1x1 convolution.

MobileNetV3, ProxylessNAS, EfficientNet-Lite and `mini` are all made of these; their own files hold what differs.
Codes are resolution, width, then one integer per position: 0 for absent, or 1 + index of the kernel + number of
kernels x index of the expansion (Cai et al., ICLR 2020; NAT, section 4.1).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from torch import nn

from naturalize.space import Architecture, Codes, SearchSpace, Variable
from naturalize.supernet.blocks import ElasticConv, ElasticInvertedResidual
from naturalize.supernet.family import LayerSpec, Map, Opened, Present
from naturalize.supernet.layers import Ints, LayerTable, LayerTableBuilder, divisible, divisible_each

RESOLUTION, WIDTH = 0, 1  # the leading variables, which shape every operator


@dataclass(frozen=True)
class Stage:
    """One stage: base width, most and fewest present blocks, stride of the first, activation, squeeze-and-excite."""

    channels: int
    blocks: int
    min_depth: int
    stride: int
    activation: str
    squeeze_excite: bool = False


@dataclass(frozen=True)
class InvertedResiduals:
    """The description of such a family (a `Family`).

    Attributes:
        name: of the supernet.
        resolutions: input sides in pixels, ascending: the options of variable 1.
        widths: width multipliers: the options of variable 2; each has a body of its own.
        width_codes: first and last option of `widths` that the space admits.
        stem, stem_stride: base channels and stride of the stem, a 3x3 convolution.
        first: base channels of a 3x3 block without expansion that follows the stem; 0 for none.
        first_activation: of that block.
        kernels, expansions: options of every position, ascending.
        final: base channels of the last convolution.
        mixed: base channels of the 1x1 convolution of a classification head; 0 for none.
        activation: of the stem and the last convolution.
        eps: of the batch norms.
        same: whether convolutions pad as TensorFlow's SAME does.
        offsets: whether smaller kernels, expansions and depths have offsets of their own to the shared weights.
    """

    name: str
    resolutions: tuple[int, ...]
    widths: tuple[float, ...]
    width_codes: tuple[int, int]
    stem: int
    stem_stride: int
    first: int
    first_activation: str
    stages: tuple[Stage, ...]
    kernels: tuple[int, ...]
    expansions: tuple[int, ...]
    final: int
    mixed: int
    activation: str
    eps: float = 1e-5
    same: bool = False
    offsets: bool = False

    @cached_property
    def space(self) -> SearchSpace:
        """Resolution, width and one variable per position; a position is absent wherever the one before it is."""
        variables = [
            Variable("resolution", 0, len(self.resolutions) - 1),
            Variable("width", *self.width_codes),
        ]
        rules = []
        kernels, expansions = self.kernel_and_expansion(np.arange(1, 1 + len(self.kernels) * len(self.expansions)))
        factors = ("kernel", tuple(kernels.tolist())), ("expansion", tuple(expansions.tolist()))
        for index, stage in enumerate(self.stages):
            group = f"stage{index + 1}"
            for position in range(stage.blocks):
                lower = 1 if position < stage.min_depth else 0
                if position > stage.min_depth:
                    rules.append((len(variables), len(variables) - 1))
                variables.append(Variable(f"{group}.position{position + 1}", lower, len(kernels), group, factors))
        return SearchSpace(self.name, variables, rules)

    @property
    def bodies(self) -> range:
        """Width codes: each width has a body."""
        return range(self.width_codes[0], self.width_codes[1] + 1)

    def body(self, arch: Architecture) -> int:
        """Code of the width that an architecture picks."""
        return arch.code[WIDTH]

    def in_body(self, codes: Codes, body: int) -> Codes:
        """The same architectures in the body of one width."""
        codes = codes.copy()
        codes[:, WIDTH] = body
        return codes

    def channels(self, base: int, width: int) -> int:
        """A base width times the multiplier of a width code, rounded to a multiple of 8."""
        return divisible(base * self.widths[width])

    def channels_each(self, base: int, codes: Codes) -> Ints:
        """`channels` of every architecture. Shapes: `(n, d) -> (n,)`."""
        return np.array([self.channels(base, width) for width in range(len(self.widths))])[codes[:, WIDTH]]

    def maps(self, codes: Codes) -> list[Map]:
        """Feature maps by scale: stem, stages, last convolution; see `Family`."""
        side = np.array(self.resolutions)[codes[:, RESOLUTION]]
        scales = [(self.first or self.stem, self.stem_stride), *((s.channels, s.stride) for s in self.stages)]
        found = []
        for channels, stride in [*scales, (self.final, 1)]:
            side = -(-side // stride)
            found.append(Map(self.channels_each(channels, codes), side, (RESOLUTION, WIDTH)))
        return found

    def mixed_channels(self, codes: Codes) -> Ints:
        """Channels of the head's 1x1 convolution; 0 for none. Shapes: `(n, d) -> (n,)`."""
        return self.channels_each(self.mixed, codes) if self.mixed else np.zeros(len(codes), dtype=np.int64)

    @property
    def options(self) -> Opened:
        """The options of each elastic dimension of the layers; of depth, in the most elastic stage."""
        depths = max(stage.blocks - stage.min_depth for stage in self.stages) + 1
        return Opened(len(self.kernels), depths, len(self.expansions))

    def sample_opened(self, n: int, rng: np.random.Generator, opened: Opened) -> Codes:
        """n architectures of opened options; see `Family`."""
        codes = rng.integers(self.space.lower, self.space.upper + 1, (n, len(self.space)))
        column = WIDTH + 1
        for stage in self.stages:
            shut = min(opened.depths - 1, stage.blocks - stage.min_depth)
            depth = stage.blocks - rng.integers(0, shut + 1, n)
            for position in range(stage.blocks):
                kernel = len(self.kernels) - 1 - rng.integers(0, opened.kernels, n)
                expansion = len(self.expansions) - 1 - rng.integers(0, opened.expansions, n)
                code = 1 + kernel + len(self.kernels) * expansion
                codes[:, column] = np.where(position < depth, code, 0)
                column += 1
        return codes

    def kernel_and_expansion(self, layer: Ints) -> tuple[Ints, Ints]:
        """Kernel size and expansion ratio of layer codes, of any shape; those of code 0 mean nothing."""
        index = np.maximum(layer - 1, 0)
        kernels = np.array(self.kernels)[index % len(self.kernels)]
        return kernels, np.array(self.expansions)[index // len(self.kernels)]

    def layers(self, codes: Codes, input_size: int | None = None, channels: int = 3) -> LayerTable:
        """The layer table of the bodies of n architectures; see `Family`."""
        n = len(codes)
        build = LayerTableBuilder(n, (RESOLUTION, WIDTH))
        size: Any = np.array(self.resolutions)[codes[:, RESOLUTION]] if input_size is None else np.full(n, input_size)
        cin = self.channels_each(self.stem, codes)
        ends: dict[str, Any] = {"norm": True, "activation": self.activation}
        size = build.add("stem", "conv", channels, cin, size, kernel=3, stride=self.stem_stride, **ends)
        if self.first:
            cout = self.channels_each(self.first, codes)
            build.add(
                "first.depthwise", "conv", cin, cin, size, kernel=3, groups=cin, norm=True,
                activation=self.first_activation,
            )  # fmt: skip
            build.add("first.project", "conv", cin, cout, size, norm=True, adds=cin == cout)
            cin = cout
        column = WIDTH + 1
        for stage in self.stages:
            cout = self.channels_each(stage.channels, codes)
            for position in range(stage.blocks):
                layer = codes[:, column]
                kernel, expansion = self.kernel_and_expansion(layer)
                here: dict[str, Any] = {"variables": (column,), "present": layer > 0}
                name = self.space.variables[column].name
                stride = stage.stride if position == 0 else 1
                expanded = divisible_each(cin * expansion)
                active = stage.activation
                build.add(f"{name}.expand", "conv", cin, expanded, size, norm=True, activation=active, **here)
                # a stage has its first position always, so the side after it is the same for all architectures
                size = build.add(
                    f"{name}.depthwise", "conv", expanded, expanded, size, kernel=kernel, stride=stride,
                    groups=expanded, norm=True, activation=active, **here,
                )  # fmt: skip
                if stage.squeeze_excite:
                    squeezed = divisible_each(expanded // 4)
                    build.add(f"{name}.squeeze", "pool", expanded, expanded, size, **here)
                    build.add(f"{name}.reduce", "conv", expanded, squeezed, 1, bias=True, activation="relu", **here)
                    build.add(
                        f"{name}.excite", "conv", squeezed, expanded, 1, bias=True, activation="h_sigmoid", **here
                    )
                skip = (cin == cout) & (stride == 1)
                build.add(f"{name}.project", "conv", expanded, cout, size, norm=True, adds=skip, **here)
                cin = cout
                column += 1
        build.add("final", "conv", cin, self.channels_each(self.final, codes), size, **ends)
        return build.table()

    @lru_cache(maxsize=4096)  # noqa: B019, families live as long as the process
    def present(self, arch: Architecture, channels: int) -> list[list[Present]]:
        """The layers that an architecture has, by scale: stem, stages, last convolution; see `Family`."""
        width = arch.code[WIDTH]
        cin = self.channels(self.stem, width)
        scales = [[Present(0, self.conv_spec(channels, cin, 3, self.stem_stride))]]
        number, column, option = 1, WIDTH + 1, -1
        if self.first:
            cout = self.channels(self.first, width)
            scales[0].append(Present(number, self.block_spec(cin, cout, cin, 3, 1, False, self.first_activation)))
            cin, number = cout, number + 1
        for stage in self.stages:
            cout = self.channels(stage.channels, width)
            scale = []
            for position in range(stage.blocks):
                index = arch.code[column] - 1
                if index >= 0:
                    kernel = self.kernels[index % len(self.kernels)]
                    expanded = divisible(cin * self.expansions[index // len(self.kernels)])
                    stride = stage.stride if position == 0 else 1
                    spec = self.block_spec(cin, cout, expanded, kernel, stride, stage.squeeze_excite, stage.activation)
                    scale.append(Present(number, spec, option if position == 0 else -1))
                    cin = cout
                column, number = column + 1, number + 1
            scales.append(scale)
            option = len(scale) - stage.min_depth
        return [*scales, [Present(number, self.conv_spec(cin, self.channels(self.final, width), 1, 1), option)]]

    def conv_spec(self, cin: int, cout: int, kernel: int, stride: int) -> LayerSpec:
        """Arguments of the stem or of the last convolution, a `subnet.ConvNorm`."""
        return {
            "kind": "conv", "cin": cin, "cout": cout, "kernel": kernel, "stride": stride,
            "activation": self.activation, "eps": self.eps, "same": self.same,
        }  # fmt: skip

    def block_spec(
        self, cin: int, cout: int, expanded: int, kernel: int, stride: int, squeeze_excite: bool, activation: str
    ) -> LayerSpec:
        """Arguments of a block, a `subnet.InvertedResidual`."""
        return {
            "kind": "inverted_residual", "cin": cin, "cout": cout, "expanded": expanded, "kernel": kernel,
            "stride": stride, "squeezed": divisible(expanded // 4) if squeeze_excite else 0,
            "activation": activation, "eps": self.eps, "same": self.same,
        }  # fmt: skip

    def elastic_layers(self, body: int, channels: int) -> list[nn.Module]:
        """New elastic layers of the body of one width."""
        eps, same = self.eps, self.same
        cin, depths = self.channels(self.stem, body), 1
        layers: list[nn.Module] = [
            ElasticConv(channels, cin, (3,), self.stem_stride, activation=self.activation, eps=eps, same=same)
        ]
        if self.first:
            cout = self.channels(self.first, body)
            layers.append(
                ElasticInvertedResidual(cin, cout, (cin,), (3,), 1, False, self.first_activation, eps=eps, same=same)
            )
            cin = cout
        for stage in self.stages:
            cout = self.channels(stage.channels, body)
            for position in range(stage.blocks):
                expanded = tuple(divisible(cin * expansion) for expansion in self.expansions)
                stride = stage.stride if position == 0 else 1
                layers.append(
                    ElasticInvertedResidual(
                        cin, cout, expanded, self.kernels, stride, stage.squeeze_excite, stage.activation, eps, same,
                        depths if position == 0 else 1, self.offsets,
                    )
                )  # fmt: skip
                cin = cout
            depths = 1 + stage.blocks - stage.min_depth
        final = self.channels(self.final, body)
        offsets = [(cin, 1)] * (depths - 1) if self.offsets else []
        return [
            *layers,
            ElasticConv(cin, final, activation=self.activation, eps=eps, options=depths, offsets=offsets),
        ]
