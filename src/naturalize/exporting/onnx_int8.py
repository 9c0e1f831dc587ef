"""ONNX int8: weights and activations of 8 bits, calibrated on training pictures, per channel (onnxruntime's QDQ).

The range of each activation is its least and largest value, or what a percentile leaves of it: whichever agrees more
often with the network on the calibration pictures. Candidates run with products that cannot saturate
(`session.x64quantprecision`): x86 processors without VNNI add pairs of products in 16 bits, and would judge themselves
in place of the file. Squeeze-and-excite gates stay HardSigmoid, which onnxruntime multiplies in int8; its HardSwish is
taken apart and multiplied in float.
"""

from __future__ import annotations

import copy
import json
import tempfile
import threading
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from naturalize.data.machine import allowed_cpus
from naturalize.errors import UserError
from naturalize.exporting.extras import quiet_python
from naturalize.exporting.network import Asked, Network
from naturalize.exporting.onnx_file import LOGITS, PIXELS, onnx_files
from naturalize.exporting.onnx_model import PRECISE, make_session, runtime
from naturalize.exporting.torch_file import logits_of_arrays
from naturalize.files import room_on_disk

QUANTIZED = "quantized"
OPSET = 13  # whose h-swish is HardSigmoid and Mul
PICTURES, BATCH = 128, 16  # that calibrate, and as many at once
METHODS = ("MinMax", "Percentile")
LEAST_AGREEMENT = 50.0  # percent; a file below is broken
QUANTIZING = threading.Lock()  # what silences the quantiser is of the whole process


class Reader:
    """Calibration pictures as onnxruntime asks for them: batches, of which it takes one stretch at a time.

    With stretches of one batch (`CalibStridedMinMax`) it keeps the maps of that batch alone in memory.
    """

    def __init__(self, pixels: NDArray[np.uint8]) -> None:
        self.batches = batches_of(pixels)
        self.set_range(0, len(self.batches))

    def __len__(self) -> int:
        return len(self.batches)

    def set_range(self, start_index: int, end_index: int) -> None:
        """Begin the stretch from one batch to before another."""
        self.left = iter(self.batches[start_index:end_index])

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        """The next batch of the stretch, None after its last."""
        batch = next(self.left, None)
        return None if batch is None else {PIXELS: batch}


def batches_of(pixels: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """Pictures in batches of `BATCH`, the last one shorter."""
    return [pixels[start : start + BATCH] for start in range(0, len(pixels), BATCH)]


def int8_files(network: Network, name: str, asked: Asked) -> dict[str, bytes]:
    """The quantised ONNX file and the program beside it, by file name. Raises `UserError` for another opset."""
    if asked.opset not in (None, OPSET):
        raise UserError(f"int8 files are of opset {OPSET}: leave --opset out")
    assert asked.calibration is not None, "the format calibrates"
    pixels = spread(asked.calibration, PICTURES)
    answer = logits_of_arrays(copy.deepcopy(network.subnet).cpu().eval())
    logits = np.concatenate([answer(batch) for batch in batches_of(pixels)])
    if not np.isfinite(logits).all():
        raise UserError("the network answers with no numbers, so it cannot be quantised: its weights are damaged")
    expected = logits.argmax(1)
    files, found = onnx_files(network, name, Asked(OPSET)), {}
    for method in METHODS:
        content = quantized(files[name], method, pixels)
        answers = {precise: answers_of(content, pixels, precise) for precise in (True, False)}
        agreement = {precise: 100.0 * float(np.mean(answers[precise] == expected)) for precise in (True, False)}
        found[method] = (agreement[True], agreement[False], content)
    method = max(METHODS, key=lambda method: found[method][0])  # of equals the first
    precise, here, content = found[method]
    model = onnx.load_model_from_string(content)
    facts = {
        "method": method,
        "pictures": len(pixels),
        "agreement": precise,
        "agreement_on_the_exporting_cpu": here,
        "agreement_by_method": {name: found[name][0] for name in METHODS},
    }
    metadata = {entry.key: entry.value for entry in model.metadata_props if not entry.key.startswith("onnx.")}
    helper.set_model_props(model, {**metadata, QUANTIZED: json.dumps(facts)})
    return {**files, name: model.SerializeToString(deterministic=True)}


def spread(pixels: NDArray[np.uint8], number: int) -> NDArray[np.uint8]:
    """So many of the pictures, or all where they are fewer, spread evenly over them."""
    return pixels[np.linspace(0, len(pixels) - 1, min(number, len(pixels))).round().astype(int)]


def quantized(content: bytes, method: str, pixels: NDArray[np.uint8]) -> bytes:
    """A float ONNX file quantised by a calibration method of onnxruntime. Raises `UserError` where that fails."""
    runtime()  # without its telemetry
    from onnxruntime import quantization

    beside = Path(tempfile.gettempdir())
    with (
        QUANTIZING,
        quiet_python(),
        room_on_disk(beside),
        tempfile.TemporaryDirectory(prefix="naturalize-int8-") as directory,
    ):
        before, after = Path(directory) / "float.onnx", Path(directory) / "int8.onnx"
        before.write_bytes(content)
        try:
            quantization.quantize_static(
                before,
                after,
                Reader(pixels),
                per_channel=True,
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
                calibrate_method=getattr(quantization.CalibrationMethod, method),
                extra_options={"CalibStridedMinMax": 1},
            )
        except (OSError, MemoryError):
            raise
        except Exception as error:  # assertions and onnxruntime's own, which have no base
            told = f"{type(error).__name__} {error}".splitlines()[0][:200]
            raise UserError(f"onnxruntime cannot quantise this network ({told}): export it as float") from error
        return after.read_bytes()


def answers_of(content: bytes, pixels: NDArray[np.uint8], precise: bool) -> NDArray[np.int64]:
    """The classes that a file answers, with products that cannot saturate or as this CPU computes them."""
    session = make_session(content, allowed_cpus(), PRECISE if precise else {})
    logits: list[Any] = [session.run([LOGITS], {PIXELS: batch})[0] for batch in batches_of(pixels)]
    return np.concatenate(logits).argmax(1)


def facts_of(content: bytes) -> dict[str, Any]:
    """How an int8 file was quantised, as its metadata tell."""
    metadata = onnx.load_model_from_string(content).metadata_props
    return dict(json.loads(next(entry.value for entry in metadata if entry.key == QUANTIZED)))


def int8_needs(opset: int | None) -> str:
    """The requirements for running the file, in words."""
    return "onnxruntime 1.20 or newer (opset 13); on x86 without VNNI with session.x64quantprecision=1"


def differs_in_more_than_quantization(logits: NDArray[np.float32], expected: NDArray[np.float32]) -> str:
    """Why a quantised file is broken, in words; empty where it agrees often enough to be judged by its error."""
    agreement = 100.0 * float(np.mean(logits.argmax(1) == expected.argmax(1)))
    if agreement >= LEAST_AGREEMENT and np.isfinite(logits).all():
        return ""
    return (
        f"its answers agree with the network's on {agreement:.0f}% alone. Choose a network without h-swish or a larger "
        "one, or export float"
    )
