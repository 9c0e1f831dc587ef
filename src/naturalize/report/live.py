"""The page of a run that goes on: its front as far as the archive knows it, written anew as the archive grows."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from naturalize.errors import Interrupted, UserError
from naturalize.numbers import plural
from naturalize.objectives import BALANCED_ERROR, COST, of_kind, plain_error
from naturalize.objectives.requirement import parse_requirement
from naturalize.report.insides import Insides
from naturalize.report.report import UNDER_WAY, write_report
from naturalize.run import read_front
from naturalize.run.front import FORMAT, TRANSFER
from naturalize.run.lock import is_held
from naturalize.selection import Front, errors_of, front_rows
from naturalize.version import __version__

LOOK_S, PAUSE_S = 5.0, 0.2  # seconds between two looks at the archive; between two looks at signals


class LivePage:
    """The page of one run, which is written while the run goes on.

    Args:
        directory: of the run.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._known: dict[int, int] | None = None
        self._front: Front | None = None

    def grown(self) -> str | None:
        """Write the page if the archive has grown since it was written, and say what it shows; None if it has not."""
        grown, found = look(self.directory)
        if found is None or grown == self._known:
            return None
        self._known, self._front = grown, found
        write_report(self.directory, found, refresh=True)
        measured = plural(sum(grown.values()), "measurement")
        return f"{measured}, {plural(len(found['networks']), 'network')} on the front"

    def let_be(self) -> None:
        """Write the page as one that reads itself anew no more."""
        if self._front is not None:
            write_report(self.directory, self._front)


def watch_report(directory: Path, check: Callable[[], None], tell: Callable[[str], object]) -> Path:
    """Write `report.html` anew whenever the archive of a run has grown, until the run ends; its path.

    Args:
        directory: of the run. One that is not going on gets its page once.
        check: called several times a second; it raises `Interrupted` to stop. The last page reads itself anew no more.
        tell: called with a line on each page.

    Raises `UserError` where the run ended without a measurement.
    """
    follow(directory, {"": LivePage(directory)}, check, tell)
    return report_once(directory)


def follow(
    directory: Path, pages: Mapping[str, LivePage], check: Callable[[], None], tell: Callable[[str], object]
) -> None:
    """Write pages anew for as long as a run goes on.

    Args:
        directory: of the run.
        pages: by what lines on them begin with.
        check, tell: as of `watch_report`.
    """
    written = waits = False
    try:
        while is_held(directory):
            for name, page in pages.items():
                if line := page.grown():
                    written = True
                    tell(name + line)
            if not written and not waits:
                waits = True
                tell("nothing measured yet: waiting")
            until = time.monotonic() + LOOK_S
            while time.monotonic() < until:
                check()
                time.sleep(PAUSE_S)
    except Interrupted:
        for page in pages.values():
            page.let_be()
        raise


def report_once(directory: Path) -> Path:
    """Write `report.html` as the run is now; its path. Raises `UserError` where nothing is measured yet."""
    try:
        return write_report(directory)
    except UserError:
        if (directory / "front.json").exists():
            raise
        _, front = look(directory)  # a run that goes on has no front.json, nor does a killed one
        if front is None:
            raise
        return write_report(directory, front if is_held(directory) else front | {"state": "stopped"})


def look(directory: Path) -> tuple[dict[int, int], Front | None]:
    """Measurements by weights version, and the front of a run that goes on; none while nothing is measured."""
    try:
        insides = Insides(directory)
        return {version: len(found) for version, found in insides.measured.items()}, front_under_way(insides)
    except UserError:  # the archive is yet to be made
        return {}, None


def front_under_way(insides: Insides) -> Front | None:
    """The front by the last measuring pass that is over, or by the first one; None where nothing is measured.

    Before that it is what front.json holds, as the published network's front.
    """
    run, space = insides.run, insides.family.space
    with closing(insides.archive()) as archive:
        closed = archive.iterations()
    if not any(insides.measured.values()):
        try:
            return read_front(run.directory) | {"state": UNDER_WAY}
        except UserError:
            return None
    version = closed[-1]["weights_version"] if closed else min(insides.measured)
    found = insides.measured[version]
    archs = [m.architecture for m in found]
    codes, asked = space.codes(archs), list(run.settings.objectives)
    limits = [parse_requirement(text) for text in run.settings.requirements]
    names = dict.fromkeys([*of_kind("exact"), *asked, *(limit.objective for limit in limits)])
    costs = {name: cost(codes) for name, cost in insides.costs(list(names)).items()}
    errors = errors_of(found)
    others = [name for name in asked if name not in costs and name not in errors]
    with closing(insides.archive()) as archive:
        costs |= {name: archive.values([run.context(name, version)], archs) for name in others}
    values = np.stack([(errors | costs)[name] for name in asked], axis=1)
    allowed = np.isfinite(values).all(axis=1)  # another objective of the last network may be yet to come
    for limit in limits:
        allowed &= limit.met(costs[limit.objective])
    if BALANCED_ERROR in asked:
        costs[BALANCED_ERROR] = errors[BALANCED_ERROR]
    rows = np.flatnonzero(allowed)
    values = values[rows]
    on_front = rows[front_rows(values)].tolist() if len(rows) else []
    on_front.sort(key=lambda row: costs[COST][row])
    if not on_front:
        return None
    data = run.facts["data"]
    steps = ("iteration", "weights_version", "hypervolume", "networks")
    return {
        "format": FORMAT,
        "naturalize": __version__,
        "state": UNDER_WAY,
        "supernet": run.settings.supernet,
        "task": run.task_name,
        "kind": run.kind,
        "weights_version": version,
        "val_weights_version": version,
        "objectives": asked,
        "requirements": list(run.settings.requirements),
        "class_names": run.class_names,
        "splits": data.get("splits", {}),
        "hypervolume": [{name: step.get(name) for name in steps} for step in closed],
        "networks": [
            entry(insides, found[row], {name: float(cost[row]) for name, cost in costs.items()}) for row in on_front
        ],
        "notes": data.get("notes", []),
    }


def entry(insides: Insides, measurement: Any, costs: dict[str, float]) -> dict[str, Any]:
    """A network of such a front, as front.json has it."""
    arch = measurement.architecture
    exact = {name: int(cost) if name in of_kind("exact") else cost for name, cost in costs.items()}
    return {
        "architecture": arch.text,
        "origin": TRANSFER,
        "val_spread": measurement.detail.get("spread"),
        "resolution": insides.family.resolutions[arch.code[0]],
        "val_error": plain_error(measurement.value, measurement.detail),
        "val_error_views": measurement.value,
        "val_balanced_error": measurement.detail.get("balanced"),
        "val_images": measurement.detail.get("images"),
        "madds": exact[COST],
        "params": exact["params"],
        "objectives": exact,
    }
