"""Latency as an objective: the search and the selection go by a model of it, which a run keeps."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from naturalize.errors import UserError
from naturalize.files import check_content, checksum_of, write_json
from naturalize.latency.making import Bench, make_model
from naturalize.latency.model import FIELDS, LatencyModel
from naturalize.latency.setting import parse_setting
from naturalize.latency.store import Store
from naturalize.objectives.exact import whole_layers
from naturalize.progress import Progress
from naturalize.space import Codes
from naturalize.supernet import Counter, Family, Supernet
from naturalize.tasks import Task


class Latency:
    """Milliseconds of architectures by a latency model, head included.

    Args:
        model: of one machine and setting.
        family, task, channels: as of `Exact`.
    """

    def __init__(self, model: LatencyModel, family: Family, task: Task, channels: int) -> None:
        self.constant = round(1e9 * model.constant)
        self.count = Counter(family.space, whole_layers(family, task, channels), model.nanoseconds)

    def __call__(self, codes: Codes) -> NDArray[np.float64]:
        """Milliseconds of each architecture. Shapes: `(n, d) -> (n,)`."""
        return (self.count(codes) + self.constant) / 1e6


def file_of(name: str) -> str:
    """The name of the file in a run that keeps the model of a latency, as `latency-cpu-threads=2.json`."""
    return name.replace(":", "-").replace(",", "-") + ".json"


def kept_model(path: Path) -> tuple[LatencyModel, dict[str, Any]] | None:
    """The model in a run's file, and facts about it; None where there is no file. Raises `UserError`."""
    if not path.exists():
        return None
    try:
        content = check_content(json.loads(path.read_text(encoding="utf-8")))
        if content["fields"] != list(FIELDS):
            raise ValueError("of another naturalize")
        keys = np.array(content["keys"], np.int64).reshape(-1, len(FIELDS))
        coefficients, deviations = (np.array(content[name], np.float64) for name in ("coefficients", "deviations"))
        return LatencyModel(content["constant"], coefficients, keys, deviations), content["facts"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is damaged ({error}): put it back from a copy, or start a new run") from error


def new_model(
    path: Path,
    name: str,
    supernet: Supernet,
    task: Task,
    seconds: float,
    progress: Progress,
    check: Callable[[], object],
) -> tuple[LatencyModel, dict[str, Any]]:
    """A model of a latency on this machine, which is written to a run's file, and facts about it.

    Args:
        path: of the file.
        name: of the objective.
        supernet, task: of the networks.
        seconds: for timing networks.
        progress, check: as of `latency.making`.
    """
    setting = parse_setting(name.partition(":")[2])
    store = Store(setting)
    with Bench(supernet, setting, check) as bench:
        layers = whole_layers(supernet.family, task, supernet.channels)
        model, judged = make_model(bench, supernet.family.space, layers, store, seconds, progress)
    facts = {
        "machine": store.machine,
        "reference_s": store.reference_s,
        "fitted_to": len(store.samples.rows),
        **asdict(judged),
    }
    content = {
        "facts": facts,
        "constant": model.constant,
        "coefficients": model.coefficients.tolist(),
        "fields": list(FIELDS),
        "keys": model.keys.tolist(),
        "deviations": model.deviations.tolist(),
    }
    write_json(path, {**content, "checksum": checksum_of(content)})
    return model, facts
