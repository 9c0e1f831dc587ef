#!/bin/sh
# torch 2.13.0 (CPU, oneDNN): the gradient of depthwise weights costs several times as much a column in a kernel of 5 as
# in one of 3, and on maps smaller than the kernel it takes a path that is slower still.
#
# A depthwise 5x5 convolution has 2.8 times the weights of a 3x3 one. Its backward on 112 channels of 14x14 pixels should
# take at most about that much longer. Cutting the same gradient out of three-column ones (by shifting the map) takes
# less time and gives the same sums.
#
# Seen: see the last line that it prints; it fails where a 5x5 backward is no more than twice a 3x3 one.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6
"$work/venv/bin/python" - <<'PY'
import time

import torch

torch.set_num_threads(1)
aten = torch.ops.aten.convolution_backward


def seconds(kernel, side, channels=112, images=64):
    """Of the gradient of the weights, the least of several."""
    x = torch.randn(images, channels, side, side).contiguous(memory_format=torch.channels_last)
    grad = torch.randn_like(x)
    weight = torch.randn(channels, 1, kernel, kernel)
    least = float("inf")
    for _ in range(9):
        start = time.perf_counter()
        aten(grad, x, weight, None, [1, 1], [kernel // 2] * 2, [1, 1], False, [0, 0], channels, [False, True, False])
        least = min(least, time.perf_counter() - start)
    return least


three, five = seconds(3, 14), seconds(5, 14)
small = seconds(5, 3)
print(f"14x14: 3x3 {1e3 * three:.1f} ms, 5x5 {1e3 * five:.1f} ms ({five / three:.1f} times); 5x5 on 3x3 maps {1e3 * small:.1f} ms")
print(f"by weight and pixel: {five / 25 / (three / 9):.1f} times; on small maps {small / (25 * 9) / (three / (9 * 196)):.1f} times")
assert five > 2 * three
PY
