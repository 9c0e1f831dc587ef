"""An exported ONNX file as a function."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from naturalize.data.machine import allowed_cpus
from naturalize.errors import UserError
from naturalize.exporting.network import Card, parse_card
from naturalize.exporting.onnx_file import CARD, LOGITS, PIXELS

QUIET = 4  # onnxruntime logs what it also raises, unless only fatal errors are logged


PRECISE = {"session.x64quantprecision": "1"}  # products of int8 files that cannot saturate, at half the speed


def saturates() -> bool:
    """Whether this CPU may add int8 products in 16 bits, as x86 without VNNI does; true where nothing tells."""
    try:
        return "vnni" not in Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return True


def int8_entries() -> dict[str, str]:
    """The configuration of sessions with int8 files on this CPU: as precise as the files are."""
    return PRECISE if saturates() else {}


def runtime() -> ModuleType:
    """onnxruntime, which collects nothing; imported only where it is needed.

    Its telemetry is switched off before it is loaded, too: version 1.32 otherwise writes a number of the device and a
    list of events to the user's cache, although events were switched off before a session was made.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    return onnxruntime


def make_session(model: Path | bytes, threads: int, entries: Mapping[str, str]) -> Any:
    """A session on the CPU, which says nothing.

    Args:
        model: the file, or its content.
        threads: of one run; onnxruntime's default counts processors that are not ours.
        entries: of its configuration.
    """
    onnxruntime = runtime()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = QUIET
    options.intra_op_num_threads = threads
    for name, value in entries.items():
        options.add_session_config_entry(name, value)
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


class OnnxModel:
    """An ONNX file that `naturalize export` wrote, run by onnxruntime on the CPU.

    Args:
        path: of the file. Nothing else is read.

    Attributes:
        card: what the network is and how pictures become its pixels (docs/formats.md).

    Raises:
        UserError: naming the file that is missing, damaged or not from naturalize.
    """

    card: Card

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise UserError(f"no file at {path}")
        onnxruntime = runtime()
        try:
            self._session = make_session(path, allowed_cpus(), int8_entries())
        except MemoryError:
            raise
        except Exception as error:  # onnxruntime's errors have no base of their own
            raise UserError(f"{path} is no ONNX file that onnxruntime {onnxruntime.__version__} can run") from error
        metadata = self._session.get_modelmeta().custom_metadata_map
        if CARD not in metadata:
            raise UserError(f"{path} was not exported by naturalize: classes and preprocessing are not in it")
        self.card = parse_card(metadata[CARD], path)

    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Logits `(n, classes)` of pixels `(n, channels, r, r)`, r being the card's resolution."""
        result: list[Any] = self._session.run([LOGITS], {PIXELS: pixels})
        return result[0]
