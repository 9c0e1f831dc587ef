#!/bin/sh
# torch 2.13.0 on a CPU with AVX2 (oneDNN): the weight gradient of a depthwise convolution jumps from kernel 3 to 5.
#
# A 5 x 5 kernel has 2.8 times the multiply-adds of a 3 x 3 one, a 7 x 7 one 5.4 times. Forward they take 1.4 to 3.3 times
# as long; their weight gradients 8 to 35 times (96 channels, 32 maps of 8 x 8, one thread, twice). So multiply-adds, and
# times of inference, say little of what large kernels cost in training, as in a supernet that draws
# kernels of 3, 5 and 7.
#
# Seen, weight gradients over those of kernel 3: kernel 5 about 8 (channels last) and 17 to 21 (first), kernel 7 15 to 21
# and 34 to 35. It fails where one of them is below 4.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6
"$work/venv/bin/python" - <<'PY'
import time

import torch

torch.set_num_threads(1)
LAYOUTS = {"channels first": torch.contiguous_format, "channels last": torch.channels_last}


def seconds(kernel: int, layout: torch.memory_format) -> tuple[float, float]:
    """Shortest forward and weight gradient out of 20."""
    x = torch.randn(32, 96, 8, 8).contiguous(memory_format=layout)
    weight = torch.randn(96, 1, kernel, kernel, requires_grad=True)
    forward, backward = [], []
    for _ in range(20):
        begun = time.perf_counter()
        y = torch.nn.functional.conv2d(x, weight, padding=kernel // 2, groups=96)
        forward.append(time.perf_counter() - begun)
        gradient = torch.ones_like(y)
        begun = time.perf_counter()
        y.backward(gradient, inputs=[weight])
        backward.append(time.perf_counter() - begun)
    return min(forward), min(backward)


for name, layout in LAYOUTS.items():
    times = {kernel: seconds(kernel, layout) for kernel in (3, 5, 7)}
    for kernel in (5, 7):
        ratios = [times[kernel][part] / times[3][part] for part in (0, 1)]
        print(f"{name}, kernel {kernel} over 3: forward {ratios[0]:.1f}, weight gradient {ratios[1]:.1f}")
        assert ratios[1] > 4, "the weight gradient no longer jumps"
PY
