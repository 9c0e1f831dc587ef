#!/bin/sh
# executorch 1.5.1, torch 2.13.0+cpu: a batch that torch.export leaves open exports, lowers, and runs, up to some number.
#
# torch.export takes Dim("batch", min=1): any number of pictures. to_edge_transform_and_lower and to_executorch accept that
# program without a word. But memory is planned ahead, so there is a largest number, which nobody was asked for and nothing
# tells: more pictures end in a RuntimeError with a code. Dim("batch", min=1, max=64) sets it. Other formats that are made
# of the same program (OpenVINO, Core ML, torch's own) take any number.
#
# Seen: up to 12 pictures are right; 16 end in "set_inputs() for method forward failed with error 0x10".
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HOME="$work"
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet executorch==1.5.1 torch==2.13.0 torchao==0.18.0 numpy==2.4.6
"$work/venv/bin/python" - <<'PY'
import warnings

warnings.filterwarnings("ignore")
import torch
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.exir import to_edge_transform_and_lower
from executorch.runtime import Runtime

torch.manual_seed(0)
network = torch.nn.Sequential(
    torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(),
    torch.nn.Linear(8, 4),
).eval()
batch = torch.export.Dim("batch", min=1)
program = torch.export.export(network, (torch.rand(2, 3, 16, 16),), dynamic_shapes=({0: batch},))
lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()]).to_executorch()
method = Runtime.get().load_program(lowered.buffer).load_method("forward")
most = 0
for number in (1, 2, 4, 8, 12, 16, 17, 24, 32, 48, 64, 96, 128, 256, 512, 1024):
    pixels = torch.rand(number, 3, 16, 16)
    try:
        (told,) = method.execute((pixels,))
    except RuntimeError as error:
        print(f"{number} pictures: {str(error)[:100]}")
        break
    with torch.no_grad():
        assert torch.allclose(told, network(pixels), atol=1e-4), number
    most = number
print(f"right for up to {most} pictures")
assert 2 <= most < 1024, "any number of pictures runs now"
PY
