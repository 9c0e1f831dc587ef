"""Elastic layers of bodies. Each takes its spec, an entry of a plain network's spec, as the argument that shapes it."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from naturalize.supernet import subnet
from naturalize.supernet.layers import divisible
from naturalize.supernet.operators import ElasticConvNorm, ElasticSqueezeExcite

Spec = dict[str, Any]


class ElasticConv(ElasticConvNorm):
    """Convolution, batch norm, activation: `subnet.ConvNorm`."""

    def forward(self, x: Tensor, spec: Spec, option: int = -1) -> Tensor:  # type: ignore[override]
        return super().forward(x, spec["cout"], spec["kernel"], option)


class ElasticInvertedResidual(nn.Module):
    """`subnet.InvertedResidual` with elastic kernel and expansion: expand, depthwise, excite, project.

    Args:
        cin, cout, stride, activation, eps, same: as of `subnet.InvertedResidual`.
        expanded: channels by expansion, ascending; `cin` alone for a block that never expands.
        kernels: options, ascending.
        squeeze_excite: whether the block has one.
        depths: number of depths that the stage before may have, where this block is the first of its own.
        offsets: whether smaller options have offsets of their own.
    """

    def __init__(
        self,
        cin: int,
        cout: int,
        expanded: tuple[int, ...],
        kernels: tuple[int, ...],
        stride: int,
        squeeze_excite: bool,
        activation: str,
        eps: float,
        same: bool,
        depths: int = 1,
        offsets: bool = False,
    ) -> None:
        super().__init__()
        shared: Spec = {"eps": eps, "same": same}
        widest = expanded[-1]
        self.kernels, self.expanded = kernels, expanded
        by_depth, by_kernel, by_expansion = (
            (each if offsets else [])
            for each in ([(cin, 1)] * (depths - 1), [(1, k) for k in kernels[:-1]], [(c, 1) for c in expanded[:-1]])
        )
        self.expand = (
            ElasticConvNorm(cin, widest, activation=activation, **shared, options=depths, offsets=by_depth)
            if expanded != (cin,)
            else None
        )
        self.depthwise = ElasticConvNorm(
            widest, widest, kernels, stride, True, activation, **shared, options=len(kernels), offsets=by_kernel
        )
        self.squeeze_excite = ElasticSqueezeExcite(widest, divisible(widest // 4)) if squeeze_excite else None
        self.project = ElasticConvNorm(
            widest, cout, **shared, options=len(kernels) * len(expanded), offsets=by_expansion
        )
        self.skip = stride == 1 and cin == cout

    def options(self, expanded: int, kernel: int) -> tuple[int, int]:
        """Options of the depthwise and the projecting operator: statistics of the latter differ by expansion too."""
        by_kernel = self.kernels.index(kernel)
        return by_kernel, self.expanded.index(expanded) * len(self.kernels) + by_kernel

    def forward(self, x: Tensor, spec: Spec, option: int = -1) -> Tensor:
        by_kernel, by_both = self.options(spec["expanded"], spec["kernel"])
        y = self.expand(x, spec["expanded"], 1, option) if self.expand is not None else x
        y = self.depthwise(y, spec["expanded"], spec["kernel"], by_kernel)
        if self.squeeze_excite is not None:
            y = self.squeeze_excite(y, spec["squeezed"])
        y = self.project(y, spec["cout"], 1, by_both)
        return x + y if self.skip else y

    def extract(self, plain: subnet.InvertedResidual, option: int = -1) -> None:
        """Copy the slices that have the plain block's shapes into it."""
        conv = cast(subnet.ConvNorm, plain.depthwise).conv
        by_kernel, by_both = self.options(conv.out_channels, conv.kernel_size[0])
        options = {"expand": option, "depthwise": by_kernel, "project": by_both}
        extract_each(self, plain, options)
        if self.squeeze_excite is not None:
            self.squeeze_excite.extract(cast(subnet.SqueezeExcite, plain.squeeze_excite))

    def sort_channels(self) -> None:
        """Order the expanded channels by the L1 norm of the weights that project them (Once-for-All, section 3.3)."""
        self.reorder(self.project.weight.abs().sum((0, 2, 3)).argsort(descending=True, stable=True))

    @torch.no_grad()
    def reorder(self, order: Tensor) -> None:
        """Put the expanded channels in another order; smaller expansions keep the first ones.

        The largest architecture computes the same as before. Offsets of fewer channels were for those channels, and
        begin anew. A block that does not expand has the channels of its input, which stay where they are.
        """
        if self.expand is None:
            return
        self.project.weight.copy_(self.project.weight[:, order])
        for offset in self.project.offsets:
            offset.zero_()
        self.depthwise.reorder(order)
        self.expand.reorder(order)
        if self.squeeze_excite is not None:
            self.squeeze_excite.sort_channels(order)


class ElasticBottleneck(nn.Module):
    """`subnet.Bottleneck` with elastic channels everywhere: reduce, 3x3 convolution, expand; shortcut.

    Args:
        cin, cout, stride: as of `subnet.Bottleneck`; the largest numbers of channels.
        squeezed: channels of the 3x3 convolution at the largest expansion.
        projected: whether the shortcut is a projection.
    """

    def __init__(self, cin: int, cout: int, squeezed: int, stride: int, projected: bool) -> None:
        super().__init__()
        self.reduce = ElasticConvNorm(cin, squeezed, activation="relu")
        self.conv = ElasticConvNorm(squeezed, squeezed, (3,), stride, activation="relu")
        self.expand = ElasticConvNorm(squeezed, cout)
        self.pool = nn.AvgPool2d(stride, ceil_mode=True) if stride > 1 else nn.Identity()
        self.shortcut = ElasticConvNorm(cin, cout) if projected else None
        self.activation = nn.ReLU()

    def forward(self, x: Tensor, spec: Spec, option: int = -1) -> Tensor:
        y = self.reduce(x, spec["squeezed"], 1)
        y = self.conv(y, spec["squeezed"], 3)
        y = self.expand(y, spec["cout"], 1)
        x = self.pool(x)
        if self.shortcut is not None:
            x = self.shortcut(x, spec["cout"], 1)
        return self.activation(x + y)

    def extract(self, plain: subnet.Bottleneck, option: int = -1) -> None:
        """Copy the slices that have the plain block's shapes into it."""
        extract_each(self, plain, dict.fromkeys(("reduce", "conv", "expand", "shortcut"), -1))

    @torch.no_grad()
    def sort_channels(self) -> None:
        """Order the inner channels by importance, those of the 3x3 convolution's output first, then of its input."""
        for after, before in ((self.expand, self.conv), (self.conv, self.reduce)):
            order = after.weight.abs().sum((0, 2, 3)).argsort(descending=True, stable=True)
            after.weight.copy_(after.weight[:, order])
            before.reorder(order)


class MaxPool(subnet.MaxPool):
    """`subnet.MaxPool`: nothing of it is elastic."""

    def forward(self, x: Tensor, spec: Spec, option: int = -1) -> Tensor:  # type: ignore[override]
        return super().forward(x)

    def extract(self, plain: subnet.MaxPool, option: int = -1) -> None:
        """Nothing to copy."""


def extract_each(elastic: nn.Module, plain: nn.Module, options: dict[str, int]) -> None:
    """Extract each convolution that an elastic layer has into the plain layer, with its option."""
    for name, option in options.items():
        operator: ElasticConvNorm | None = getattr(elastic, name)
        if operator is not None:
            operator.extract(getattr(plain, name), option)
