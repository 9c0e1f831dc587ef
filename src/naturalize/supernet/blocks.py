"""Elastic layers of bodies. Each takes its spec, an entry of a plain network's spec, as the argument that shapes it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from naturalize.supernet import subnet
from naturalize.supernet.layers import divisible
from naturalize.supernet.operators import ElasticConvNorm, ElasticSqueezeExcite

Spec = dict[str, Any]


class ElasticConv(ElasticConvNorm):
    """Convolution, batch norm, activation: `subnet.ConvNorm`."""

    def forward(self, x: Tensor, spec: Spec) -> Tensor:  # type: ignore[override]
        return super().forward(x, spec["cout"], spec["kernel"])


class ElasticInvertedResidual(nn.Module):
    """`subnet.InvertedResidual` of which kernel and expansion are elastic: expand, depthwise, excite, project.

    Args:
        expanded: channels at the largest expansion; equal to `cin` for a block that never expands.
        kernels: options, ascending.
    """

    def __init__(
        self,
        cin: int,
        cout: int,
        expanded: int,
        kernels: tuple[int, ...],
        stride: int,
        squeeze_excite: bool,
        activation: str,
        eps: float,
        same: bool,
    ) -> None:
        super().__init__()
        shared: Spec = {"eps": eps, "same": same}
        self.expand = ElasticConvNorm(cin, expanded, activation=activation, **shared) if expanded != cin else None
        self.depthwise = ElasticConvNorm(expanded, expanded, kernels, stride, True, activation, **shared)
        self.squeeze_excite = ElasticSqueezeExcite(expanded, divisible(expanded // 4)) if squeeze_excite else None
        self.project = ElasticConvNorm(expanded, cout, **shared)
        self.skip = stride == 1 and cin == cout

    def forward(self, x: Tensor, spec: Spec) -> Tensor:
        y = self.expand(x, spec["expanded"], 1) if self.expand is not None else x
        y = self.depthwise(y, spec["expanded"], spec["kernel"])
        if self.squeeze_excite is not None:
            y = self.squeeze_excite(y, spec["squeezed"])
        y = self.project(y, spec["cout"], 1)
        return x + y if self.skip else y

    def extract(self, plain: subnet.InvertedResidual) -> None:
        """Copy the slices that have the plain block's shapes into it."""
        extract_each(self, plain, ("expand", "depthwise", "squeeze_excite", "project"))

    def sort_channels(self) -> None:
        """Order the expanded channels by the L1 norm of the weights that project them (Once-for-All, section 3.3)."""
        self.reorder(self.project.weight.abs().sum((0, 2, 3)).argsort(descending=True, stable=True))

    @torch.no_grad()
    def reorder(self, order: Tensor) -> None:
        """Put the expanded channels in another order, of which smaller expansions keep the first ones.

        The largest architecture computes the same as before. A block that does not expand has the channels of its
        input, which stay where they are.
        """
        if self.expand is None:
            return
        self.project.weight.copy_(self.project.weight[:, order])
        for operator in (self.depthwise, self.expand):
            for tensor in (operator.weight, *operator.norm_tensors()):
                tensor.copy_(tensor[order])
        if self.squeeze_excite is not None:
            self.squeeze_excite.sort_channels(order)


class ElasticBottleneck(nn.Module):
    """`subnet.Bottleneck` of which all channels are elastic: reduce, 3x3 convolution, expand; shortcut.

    Args:
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

    def forward(self, x: Tensor, spec: Spec) -> Tensor:
        y = self.reduce(x, spec["squeezed"], 1)
        y = self.conv(y, spec["squeezed"], 3)
        y = self.expand(y, spec["cout"], 1)
        x = self.pool(x)
        if self.shortcut is not None:
            x = self.shortcut(x, spec["cout"], 1)
        return self.activation(x + y)

    def extract(self, plain: subnet.Bottleneck) -> None:
        """Copy the slices that have the plain block's shapes into it."""
        extract_each(self, plain, ("reduce", "conv", "expand", "shortcut"))

    @torch.no_grad()
    def sort_channels(self) -> None:
        """Order the inner channels by importance, those of the 3x3 convolution's output first, then of its input."""
        for after, before in ((self.expand, self.conv), (self.conv, self.reduce)):
            order = after.weight.abs().sum((0, 2, 3)).argsort(descending=True, stable=True)
            after.weight.copy_(after.weight[:, order])
            for tensor in (before.weight, *before.norm_tensors()):
                tensor.copy_(tensor[order])


class MaxPool(subnet.MaxPool):
    """`subnet.MaxPool`: nothing of it is elastic."""

    def forward(self, x: Tensor, spec: Spec) -> Tensor:  # type: ignore[override]
        return super().forward(x)

    def extract(self, plain: subnet.MaxPool) -> None:
        """Nothing to copy."""


def extract_each(elastic: nn.Module, plain: nn.Module, names: tuple[str, ...]) -> None:
    """Extract the operators of an elastic layer into those of the same name, but for those that it does not have."""
    for name in names:
        operator = getattr(elastic, name)
        if operator is not None:
            operator.extract(getattr(plain, name))
