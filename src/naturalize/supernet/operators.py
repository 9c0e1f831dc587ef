"""Elastic operators: one set of weights, of which each architecture uses a slice.

Each has two verbs, `forward` for training and `extract` for a plain module. Both read the same `slice`, so they cannot
disagree. Nothing is ever "active": what to use is an argument of the call.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from naturalize.supernet import subnet

COLUMNS = 3  # columns of a kernel up to which oneDNN's gradient of depthwise weights is quick


class ConvNormSlice(NamedTuple):
    """The part of an elastic convolution and its batch norm that one architecture uses."""

    weight: Tensor
    gamma: Tensor
    beta: Tensor
    mean: Tensor
    var: Tensor


class ElasticConvNorm(nn.Module):
    """Convolution, batch norm and activation with elastic channels and kernel.

    A slice has the first channels; a smaller kernel is the centre of the next larger one through a learned linear map,
    shared by all channels (Once-for-All, section 3.2). Statistics are the batch's in training mode and the stored ones
    in evaluation mode; neither changes the stored ones, and gradients flow in both.

    Options that compute different maps have statistics of their own, relative to those of the largest architecture,
    which are `running_mean` and `running_var`. Where asked, all but the largest also have offsets of their own to
    weights and beta, so that small networks can learn without a change of the largest one.

    Args:
        cin, cout: the largest numbers of channels.
        kernels: options, ascending.
        depthwise: one filter per channel; then `cout` equals `cin`.
        stride, activation, eps, same, skip: as of `subnet.ConvNorm`.
        options: number of options with statistics of their own; the last is the largest.
        offsets: input channels and kernel of the slices with an offset of their own, as many options sharing each;
            the largest slice has none. Nothing for none.
    """

    running_mean: Tensor
    running_var: Tensor
    mean_shift: Tensor
    var_factor: Tensor

    def __init__(
        self,
        cin: int,
        cout: int,
        kernels: Sequence[int] = (1,),
        stride: int = 1,
        depthwise: bool = False,
        activation: str = "none",
        eps: float = 1e-5,
        same: bool = False,
        skip: bool = False,
        options: int = 1,
        offsets: Sequence[tuple[int, int]] = (),
    ) -> None:
        super().__init__()
        self.kernels = tuple(kernels)
        self.stride = stride
        self.depthwise = depthwise
        self.activation = subnet.ACTIVATIONS[activation]()
        self.eps = eps
        self.same = same and stride > 1
        self.skip = skip
        largest = self.kernels[-1]
        self.weight = nn.Parameter(torch.empty(cout, 1 if depthwise else cin, largest, largest))
        nn.init.kaiming_normal_(self.weight, mode="fan_out" if not depthwise else "fan_in")
        self.maps = nn.ParameterDict(
            {f"{large}to{small}": torch.eye(small * small) for small, large in pairwise(self.kernels)}
        )
        self.gamma = nn.Parameter(torch.ones(cout))
        self.beta = nn.Parameter(torch.zeros(cout))
        self.register_buffer("running_mean", torch.zeros(cout))
        self.register_buffer("running_var", torch.ones(cout))
        self.register_buffer("mean_shift", torch.zeros(options, cout))
        self.register_buffer("var_factor", torch.ones(options, cout))
        self.offsets = nn.ParameterList(
            torch.zeros(cout, 1 if depthwise else channels, kernel, kernel) for channels, kernel in offsets
        )
        self.shifts = nn.Parameter(torch.zeros(options - 1, cout)) if offsets else None

    def slice(self, cin: int, cout: int, kernel: int, option: int = -1) -> ConvNormSlice:
        """Weights of the first `cin` input and `cout` output channels for one kernel size, statistics of an option."""
        weight = self.weight[:cout] if self.depthwise else self.weight[:cout, :cin]
        for large, small in pairwise(self.kernels[::-1]):
            if large <= kernel:
                break
            edge = (large - small) // 2
            centre = weight[:, :, edge:-edge, edge:-edge].flatten(2)
            weight = F.linear(centre, self.maps[f"{large}to{small}"]).view(*centre.shape[:2], small, small)
        mean, var = self.running_mean + self.mean_shift[option], self.running_var * self.var_factor[option]
        beta: Tensor = self.beta
        option %= len(self.mean_shift)
        if self.shifts is not None and option < len(self.shifts):
            beta = beta + self.shifts[option]
        if (offset := self.offset(option)) is not None:
            weight = weight + offset[:cout]
        return ConvNormSlice(weight, self.gamma[:cout], beta[:cout], mean[:cout], var[:cout])

    def offset(self, option: int) -> Tensor | None:
        """The offset of an option's weights; None where it has none."""
        number = option * (len(self.offsets) + 1) // len(self.mean_shift)
        return self.offsets[number] if number < len(self.offsets) else None

    def forward(self, x: Tensor, cout: int, kernel: int, option: int = -1) -> Tensor:
        part = self.slice(x.shape[1], cout, kernel, option)
        y = self.activated(self.convolved(x, part.weight), part)
        return x + y if self.skip else y

    def convolved(self, x: Tensor, weight: Tensor) -> Tensor:
        """The convolution alone, with the weight of a slice."""
        kernel = weight.shape[-1]
        y = subnet.pad_same(x, kernel, self.stride) if self.same else x
        return convolution(y, weight, self.stride, 0 if self.same else kernel // 2, self.depthwise)

    def activated(self, y: Tensor, part: ConvNormSlice) -> Tensor:
        """Batch norm and activation of the convolution's output."""
        mean, var = (None, None) if self.training else (part.mean, part.var)
        y = F.batch_norm(y, mean, var, part.gamma, part.beta, training=self.training, eps=self.eps)
        return cast(Tensor, self.activation(y))

    @torch.no_grad()
    def reorder(self, order: Tensor) -> None:
        """Put the output channels in another order."""
        for tensor in (self.weight, self.gamma, self.beta, self.running_mean, self.running_var, *self.offsets):
            tensor.copy_(tensor[order])
        for table in (self.mean_shift, self.var_factor, self.shifts):
            if table is not None:
                table.copy_(table[:, order])

    def extract(self, plain: subnet.ConvNorm, option: int = -1) -> None:
        """Copy the slice that has the plain module's shape into it."""
        conv, norm = plain.conv, plain.norm
        part = self.slice(conv.in_channels, conv.out_channels, conv.kernel_size[0], option)
        conv.weight = own(part.weight)
        norm.weight, norm.bias = own(part.gamma), own(part.beta)
        norm.running_mean, norm.running_var = part.mean.detach().clone(), part.var.detach().clone()
        norm.num_batches_tracked = torch.zeros((), dtype=torch.long)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Load weights; options without statistics have the largest architecture's, and without offsets 0.

        Those of an older naturalize have one row of statistics where depths have some of their own by now.
        """
        own = {"mean_shift": self.mean_shift, "var_factor": self.var_factor, "shifts": self.shifts}
        own |= {f"offsets.{number}": offset for number, offset in enumerate(self.offsets)}
        for name, tensor in own.items():
            key = f"{prefix}{name}"
            if tensor is not None and key not in state_dict:
                state_dict[key] = torch.full_like(tensor, float(name == "var_factor"))
            elif tensor is not None and len(state_dict[key]) == 1:
                state_dict[key] = state_dict[key].expand_as(tensor)
        super()._load_from_state_dict(state_dict, prefix, *rest)


def convolution(x: Tensor, weight: Tensor, stride: int, padding: int, depthwise: bool) -> Tensor:
    """A convolution, zero-padded on all sides.

    On a map smaller than a depthwise kernel oneDNN's backward takes a reference path, 2 to 12 times slower.
    There the kernel is cropped to what can touch the map, and the map is padded beforehand; the result is the same.
    """
    side, kernel = x.shape[-1], weight.shape[-1]
    if not depthwise:
        return F.conv2d(x, weight, None, stride, padding)
    if side < kernel:
        edge = max(0, padding - (side - 1))
        weight = weight[:, :, edge : kernel - edge, edge : kernel - edge]
        x, padding = F.pad(x, [padding - edge] * 4), 0
    if stride == 1 and weight.shape[-1] > COLUMNS and x.device.type == "cpu":
        if torch.is_autocast_enabled("cpu"):  # which casts for torch's convolutions, and not for custom functions
            x, weight = (tensor.to(torch.get_autocast_dtype("cpu")) for tensor in (x, weight))
        return cast(Tensor, DepthwiseConv.apply(x, weight, padding))
    return F.conv2d(x, weight, None, stride, padding, groups=len(weight))


class DepthwiseConv(torch.autograd.Function):
    """A depthwise convolution of stride 1 on a CPU, for wide kernels.

    For each column of the gradient of such weights, oneDNN takes several times as long as for those of three columns.
    So the gradient is put together from gradients of three columns each; the sums are the same.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, padding: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.padding = padding
        return F.conv2d(x, weight, None, 1, padding, groups=len(weight))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor, None]:
        x, weight = ctx.saved_tensors
        padding, kernel, channels = ctx.padding, weight.shape[-1], len(weight)

        def gradients(grad: Tensor, x: Tensor, weight: Tensor, columns: int, wanted: list[bool]) -> list[Tensor]:
            """Gradients by the map and by the weights, of a convolution with so many columns of padding."""
            geometry: tuple[Any, ...] = [1, 1], [padding, columns], [1, 1], False, [0, 0], channels
            return torch.ops.aten.convolution_backward(grad, x, weight, None, *geometry, [*wanted, False])

        grad_x = gradients(grad, x, weight, padding, [True, False])[0] if ctx.needs_input_grad[0] else None
        padded = F.pad(x, [padding, padding, 0, 0]) if padding else x
        parts = weight.new_empty(weight.shape)
        spare = kernel - COLUMNS
        for left in range(0, spare + 1, COLUMNS - 1):
            columns = slice(left, left + COLUMNS)
            shifted = F.pad(grad, [left, spare - left, 0, 0])
            parts[..., columns] = gradients(shifted, padded, weight[..., columns], 0, [False, True])[1]
        return grad_x, parts, None


