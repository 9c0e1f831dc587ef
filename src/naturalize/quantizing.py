"""The networks of a front as the int8 files that `export` writes, where a run minimises their error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from naturalize import journal
from naturalize.archive import Measurement
from naturalize.classifiers import OwnClassifier
from naturalize.numbers import plural, standard_error
from naturalize.objectives import INT8_ERROR
from naturalize.objectives.int8 import Int8Error
from naturalize.selection import Entry, Front, measurement_of
from naturalize.supernet import Subnet
from naturalize.testing import alone_of, in_turn, network_on_front
from naturalize.training.subnets import Given
from naturalize.workbench import Workbench

SHARE = 0.05  # of a budget, at most
TIMES = 6.0  # as long as a measurement of the search, with all calibration pictures and in both ways
EXPORTED = "as exported"  # marks the archive's context


def measure_int8(bench: Workbench, front: Front, own: Mapping[str, OwnClassifier]) -> None:
    """Measure networks of a front as `export` quantises them, on all validation images; nothing where nobody asked.

    Entries get `measured`: its value in percent and its standard error. The weights are those of `val_error`: a last
    adaptation, which learns from the same images, comes after. The archive has each value too.

    Args:
        bench: of the run, with the weights that its front was selected under.
        front: content of front.json; changed in place.
        own: classifiers by architecture in place of the shared one.
    """
    networks = front["networks"]
    if INT8_ERROR not in bench.run.settings.objectives or not networks:
        return
    ready, watch = alone_of(bench, networks), bench.watch
    seconds_left = time_for_it(bench)
    until = None if seconds_left is None else watch.used_s + seconds_left

    def measured(entry: Entry) -> Measurement:
        text = entry["architecture"]
        return as_exported(bench, text, ready[text] if text in ready else network_on_front(bench, text, own))

    with watch.phase("int8", version=front["weights_version"]):
        for entry, found, seconds in in_turn(bench, "int8", [] if seconds_left == 0 else networks, until, measured):
            of = bench.run.context(INT8_ERROR, front["weights_version"])
            of = replace(of, machine=f"{entry['origin']} {EXPORTED}")
            bench.archive.record(of, replace(found, seconds=seconds))
            fill_in(entry, found)


def not_exported(front: Front) -> list[str]:
    """A sentence on the networks of a front that have no error as int8 files, where it was asked for."""
    left = sum(INT8_ERROR not in entry.get("measured", {}) for entry in front["networks"])
    if not left or INT8_ERROR not in front["objectives"]:
        return []
    number = plural(left, "network")
    return [f"{number} of the front not measured as int8 files: no time for it, or they could not be quantised"]


def time_for_it(bench: Workbench) -> float | None:
    """Seconds for measuring networks as exported: None for no limit, 0 where one alone would take longer."""
    budget_s = bench.run.settings.budget_s
    if budget_s is None:
        return None
    plan = bench.archive.decision(journal.plan(budget_s))
    affords_one = plan is not None and TIMES * plan["measure_s"] < SHARE * budget_s
    return SHARE * budget_s if affords_one else 0.0


def measure_again(bench: Workbench, entry: Entry, subnet: Subnet) -> None:
    """Replace the int8 errors of an entry by that of a subnet which takes its place; nothing where nobody asked."""
    if INT8_ERROR not in bench.run.settings.objectives:
        return
    entry.get("measured", {}).pop(INT8_ERROR, None)
    found = as_exported(bench, entry["architecture"], subnet)
    if fill_in(entry, found):
        entry["objectives"][INT8_ERROR] = found.value


def as_exported(bench: Workbench, text: str, subnet: Subnet) -> Measurement:
    """The measurement of a subnet of an architecture as `export` quantises it, on all validation images."""
    arch = bench.supernet.family.space.parse(text)
    given = Given(bench.subnets, {arch: subnet})
    return measurement_of(Int8Error(given, bench.task, bench.val, bench.progress, exported=True), arch)


def fill_in(entry: Entry, found: Measurement) -> bool:
    """Fill in what was measured as exported, where it could be; whether it could."""
    if found.status != "ok" or found.value is None:
        return False
    kept = found.detail.get("spread")
    spread = float(standard_error(found.value, found.detail["images"])) if kept is None else kept
    entry.setdefault("measured", {})[INT8_ERROR] = {"value": found.value, "spread": spread}
    return True
