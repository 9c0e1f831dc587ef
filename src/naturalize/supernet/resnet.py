"""Once-for-All ResNet-50 (Cai et al., ICLR 2020): ResNet-D with elastic depth, expansion and widths in one body.

Codes are the resolution, widths of the stem's inner and outer channels and of the four stages, whether the stem has its
residual convolution, then one integer per position: 0 for absent, or 1 + index of the expansion.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from torch import nn

from naturalize.space import Architecture, Codes, SearchSpace, Variable
from naturalize.supernet.blocks import ElasticBottleneck, ElasticConv, MaxPool
from naturalize.supernet.family import LayerSpec, Map, Opened, Present
from naturalize.supernet.layers import Ints, LayerTable, LayerTableBuilder, divisible

STEM = 64
CHANNELS = (256, 512, 1024, 2048)  # of the stages
STRIDES = (1, 2, 2, 2)
BLOCKS = (4, 4, 6, 4)  # of the stages, at most; each may have up to two fewer
ELASTIC_DEPTH = 2
EXPANSIONS = (0.2, 0.25, 0.35)  # channels of the 3x3 convolution, as a share of the block's
WIDTHS = (0.65, 0.8, 1.0)
RESOLUTION, INNER, OUTER, STAGE, RESIDUAL, FIRST = 0, 1, 2, 3, 7, 8  # columns of the codes; STAGE is of stage 1's width


@dataclass(frozen=True)
class ResNet50:
    """The family (a `Family`): one body, 26 variables."""

    name: str
    resolutions: tuple[int, ...]

    @cached_property
    def space(self) -> SearchSpace:
        """The search space: a stage's last two positions may be absent, the last one wherever the one before it is."""
        widths = ("stem.inner_width", "stem.width", *(f"stage{number}.width" for number in (1, 2, 3, 4)))
        variables = [
            Variable("resolution", 0, len(self.resolutions) - 1),
            *(Variable(name, 0, len(WIDTHS) - 1) for name in widths),
            Variable("stem.residual", 0, 1),
        ]
        rules = []
        for stage, blocks in enumerate(BLOCKS):
            group = f"stage{stage + 1}"
            for position in range(blocks):
                if position == blocks - 1:
                    rules.append((len(variables), len(variables) - 1))
                lower = 1 if position < blocks - ELASTIC_DEPTH else 0
                factors = (("expansion", EXPANSIONS),)
                variables.append(Variable(f"{group}.position{position + 1}", lower, len(EXPANSIONS), group, factors))
        return SearchSpace(self.name, variables, rules)

    @property
    def bodies(self) -> range:
        """The one body."""
        return range(1)

    def body(self, arch: Architecture) -> int:
        """Code of the one body: 0."""
        return 0

    def in_body(self, codes: Codes, body: int) -> Codes:
        """The architectures as they are."""
        return codes

    def maps(self, codes: Codes) -> list[Map]:
        """Feature maps by scale: stem, then stages; see `Family`."""
        side = -(-np.array(self.resolutions)[codes[:, RESOLUTION]] // 2)
        found = []
        for column, base, stride in zip(range(OUTER, STAGE + 4), (STEM, *CHANNELS), (2, *STRIDES), strict=True):
            side = -(-side // stride)
            found.append(Map(widths_of(base)[codes[:, column]], side, (RESOLUTION, column)))
        return found

    def mixed_channels(self, codes: Codes) -> Ints:
        """Zeros: there is no 1x1 convolution in the head. Shapes: `(n, d) -> (n,)`."""
        return np.zeros(len(codes), dtype=np.int64)

    @property
    def options(self) -> Opened:
        """The options of each elastic dimension of the layers."""
        return Opened(1, ELASTIC_DEPTH + 1, len(EXPANSIONS), len(WIDTHS))

    def sample_opened(self, n: int, rng: np.random.Generator, opened: Opened) -> Codes:
        """n architectures of opened options; see `Family`."""
        codes = rng.integers(self.space.lower, self.space.upper + 1, (n, len(self.space)))
        codes[:, INNER:RESIDUAL] = len(WIDTHS) - 1 - rng.integers(0, opened.widths, (n, RESIDUAL - INNER))
        codes[:, RESIDUAL] = 1 - rng.integers(0, min(2, opened.depths), n)
        column = FIRST
        for blocks in BLOCKS:
            depth = blocks - rng.integers(0, opened.depths, n)
            for position in range(blocks):
                code = len(EXPANSIONS) - rng.integers(0, opened.expansions, n)
                codes[:, column] = np.where(position < depth, code, 0)
                column += 1
        return codes

    def layers(self, codes: Codes, input_size: int | None = None, channels: int = 3) -> LayerTable:
        """The layer table of the body of n architectures; see `Family`."""
        n = len(codes)
        build = LayerTableBuilder(n, (RESOLUTION,))
        size: Any = np.array(self.resolutions)[codes[:, RESOLUTION]] if input_size is None else np.full(n, input_size)
        inner, cin = inner_widths()[codes[:, INNER]], widths_of(STEM)[codes[:, OUTER]]
        stem: dict[str, Any] = {"kernel": 3, "norm": True, "activation": "relu"}
        size = build.add("stem.conv1", "conv", channels, inner, size, stride=2, variables=(INNER,), **stem)
        residual = codes[:, RESIDUAL] > 0
        build.add(
            "stem.conv2", "conv", inner, inner, size, variables=(INNER, RESIDUAL), adds=True, present=residual, **stem
        )
        build.add("stem.conv3", "conv", inner, cin, size, variables=(INNER, OUTER), **stem)
        size = build.add("stem.pool", "max_pool", cin, cin, size, kernel=3, stride=2, variables=(OUTER,))
        column = FIRST
        for stage, (base, blocks, first_stride) in enumerate(zip(CHANNELS, BLOCKS, STRIDES, strict=True)):
            before, width = OUTER + stage, STAGE + stage
            cout = widths_of(base)[codes[:, width]]
            for position in range(blocks):
                layer = codes[:, column]
                name = self.space.variables[column].name
                squeezed = squeezed_widths(base)[codes[:, width], np.maximum(layer - 1, 0)]
                stride = first_stride if position == 0 else 1
                here: dict[str, Any] = {
                    "norm": True, "variables": (before, width, column) if position == 0 else (width, column),
                    "present": layer > 0,
                }  # fmt: skip
                build.add(f"{name}.reduce", "conv", cin, squeezed, size, activation="relu", **here)
                size_out = build.add(
                    f"{name}.conv", "conv", squeezed, squeezed, size, kernel=3, stride=stride, activation="relu", **here
                )
                build.add(f"{name}.expand", "conv", squeezed, cout, size_out, activation="relu", adds=True, **here)
                if stride > 1:
                    build.add(f"{name}.pool", "avg_pool", cin, cin, size, kernel=stride, stride=stride, **here)
                if position == 0:
                    build.add(f"{name}.shortcut", "conv", cin, cout, size_out, **here)
                cin, size, column = cout, size_out, column + 1
        return build.table()

    @lru_cache(maxsize=4096)  # noqa: B019, families live as long as the process
    def present(self, arch: Architecture, channels: int) -> list[list[Present]]:
        """The layers that an architecture has, by scale: stem, then stages; see `Family`."""
        code = arch.code
        inner, cin = int(inner_widths()[code[INNER]]), int(widths_of(STEM)[code[OUTER]])
        stem = [Present(0, conv_spec(channels, inner, 2))]
        if code[RESIDUAL]:
            stem.append(Present(1, {**conv_spec(inner, inner, 1), "skip": True}))
        stem += [Present(2, conv_spec(inner, cin, 1)), Present(3, {"kind": "max_pool"})]
        scales, number, column = [stem], 4, FIRST
        for stage, (base, blocks, stride) in enumerate(zip(CHANNELS, BLOCKS, STRIDES, strict=True)):
            cout = int(widths_of(base)[code[STAGE + stage]])
            scale = []
            for position in range(blocks):
                if layer := code[column]:
                    first = position == 0
                    spec = {
                        "kind": "bottleneck", "cin": cin, "cout": cout,
                        "squeezed": int(squeezed_widths(base)[code[STAGE + stage], layer - 1]),
                        "stride": stride if first else 1, "projected": first,
                    }  # fmt: skip
                    scale.append(Present(number, spec))
                    cin = cout
                number, column = number + 1, column + 1
            scales.append(scale)
        return scales

    def elastic_layers(self, body: int, channels: int) -> list[nn.Module]:
        """New elastic layers of the body."""
        inner, cin = int(inner_widths()[-1]), STEM
        layers: list[nn.Module] = [
            ElasticConv(channels, inner, (3,), 2, activation="relu"),
            ElasticConv(inner, inner, (3,), activation="relu", skip=True),
            ElasticConv(inner, cin, (3,), activation="relu"),
            MaxPool(),
        ]
        for base, blocks, stride in zip(CHANNELS, BLOCKS, STRIDES, strict=True):
            squeezed = int(squeezed_widths(base)[-1, -1])
            for position in range(blocks):
                first = position == 0
                layers.append(ElasticBottleneck(cin, base, squeezed, stride if first else 1, projected=first))
                cin = base
        return layers


def widths_of(base: int) -> Ints:
    """Channels for each width code."""
    return np.array([divisible(base * width) for width in WIDTHS])


def inner_widths() -> Ints:
    """Channels of the stem's first convolutions for each width code: half of the stem's."""
    return np.array([divisible(outer // 2) for outer in widths_of(STEM).tolist()])


def squeezed_widths(base: int) -> Ints:
    """Channels of a block's 3x3 convolution by width code and expansion, `(widths, expansions)`."""
    return np.array([[divisible(round(cout * e)) for e in EXPANSIONS] for cout in widths_of(base).tolist()])


def conv_spec(cin: int, cout: int, stride: int) -> LayerSpec:
    """Arguments of a convolution of the stem, a `subnet.ConvNorm`."""
    return {"kind": "conv", "cin": cin, "cout": cout, "kernel": 3, "stride": stride, "activation": "relu"}


def resnet50() -> ResNet50:
    """The family at resolutions of 128 to 224 px."""
    return ResNet50("ofa-resnet50", tuple(range(128, 225, 4)))
