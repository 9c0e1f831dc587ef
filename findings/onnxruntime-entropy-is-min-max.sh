#!/bin/sh
# onnxruntime 1.32.0, static quantisation: entropy calibration gives the ranges of min-max, to the digit.
#
# CalibrationMethod.Entropy is to choose, for each activation, the threshold whose 8-bit histogram loses least (KL
# divergence, as TensorRT does). It has 128 bins of values and 128 quantised bins by default, so that one candidate is
# left: the whole range. quantize_static passes on no option that changes either number. It takes longer, and that is all.
# Percentile, the third method, does clip. It wants batches of one size: where the last is smaller, NumPy raises
# ValueError on an inhomogeneous shape.
#
# Seen: 0 of the scales differ between MinMax and Entropy, some between MinMax and Percentile at 99; ValueError.
# It fails where entropy chooses another range, or where batches may differ.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6
cd "$work"
ORT_DISABLE_TELEMETRY=1 HOME="$work" "$work/venv/bin/python" - <<'PY'
import logging

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationMethod, quantize_static

logging.disable(logging.WARNING)
rng = np.random.default_rng(0)
weights = [rng.normal(size=shape).astype(np.float32) for shape in ((8, 3, 3, 3), (8, 8, 3, 3))]
nodes, x = [], "x"
for number in range(2):
    nodes.append(helper.make_node("Conv", [x, f"w{number}"], [f"c{number}"], pads=[1] * 4))
    nodes.append(helper.make_node("Relu", [f"c{number}"], [f"r{number}"]))
    x = f"r{number}"
shape = ["n", 3, 16, 16]
graph = helper.make_graph(
    nodes,
    "two convolutions",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
    [helper.make_tensor_value_info(x, TensorProto.FLOAT, ["n", 8, 16, 16])],
    [numpy_helper.from_array(weight, f"w{number}") for number, weight in enumerate(weights)],
)
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7), "float.onnx")


class Reader:
    def __init__(self, sizes):
        draw = np.random.default_rng(1)
        self.batches = iter([draw.standard_t(3, (size, 3, 16, 16)).astype(np.float32) for size in sizes])

    def get_next(self):
        batch = next(self.batches, None)
        return None if batch is None else {"x": batch}


def scales(method, sizes=(4, 4), **options):
    quantize_static("float.onnx", "int8.onnx", Reader(sizes), calibrate_method=method, extra_options=options)
    found = onnx.load("int8.onnx").graph.initializer
    return {each.name: numpy_helper.to_array(each) for each in found if each.name.endswith("scale")}


least, entropy = scales(CalibrationMethod.MinMax), scales(CalibrationMethod.Entropy)
percentile = scales(CalibrationMethod.Percentile, CalibPercentile=99)
differs = [sum(not np.array_equal(least[name], other[name]) for name in least) for other in (entropy, percentile)]
print(f"of {len(least)} scales, entropy changes {differs[0]}, percentile {differs[1]}")
assert len(least) >= 3
assert differs[0] == 0
assert differs[1] > 0
try:
    scales(CalibrationMethod.Percentile, (4, 3))
except ValueError as error:
    print("ValueError:", error)
else:
    raise SystemExit("batches of two sizes were taken")
PY
