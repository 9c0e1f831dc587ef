"""What runs a network that is measured: a runtime by its name, from an exported file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from naturalize.exporting.onnx_model import make_session, runtime
from naturalize.latency.clock import Once
from naturalize.latency.setting import CPU, Setting


@dataclass(frozen=True)
class Runtime:
    """A program that runs networks.

    Attributes:
        format: name in `exporting.FORMATS` of the files that it takes.
        open: function from such a file, the setting and the shape of one picture `(channels, side, side)` to `Once`.
        version: function that returns its name and version. Raises `UserError` where it is not installed.
    """

    format: str
    open: Callable[[Path, Setting, tuple[int, int, int]], Once]
    version: Callable[[], str]


def onnxruntime_version() -> str:
    """Name and version of the runtime."""
    return f"onnxruntime {runtime().__version__}"


def open_onnxruntime(path: Path, setting: Setting, shape: tuple[int, int, int]) -> Once:
    """A network on the CPU; its threads do not spin between runs, so that they leave the CPU to others."""
    session = make_session(path, setting.threads, {"session.intra_op.allow_spinning": "0"})
    (taken,), (given,) = session.get_inputs(), session.get_outputs()
    feed = {taken.name: np.random.default_rng(0).integers(0, 256, (setting.batch, *shape)).astype(np.uint8)}
    names = [given.name]
    return lambda: session.run(names, feed)


RUNTIMES: dict[str, Runtime] = {CPU: Runtime("onnx", open_onnxruntime, onnxruntime_version)}
