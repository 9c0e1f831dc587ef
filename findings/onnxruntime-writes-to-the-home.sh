#!/bin/sh
# onnxruntime 1.32.0 (Linux wheel): importing it and switching its telemetry off by disable_telemetry_events() still
# leaves a number of the device and a database of events in the user's cache. An environment variable that is set before
# the import keeps it from writing.
#
# Seen: "files in the home: 2 by disable_telemetry_events(), 0 by the environment variable"; they lie under
# .cache/Microsoft/DeveloperTools/.onnxruntime. With CI in the environment the library writes nothing in any case.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6
cat > "$work/run.py" <<'PY'
import numpy as np
import onnxruntime
from onnx import TensorProto, helper

onnxruntime.disable_telemetry_events()
x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in "xy")
graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "relu", [x], [y])
model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 13)])
session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
session.run(None, {"x": np.zeros(2, np.float32)})
PY
mkdir "$work/plain" "$work/off"
env -u XDG_CACHE_HOME -u CI HOME="$work/plain" "$work/venv/bin/python" "$work/run.py"
env -u XDG_CACHE_HOME HOME="$work/off" ORT_DISABLE_TELEMETRY=1 "$work/venv/bin/python" "$work/run.py"
plain=$(find "$work/plain" -type f | wc -l)
off=$(find "$work/off" -type f | wc -l)
echo "files in the home: $plain by disable_telemetry_events(), $off by the environment variable"
test "$plain" -gt 0
test "$off" -eq 0
