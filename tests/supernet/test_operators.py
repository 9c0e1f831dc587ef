"""Convolutions that take quicker ways than torch's: the same values, the same gradients."""

import pytest
import torch
from torch.nn import functional as F

from naturalize.supernet.operators import DepthwiseConv, convolution


@pytest.mark.parametrize("kernel", [3, 5, 7])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("side", [1, 2, 3, 4, 5, 8, 13])
def test_depthwise_values_and_gradients_are_those_of_torch(side, stride, kernel):
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(4, 16, side, side, generator=draw, requires_grad=True)
    weight = torch.randn(16, 1, kernel, kernel, generator=draw, requires_grad=True)
    ours = convolution(x.contiguous(memory_format=torch.channels_last), weight, stride, kernel // 2, depthwise=True)
    theirs = F.conv2d(x, weight, None, stride, kernel // 2, groups=16)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    grad = torch.randn(theirs.shape, generator=draw)
    for one, other in zip(
        torch.autograd.grad(ours, (x, weight), grad), torch.autograd.grad(theirs, (x, weight), grad), strict=True
    ):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize(("kernel", "padding"), [(5, 2), (5, 0), (7, 3), (7, 1)])
def test_gradients_of_wide_depthwise_kernels_are_differences(kernel, padding):
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, 9, 9, dtype=torch.double, generator=draw, requires_grad=True)
    weight = torch.randn(3, 1, kernel, kernel, dtype=torch.double, generator=draw, requires_grad=True)
    assert torch.autograd.gradcheck(lambda *inputs: DepthwiseConv.apply(*inputs, padding), (x, weight))


def test_pictures_that_need_no_gradient_get_none():
    x, weight = torch.randn(2, 8, 9, 9), torch.randn(8, 1, 5, 5, requires_grad=True)
    convolution(x, weight, 1, 2, depthwise=True).sum().backward()
    assert x.grad is None
    torch.testing.assert_close(weight.grad[:, 0, 2, 2], x.sum((0, 2, 3)), atol=1e-4, rtol=1e-5)
