"""Measured networks that are kept by machine, runtime and setting, so that each layer is timed once."""

from __future__ import annotations

import contextlib
import hashlib
import json
import platform
from pathlib import Path
from typing import Any

import numpy as np

from naturalize.data.machine import allowed_cpus
from naturalize.errors import UserError
from naturalize.files import check_content, checksum_of, write_json
from naturalize.latency.model import FIELDS, Samples
from naturalize.latency.program import find_program
from naturalize.latency.runtimes import RUNTIMES
from naturalize.latency.setting import COMMAND, Setting
from naturalize.weights.fetch import REMEDY, cache_directory

FORMAT = 1


def machine_of(setting: Setting) -> dict[str, Any]:
    """What latencies depend on besides the network: processor, CPUs that may be used, runtime, setting.

    Of a user's program, which measures elsewhere, its content.
    """
    if setting.runtime == COMMAND:
        program = find_program(setting.path)
        return {"program": program.name, "content": hashlib.sha256(program.read_bytes()).hexdigest()}
    return {
        "processor": processor(),
        "cpus": allowed_cpus(),
        "system": f"{platform.system()} {platform.machine()}",
        "version": RUNTIMES[setting.runtime].version(),
        "runtime": setting.runtime,
        "threads": setting.threads,
        "batch": setting.batch,
    }


def processor() -> str:
    """The processor's name as it tells it itself."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model")))
    return next(names, platform.processor())


class Store:
    """The measured networks of this machine under a setting; a damaged file counts as none.

    Args:
        setting: of the measurements.
        directory: of the files; latency/ in naturalize's cache unless told.

    Attributes:
        machine: see `machine_of`.
        samples: the networks.
        reference_s: seconds of the reference network when it was first measured; None before.
    """

    def __init__(self, setting: Setting, directory: Path | None = None) -> None:
        self.machine = machine_of(setting)
        of = {**self.machine, "path": setting.path} if setting.path else self.machine  # copies may ask other boards
        name = hashlib.sha256(repr(sorted(of.items())).encode()).hexdigest()[:16]
        self.path = (directory or cache_directory() / "latency") / f"{setting.runtime}-{name}.json"
        self.samples = Samples()
        self.reference_s: float | None = None
        unreadable = (OSError, ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError)
        with contextlib.suppress(*unreadable):
            self._read()

    def _read(self) -> None:
        whole = json.loads(self.path.read_text(encoding="utf-8"))
        content = check_content(whole)
        if content == whole:
            raise ValueError("no checksum")
        if content["format"] != FORMAT or content["fields"] != list(FIELDS) or content["machine"] != self.machine:
            raise ValueError("of another format or machine")
        keys = np.array(content["keys"], np.int64).reshape(-1, len(FIELDS))
        self.samples, self.reference_s = Samples(keys, content["rows"], content["seconds"]), content["reference_s"]

    def prepare(self) -> None:
        """Make the directory. Raises `UserError` where that cannot be, before anything is timed."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{self.path.parent} cannot be made ({error.strerror}): {REMEDY}") from error

    def save(self) -> None:
        """Write the file."""
        content = {
            "format": FORMAT,
            "machine": self.machine,
            "reference_s": self.reference_s,
            "fields": list(FIELDS),
            "keys": self.samples.keys.tolist(),
            "rows": self.samples.rows,
            "seconds": self.samples.seconds,
        }
        write_json(self.path, {**content, "checksum": checksum_of(content)})
