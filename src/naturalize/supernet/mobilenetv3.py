"""The family of Once-for-All MobileNetV3 supernets (Cai et al., ICLR 2020; NAT, section 4.1): space, layers, body.

A network is a stem, an optional fixed block, stages of inverted residuals with elastic depth, kernel and expansion,
and a 1x1 convolution. Codes are resolution, width, then one integer per position: 0 for absent, or
1 + index of the kernel + number of kernels x index of the expansion.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np
from torch import Tensor, nn

from naturalize.space import Architecture, Codes, SearchSpace, Variable
from naturalize.supernet import subnet
from naturalize.supernet.layers import Ints, LayerTable, LayerTableBuilder
from naturalize.supernet.operators import ElasticConvNorm, ElasticSqueezeExcite

SHARED = 2  # the leading variables, resolution and width, shape every operator


@dataclass(frozen=True)
class Stage:
    """One stage: base width, stride of its first block, activation, squeeze-and-excite, fewest present positions."""

    channels: int
    stride: int
    activation: str
    squeeze_excite: bool
    min_depth: int


@dataclass(frozen=True)
class MobileNetV3:
    """What a supernet of this family is made of. Immutable, without weights and without torch objects.

    Attributes:
        resolutions: input sides in pixels, ascending: the options of variable 1.
        widths: width multipliers: the options of variable 2; each has a body of its own.
        width_codes: first and last option of `widths` that the space admits.
        stem, stem_stride: channels and stride of the stem convolution.
        fixed_block: whether a 3x3 expand-1 block follows the stem.
        final, mixed: channels of the last convolution and of the head's 1x1 convolution.
    """

    name: str
    resolutions: tuple[int, ...]
    widths: tuple[float, ...]
    width_codes: tuple[int, int]
    stem: int
    stem_stride: int
    fixed_block: bool
    stages: tuple[Stage, ...]
    kernels: tuple[int, ...]
    expansions: tuple[int, ...]
    positions: int
    final: int
    mixed: int

    @cached_property
    def space(self) -> SearchSpace:
        """Resolution, width and one variable per position; a position is absent wherever the one before it is."""
        variables = [
            Variable("resolution", 0, len(self.resolutions) - 1),
            Variable("width", *self.width_codes),
        ]
        rules = []
        for index, stage in enumerate(self.stages):
            for position in range(self.positions):
                lower = 1 if position < stage.min_depth else 0
                name = f"stage{index + 1}.position{position + 1}"
                if position > stage.min_depth:
                    rules.append((len(variables), len(variables) - 1))
                variables.append(Variable(name, lower, len(self.kernels) * len(self.expansions)))
        return SearchSpace(self.name, variables, rules)

    @property
    def bodies(self) -> range:
        """Width codes that have a body."""
        return range(self.width_codes[0], self.width_codes[1] + 1)

    def channels(self, base: int, width: int) -> int:
        """A base width times the multiplier of a width code, rounded to a multiple of 8."""
        return divisible(base * self.widths[width])

    def resolution(self, codes: Codes) -> Ints:
        """Input side in pixels. Shapes: `(n, d) -> (n,)`."""
        return np.array(self.resolutions)[codes[:, 0]]

    def kernel_and_expansion(self, layer: Ints) -> tuple[Ints, Ints]:
        """Kernel size and expansion ratio of layer codes; those of code 0 mean nothing. Any shape."""
        index = np.maximum(layer - 1, 0)
        kernels = np.array(self.kernels)[index % len(self.kernels)]
        return kernels, np.array(self.expansions)[index // len(self.kernels)]

    def layers(self, codes: Codes, input_size: int | None = None, channels: int = 3) -> LayerTable:
        """The layer table of the bodies of n architectures.

        Args:
            codes: `(n, d)`.
            input_size: side of the input in pixels, in place of each architecture's own resolution.
            channels: of the input.
        """
        n = len(codes)
        build = LayerTableBuilder(n)
        size: Any = self.resolution(codes) if input_size is None else np.full(n, input_size)

        def width(base: int) -> Ints:
            return np.array([self.channels(base, code) for code in range(len(self.widths))])[codes[:, 1]]

        cin = width(self.stem)
        size = build.add("stem", "conv", channels, cin, size, kernel=3, stride=self.stem_stride, norm=True)
        if self.fixed_block:
            build.add("fixed.depthwise", "conv", cin, cin, size, kernel=3, groups=cin, norm=True)
            build.add("fixed.project", "conv", cin, cin, size, norm=True)
        column = SHARED
        for stage in self.stages:
            cout = width(stage.channels)
            for position in range(self.positions):
                layer = codes[:, column]
                kernel, expansion = self.kernel_and_expansion(layer)
                here: dict[str, Any] = {"variable": column, "present": layer > 0}
                name = self.space.variables[column].name
                stride = stage.stride if position == 0 else 1
                expanded = divisible_each(cin * expansion)
                build.add(f"{name}.expand", "conv", cin, expanded, size, norm=True, **here)
                # a stage has its first position always, so the side after it is the same for all architectures
                size = build.add(
                    f"{name}.depthwise", "conv", expanded, expanded, size, kernel=kernel, stride=stride,
                    groups=expanded, norm=True, **here,
                )  # fmt: skip
                if stage.squeeze_excite:
                    squeezed = divisible_each(expanded // 4)
                    build.add(f"{name}.squeeze", "pool", expanded, expanded, size, **here)
                    build.add(f"{name}.reduce", "conv", expanded, squeezed, 1, bias=True, **here)
                    build.add(f"{name}.excite", "conv", squeezed, expanded, 1, bias=True, **here)
                build.add(f"{name}.project", "conv", expanded, cout, size, norm=True, **here)
                cin = cout
                column += 1
        build.add("final", "conv", cin, width(self.final), size, norm=True)
        return build.table()

    def output_size(self, codes: Codes) -> Ints:
        """Side of the body's last feature map in pixels. Shapes: `(n, d) -> (n,)`."""
        size = -(-self.resolution(codes) // self.stem_stride)
        for stage in self.stages:
            size = -(-size // stage.stride)
        return size

    def block_specs(self, arch: Architecture) -> list[dict[str, Any]]:
        """Arguments of `subnet.Block` for each present block, the fixed one first where there is one."""
        width = arch.code[1]
        cin = self.channels(self.stem, width)
        blocks = []
        if self.fixed_block:
            blocks.append(block_spec(cin, cin, cin, 3, 1, False, "relu"))
        for index, stage in enumerate(self.stages):
            cout = self.channels(stage.channels, width)
            for position, layer in enumerate(self.stage_codes(arch, index)):
                kernel, expansion = (int(value) for value in self.kernel_and_expansion(np.array(layer)))
                stride = stage.stride if position == 0 else 1
                expanded = divisible(cin * expansion)
                blocks.append(block_spec(cin, cout, expanded, kernel, stride, stage.squeeze_excite, stage.activation))
                cin = cout
        return blocks

    def stage_codes(self, arch: Architecture, stage: int) -> list[int]:
        """Codes of the present positions of a stage, in order."""
        first = SHARED + stage * self.positions
        return [layer for layer in arch.code[first : first + self.positions] if layer]

    def spec(self, arch: Architecture, channels: int) -> dict[str, Any]:
        """`stem`, `blocks` and `final` of the spec of a `subnet.Subnet`."""
        blocks = self.block_specs(arch)
        width = arch.code[1]
        stem = self.channels(self.stem, width)
        final = self.channels(self.final, width)
        return {
            "stem": {"cin": channels, "cout": stem, "kernel": 3, "stride": self.stem_stride},
            "blocks": blocks,
            "final": {"cin": blocks[-1]["cout"], "cout": final},
        }


def block_spec(
    cin: int, cout: int, expanded: int, kernel: int, stride: int, squeeze_excite: bool, activation: str
) -> dict[str, Any]:
    """Arguments of `subnet.Block`."""
    squeezed = divisible(expanded // 4) if squeeze_excite else 0
    return {
        "cin": cin, "cout": cout, "expanded": expanded, "kernel": kernel, "stride": stride, "squeezed": squeezed,
        "activation": activation,
    }  # fmt: skip


class ElasticBlock(nn.Module):
    """An inverted residual of which kernel and expansion are arguments; expand, depthwise, excite, project."""

    def __init__(self, cin: int, cout: int, family: MobileNetV3, stage: Stage, stride: int) -> None:
        super().__init__()
        largest = divisible(cin * family.expansions[-1])
        self.expand = ElasticConvNorm(cin, largest)
        self.depthwise = ElasticConvNorm(largest, largest, family.kernels, stride, depthwise=True)
        self.squeeze_excite = ElasticSqueezeExcite(largest, divisible(largest // 4)) if stage.squeeze_excite else None
        self.project = ElasticConvNorm(largest, cout)
        self.act = subnet.ACTIVATIONS[stage.activation]()
        self.skip = stride == 1 and cin == cout

    def forward(self, x: Tensor, spec: dict[str, Any]) -> Tensor:
        y = self.act(self.expand(x, spec["expanded"]))
        y = self.act(self.depthwise(y, spec["expanded"], spec["kernel"]))
        if self.squeeze_excite is not None:
            y = self.squeeze_excite(y, spec["squeezed"])
        y = self.project(y)
        return x + y if self.skip else y

    def extract(self, plain: subnet.Block) -> None:
        """Copy the slices that have the plain block's shapes into it."""
        for name in ("expand", "depthwise", "squeeze_excite", "project"):
            elastic = getattr(self, name)
            if elastic is not None:
                elastic.extract(getattr(plain, name))


class FixedBlock(nn.Module):
    """The 3x3 expand-1 block after the stem, the same in every architecture."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = ElasticConvNorm(channels, channels, (3,), depthwise=True)
        self.project = ElasticConvNorm(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.project(nn.functional.relu(self.depthwise(x)))

    def extract(self, plain: subnet.Block) -> None:
        """Copy the weights into the plain block."""
        self.depthwise.extract(plain.depthwise)  # type: ignore[arg-type]
        self.project.extract(plain.project)  # type: ignore[arg-type]


class Body(nn.Module):
    """The backbone of one width: everything but the head.

    Args:
        family: what it is made of.
        width: code of the width multiplier.
        channels: of the input images.
    """

    def __init__(self, family: MobileNetV3, width: int, channels: int) -> None:
        super().__init__()
        self.family = family
        cin = family.channels(family.stem, width)
        self.stem = ElasticConvNorm(channels, cin, (3,), family.stem_stride)
        self.fixed = FixedBlock(cin) if family.fixed_block else None
        stages = []
        for stage in family.stages:
            cout = family.channels(stage.channels, width)
            blocks = []
            for position in range(family.positions):
                blocks.append(ElasticBlock(cin, cout, family, stage, stage.stride if position == 0 else 1))
                cin = cout
            stages.append(nn.ModuleList(blocks))
        self.stages = nn.ModuleList(stages)
        self.final = ElasticConvNorm(cin, family.channels(family.final, width))
        self.act = nn.Hardswish()

    def present(self, arch: Architecture) -> list[list[ElasticBlock]]:
        """The blocks that the architecture has, by stage: the first ones of each."""
        stages = cast(list[nn.ModuleList], self.stages)
        depths = [len(self.family.stage_codes(arch, index)) for index in range(len(stages))]
        return [cast(list[ElasticBlock], list(stage[:n])) for stage, n in zip(stages, depths, strict=True)]

    def features(self, images: Tensor, arch: Architecture) -> list[Tensor]:
        """Feature maps by scale: one after each stage, then the last convolution's, which classification reads.

        Args:
            images: normalised, `(n, channels, r, r)` with r the architecture's resolution.
        """
        specs = iter(self.family.block_specs(arch))
        x = self.act(self.stem(images))
        if self.fixed is not None:
            next(specs)
            x = self.fixed(x)
        maps = []
        for stage in self.present(arch):
            for block in stage:
                x = block(x, next(specs))
            maps.append(x)
        maps.append(self.act(self.final(x)))
        return maps

    def extract(self, plain: subnet.Subnet, arch: Architecture) -> None:
        """Copy the architecture's slices into the body of a plain network of its spec."""
        self.stem.extract(plain.stem)  # type: ignore[arg-type]
        blocks = iter(plain.blocks)
        if self.fixed is not None:
            self.fixed.extract(next(blocks))  # type: ignore[arg-type]
        for stage in self.present(arch):
            for block in stage:
                block.extract(next(blocks))  # type: ignore[arg-type]
        self.final.extract(plain.final)  # type: ignore[arg-type]


def divisible(value: float, divisor: int = 8) -> int:
    """The nearest multiple of `divisor`, never more than 10% below `value` (MobileNet's rule)."""
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


def divisible_each(values: Ints) -> Ints:
    """`divisible` of every entry."""
    rounded = np.maximum(8, (values + 4) // 8 * 8)
    return np.where(rounded < 0.9 * values, rounded + 8, rounded)


OFA_STAGES = (
    Stage(24, 2, "relu", False, 2),
    Stage(40, 2, "relu", True, 2),
    Stage(80, 2, "h_swish", False, 2),
    Stage(112, 1, "h_swish", True, 2),
    Stage(160, 2, "h_swish", True, 2),
)


def ofa(name: str, width_codes: tuple[int, int]) -> MobileNetV3:
    """The supernets of Once-for-All and NAT: 17 resolutions, widths 1.0 and 1.2, 5 stages of 2 to 4 blocks."""
    return MobileNetV3(
        name=name,
        resolutions=tuple(range(192, 257, 4)),
        widths=(1.0, 1.2),
        width_codes=width_codes,
        stem=16,
        stem_stride=2,
        fixed_block=True,
        stages=OFA_STAGES,
        kernels=(3, 5, 7),
        expansions=(3, 4, 6),
        positions=4,
        final=960,
        mixed=1280,
    )


def mini(resolutions: tuple[int, ...]) -> MobileNetV3:
    """A supernet for images of 8 to 40 px: 3 stages of 1 to 4 blocks, at most 12 M multiply-adds at 32 px."""
    return MobileNetV3(
        name="mini",
        resolutions=resolutions,
        widths=(1.0,),
        width_codes=(0, 0),
        stem=16,
        stem_stride=1,
        fixed_block=False,
        stages=(
            Stage(16, 2, "relu", False, 1),
            Stage(32, 2, "h_swish", True, 1),
            Stage(80, 2, "h_swish", True, 1),
        ),
        kernels=(3, 5),
        expansions=(2, 3, 4),
        positions=4,
        final=320,
        mixed=256,
    )
