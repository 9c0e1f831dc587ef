"""What small networks keep of the largest one, in closed form: channels in order, offsets and statistics of options.

Every option is fitted to what the largest network computes at its place on some pictures, by least squares, layer by
layer, as pruning does it (ThiNet, Luo et al., ICCV 2017; Optimal Brain Surgeon, Hassibi and Stork, NIPS 1992). The
largest network computes the same as before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional as F

from naturalize.supernet import Body, Subnet, subnet
from naturalize.supernet.blocks import ElasticInvertedResidual
from naturalize.supernet.operators import ElasticConvNorm

PIXELS = 32_768  # pixels of the maps of one channel that are looked at
KERNEL_SHARE = 8  # of which a kernel's nine weights need no more than one part
TINY, MOST_FACTOR = 1e-5, 20.0  # variances below the one, and factors above the other, are meaningless
RIDGE = 0.02  # share of the mean variance that keeps weights near what they were, where pictures tell nothing
ROUNDS = 40  # in which the channels of a block are taken away


@torch.no_grad()
def reconstruct(body: Body, network: Subnet, pixels: Tensor) -> None:
    """Fit every option of a body's layers to the body's largest network.

    Args:
        body: of inverted residuals; changed in place. Its largest network computes the same as before.
        network: the largest network with the statistics that it is deployed with, in evaluation mode.
        pixels: `(n, channels, r, r)`, 0..255, on the network's device.
    """
    x = network.normalize(pixels)
    depths = [x]  # what leaves each block of a stage
    for layer, plain in zip(body.layers, network.layers, strict=True):
        entry = layer.expand if isinstance(layer, ElasticInvertedResidual) else layer
        some = slice(None, None, -(-x[:, 0].numel() // PIXELS))  # early maps are large and alike
        if isinstance(entry, ElasticConvNorm):
            fit_entry(entry, [maps[some] for maps in depths])
        if isinstance(layer, ElasticInvertedResidual):
            fit_block(layer, cast(subnet.InvertedResidual, plain), x[some])
        x = plain(x)
        depths = [*depths, x] if getattr(layer, "skip", False) else [x]


def fit_entry(operator: ElasticConvNorm, depths: Sequence[Tensor]) -> None:
    """Fit the options of a stage's first convolution: one for each depth of the stage before.

    Args:
        operator: changed in place.
        depths: what leaves each block of the stage before, `(n, channels, r, r)`, the last that of all of them.
    """
    options = len(operator.mean_shift)
    if options == 1:
        return
    *fewer, every = (by_pixel(maps) for maps in depths[-options:])
    weight = operator.weight.flatten(1)
    whole = projected(weight, *spread(every))
    for option, inputs in enumerate(fewer):
        mean, covariance = spread(inputs)
        own = weight
        if operator.offsets:
            own = fit_offset(operator, option, covariance, weight @ together(every, inputs))
        set_option(operator, option, projected(own, mean, covariance), whole)


def fit_block(block: ElasticInvertedResidual, plain: subnet.InvertedResidual, x: Tensor) -> None:
    """Put the channels of a block in order, and fit its kernels and expansions.

    Args:
        block: changed in place.
        plain: the block as the largest network has it.
        x: its input map, `(n, channels, r, r)`.
    """
    x = plain.expand(x)
    depthwise, project, channels, largest = block.depthwise, block.project, x.shape[1], block.kernels[-1]
    whole = depthwise.convolved(x, depthwise.slice(1, channels, largest).weight)
    of_whole, seen = moments(whole), {}
    for option, kernel in enumerate(block.kernels):
        maps = whole
        if kernel < largest:
            if depthwise.offsets:
                fit_kernel(depthwise, option, kernel, x, whole)
            maps = depthwise.convolved(x, depthwise.slice(1, channels, kernel, option).weight)
            set_option(depthwise, option, moments(maps), of_whole)
        maps = depthwise.activated(maps, depthwise.slice(1, channels, kernel, option))
        seen[kernel] = spread(by_pixel(plain.squeeze_excite(maps)))
    if block.expand is not None:
        order = by_contribution(project.weight.flatten(1), seen[largest][1], block.expanded[0])
        block.reorder(order)
        seen = {kernel: (mean[order], covariance[order][:, order]) for kernel, (mean, covariance) in seen.items()}
    weight = project.weight.flatten(1)
    wanted, of_whole = weight @ seen[largest][1], projected(weight, *seen[largest])
    for number, width in enumerate(block.expanded):
        own = weight[:, :width]
        if number < len(project.offsets):
            own = fit_offset(project, number, seen[largest][1][:width, :width], wanted[:, :width])
        for kernel, (mean, covariance) in seen.items():
            found = projected(own, mean[:width], covariance[:width, :width])
            set_option(project, block.options(width, kernel)[1], found, of_whole)


def fit_offset(operator: ElasticConvNorm, number: int, covariance: Tensor, target: Tensor) -> Tensor:
    """Fit one offset of a 1x1 convolution, so that it gives what is wanted.

    Args:
        operator: changed in place.
        number: of the offset.
        covariance, target: of its inputs, and of what is wanted with them: `(in, in)` and `(out, in)`.

    Returns:
        The weights with the offset, `(out, in)`.
    """
    weight = operator.weight.flatten(1)[:, : len(covariance)]
    own = least_squares(covariance, target, weight + operator.offsets[number].flatten(1))
    operator.offsets[number].copy_((own - weight)[:, :, None, None])
    return own


def fit_kernel(operator: ElasticConvNorm, option: int, kernel: int, x: Tensor, whole: Tensor) -> None:
    """Fit the offset of a smaller depthwise kernel, channel by channel, so that its map comes near a wanted one.

    Args:
        operator: depthwise; changed in place.
        option, kernel: number of the kernel's option, and its side.
        x, whole: its input map, and the map of the largest kernel.
    """
    channels = x.shape[1]
    some = slice(None, None, -(-whole[:, 0].numel() // (PIXELS // KERNEL_SHARE)))
    x, whole = x[some], whole[some]
    part = operator.slice(1, channels, kernel, option).weight
    padded = subnet.pad_same(x, kernel, operator.stride) if operator.same else F.pad(x, [kernel // 2] * 4)
    patches = padded.unfold(2, kernel, operator.stride).unfold(3, kernel, operator.stride)
    inputs = patches.movedim(1, 0).reshape(channels, -1, kernel * kernel)
    wanted = whole.movedim(1, 0).reshape(channels, -1, 1)
    own = least_squares(together(inputs, inputs), together(wanted, inputs), part.flatten(2))
    operator.offsets[option].add_(own.view_as(part) - part)


def least_squares(covariance: Tensor, target: Tensor, near: Tensor) -> Tensor:
    """Weights that take inputs, less their mean, to what is wanted, less its mean, and stay near others.

    Args:
        covariance: of the inputs, `(..., in, in)`.
        target: covariance of what is wanted with them, `(..., out, in)`.
        near: the other weights, `(..., out, in)`.

    Returns:
        `(..., out, in)`.
    """
    inputs = covariance.shape[-1]
    ridge = (RIDGE * covariance.double().diagonal(dim1=-2, dim2=-1).mean(-1) + TINY**2)[..., None, None]
    ridged = covariance.double() + ridge * torch.eye(inputs, dtype=torch.double, device=covariance.device)
    return torch.linalg.solve(ridged, (target.double() + ridge * near.double()).mT).mT.to(near)


def by_contribution(weight: Tensor, covariance: Tensor, least: int = 1) -> Tensor:
    """Order of channels, the most important first, so that a projection refitted to the first ones misses little.

    It is built from the end: of the channels left, those go whose loss costs least when the others are refitted, some
    at a time (Optimal Brain Surgeon, Hassibi and Stork, NIPS 1992).

    Args:
        weight: of the projection, `(out, channels)`.
        covariance: of its inputs, `(channels, channels)`.
        least: channels that are always kept, and put in order at once.

    Returns:
        `(channels,)`, a permutation.
    """
    channels, weight = len(covariance), weight.double()
    at_once = max(1, channels // ROUNDS)
    ridge = RIDGE * covariance.double().diagonal().mean()
    eye = torch.eye(channels, dtype=torch.double, device=covariance.device)
    inverse = torch.linalg.inv(covariance.double() + ridge * eye)
    left, gone = torch.arange(channels, device=covariance.device), list[Tensor]()
    while True:
        order = (weight.square().sum(0) / inverse.diagonal()).argsort(stable=True)
        if len(left) <= least:
            return torch.cat([*gone, left[order]]).flip(0)
        out, stay = order.tensor_split([min(at_once, len(left) - least)])
        gone.append(left[out])
        share = torch.linalg.solve(inverse[out][:, out], inverse[out])
        weight = (weight - weight[:, out] @ share)[:, stay]
        inverse = (inverse - inverse[:, out] @ share)[stay][:, stay]
        left = left[stay]


def by_pixel(maps: Tensor) -> Tensor:
    """Pixels `(n * r * r, channels)` of maps `(n, channels, r, r)`."""
    return maps.movedim(1, -1).flatten(0, 2)


def spread(values: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and covariance of values `(n, channels)`: `(channels,)` and `(channels, channels)`."""
    return values.mean(0), together(values, values)