class ElasticSqueezeExcite(nn.Module):
    """Squeeze-and-excite over the first channels; the squeezed width follows them."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, squeezed, 1)
        self.expand = nn.Conv2d(squeezed, channels, 1)

    def slice(self, channels: int, squeezed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Weight and bias of the reducing, then of the expanding convolution."""
        return (
            self.reduce.weight[:squeezed, :channels],
            self.reduce.bias[:squeezed],  # type: ignore[index]
            self.expand.weight[:channels, :squeezed],
            self.expand.bias[:channels],  # type: ignore[index]
        )

    def forward(self, x: Tensor, squeezed: int) -> Tensor:
        reduce, reduce_bias, expand, expand_bias = self.slice(x.shape[1], squeezed)
        gate = x.mean((2, 3), keepdim=True)
        gate = F.conv2d(F.relu(F.conv2d(gate, reduce, reduce_bias)), expand, expand_bias)
        return x * F.hardsigmoid(gate)

    def sort_channels(self, order: Tensor) -> None:
        """Reorder the channels, and the squeezed ones by the L1 norm of the weights that expand them."""
        self.reduce.weight.copy_(self.reduce.weight[:, order])
        self.expand.weight.copy_(self.expand.weight[order])
        self.expand.bias.copy_(self.expand.bias[order])  # type: ignore[union-attr, index]
        squeezed = self.expand.weight.abs().sum((0, 2, 3)).argsort(descending=True, stable=True)
        self.expand.weight.copy_(self.expand.weight[:, squeezed])
        self.reduce.weight.copy_(self.reduce.weight[squeezed])
        self.reduce.bias.copy_(self.reduce.bias[squeezed])  # type: ignore[union-attr, index]

    def extract(self, plain: subnet.SqueezeExcite) -> None:
        """Copy the slice that has the plain module's shape into it."""
        part = self.slice(plain.reduce.in_channels, plain.reduce.out_channels)
        plain.reduce.weight, plain.reduce.bias, plain.expand.weight, plain.expand.bias = map(own, part)


def own(tensor: Tensor) -> nn.Parameter:
    """A parameter with memory of its own: a slice of shared weights would drag the whole supernet into a file."""
    return nn.Parameter(tensor.detach().clone(memory_format=torch.contiguous_format))
