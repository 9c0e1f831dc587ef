"""Latency and energy as objectives: the search and the selection go by a model of them, which a run keeps."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from naturalize.errors import UserError
from naturalize.files import check_content, checksum_of, write_json
from naturalize.latency.bench import open_bench
from naturalize.latency.making import make_model
from naturalize.latency.model import FIELDS, LatencyModel
from naturalize.latency.program import find_program
from naturalize.latency.runtimes import RUNTIMES
from naturalize.latency.setting import COMMAND, TABLE, Setting
from naturalize.latency.store import Store
from naturalize.latency.table import BlockTable, model_of_table, read_table
from naturalize.objectives import objective_of, setting_of
from naturalize.objectives.exact import whole_layers
from naturalize.progress import Progress
from naturalize.space import Codes
from naturalize.supernet import Counter, Family, Supernet
from naturalize.tasks import Task

MOST_NAME = 100  # characters of a file's name
Model = LatencyModel | BlockTable


class Latency:
    """Milliseconds of architectures by a latency model, or millijoules by one of energy, head included.

    Args:
        model: of one machine and setting.
        family, task, channels: as of `Exact`.
    """

    def __init__(self, model: Model, family: Family, task: Task, channels: int) -> None:
        self.constant = round(1e9 * model.constant)
        self.count = Counter(family.space, whole_layers(family, task, channels), model.nanoseconds)

    def __call__(self, codes: Codes) -> NDArray[np.float64]:
        """Milliseconds or millijoules of each architecture. Shapes: `(n, d) -> (n,)`."""
        return (self.count(codes) + self.constant) / 1e6


def check_measurable(names: Sequence[str]) -> None:
    """Raise `UserError` where the runtime, program or table of a modelled objective is not there, or is another's."""
    sources: dict[object, str] = {}
    for name in names:
        check_there(setting := setting_of(name))
        places: list[object] = [file_of(name)]
        if setting.path:
            found = find_program(setting.path) if setting.runtime == COMMAND else setting.path
            # links stay: what one file does may depend on its name
            places.append((name.partition(":")[0], os.path.normpath(Path(found).absolute())))
        if other := next((sources[place] for place in places if place in sources), None):
            alike = "have one source" if len(places) > 1 and places[1] in sources else "would be kept in one file"
            raise UserError(f"{other} and {name} {alike}: leave one out, or give a copy by another name")
        sources |= dict.fromkeys(places, name)


def check_there(setting: Setting) -> None:
    """Raise `UserError` where the runtime, program or table of a setting is not there."""
    if setting.runtime == TABLE:
        read_table(setting.path)
    elif setting.runtime == COMMAND:
        find_program(setting.path)
    else:
        RUNTIMES[setting.runtime].version()


def file_of(name: str) -> str:
    """The name of the file in a run that keeps the model of a latency, as `latency-cpu-threads=2.json`."""
    return re.sub(r"[^\w.=-]+", "-", name)[-MOST_NAME:].removesuffix(".json") + ".json"


def kept_model(path: Path) -> tuple[Model, dict[str, Any]] | None:
    """The model in a run's file, and facts about it; None where there is no file. Raises `UserError`."""
    if not path.exists():
        return None
    try:
        content = check_content(json.loads(path.read_text(encoding="utf-8")))
        if "milliseconds" in content:
            return BlockTable({key: float(value) for key, value in content["milliseconds"].items()}), content["facts"]
        if content["fields"] != list(FIELDS):
            raise ValueError("of another naturalize")
        keys = np.array(content["keys"], np.int64).reshape(-1, len(FIELDS))
        coefficients, deviations = (np.array(content[name], np.float64) for name in ("coefficients", "deviations"))
        return LatencyModel(content["constant"], coefficients, keys, deviations), content["facts"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is damaged ({error}): put it back from a copy, or start a new run") from error


def keep_model(path: Path, model: Model, facts: dict[str, Any]) -> None:
    """Write the file that `kept_model` reads."""
    if isinstance(model, BlockTable):
        content: dict[str, Any] = {"facts": facts, "milliseconds": dict(model.milliseconds)}
    else:
        content = {
            "facts": facts,
            "constant": model.constant,
            "coefficients": model.coefficients.tolist(),
            "fields": list(FIELDS),
            "keys": model.keys.tolist(),
            "deviations": model.deviations.tolist(),
        }
    write_json(path, {**content, "checksum": checksum_of(content)})


def new_model(
    path: Path,
    name: str,
    supernet: Supernet,
    task: Task,
    seconds: float,
    progress: Progress,
    check: Callable[[], object],
) -> tuple[Model, dict[str, Any]]:
    """A model of a latency or energy, which is written to a run's file, and facts about it.

    Args:
        path: of the file.
        name: of the objective.
        supernet, task: of the networks.
        seconds: for measuring networks.
        progress, check: as of `latency.making`.

    Raises:
        UserError: it cannot be measured, or its table says nothing of these networks.
    """
    setting, unit = setting_of(name), objective_of(name).unit
    space = supernet.family.space
    layers = whole_layers(supernet.family, task, supernet.channels)
    if setting.runtime == TABLE:
        model, facts = model_of_table(setting.path, space, layers)
    else:
        # what a program measures may be another board tomorrow: its networks stay with the run
        store = Store(setting, path.parent if setting.runtime == COMMAND else None)
        with open_bench(supernet, setting, unit, check) as bench:
            model, judged = make_model(bench, space, layers, store, seconds, progress)
        facts = {
            "machine": store.machine,
            "reference_s": store.reference_s,
            "fitted_to": len(store.samples.rows),
            **asdict(judged),
        }
    keep_model(path, model, facts)
    return model, facts