def together(one: Tensor, other: Tensor) -> Tensor:
    """Covariance of values `(..., n, p)` and `(..., n, q)` of the same pixels: `(..., p, q)`."""
    apart = one - one.mean(-2, keepdim=True)  # of one is enough: it sums to 0, whatever the other's mean
    return apart.mT @ other / one.shape[-2]


def moments(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance by channel of maps `(n, channels, r, r)`: `(channels,)` each."""
    var, mean = torch.var_mean(maps, (0, 2, 3), correction=0)
    return mean, var


def projected(weight: Tensor, mean: Tensor, covariance: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance, `(out,)` each, of a projection `(out, in)` of inputs with this mean and covariance."""
    return weight @ mean, ((weight @ covariance) * weight).sum(1)


def set_option(
    operator: ElasticConvNorm, option: int, found: tuple[Tensor, Tensor], whole: tuple[Tensor, Tensor]
) -> None:
    """Set an option's statistics, so that its maps are normalised to what the largest architecture's are by its own.

    Args:
        operator: whose statistics are set.
        option: its number.
        found, whole: mean and variance, `(channels,)`, of the option's and the largest architecture's maps.
    """
    factor = ((found[1] + TINY) / (whole[1] + TINY)).clamp(1 / MOST_FACTOR, MOST_FACTOR)
    shift = found[0] - operator.running_mean - (whole[0] - operator.running_mean) * factor.sqrt()
    operator.var_factor[option] = factor
    operator.mean_shift[option] = shift
