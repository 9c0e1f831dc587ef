"""The networks of a front are timed for real, where the search went by a latency model."""

from __future__ import annotations

import json

import numpy as np

from naturalize.archive import Context, Measurement
from naturalize.errors import UserError
from naturalize.latency.bench import open_bench
from naturalize.latency.setting import TABLE
from naturalize.latency.store import Store
from naturalize.numbers import plural
from naturalize.objectives import objective_of, setting_of
from naturalize.objectives.requirement import parse_requirement
from naturalize.selection import Front
from naturalize.space import Architecture
from naturalize.workbench import Workbench

TOO_SLOW = "there was no time to ask about all networks"
CLOCK_S, CLOCK_SHARE = 30.0, 0.03  # seconds for the networks of a front, and share of a budget, at most


def measure_latencies(bench: Workbench, front: Front) -> None:
    """Measure networks of a front for real, for each modelled objective of the run, unless they were.

    Entries get `measured`: by objective its value and its standard error, where there is one. The archive has them too.
    `unmeasured` says for each objective that could not be measured why.

    Args:
        bench: of the run.
        front: content of front.json; changed in place.
    """
    for name in (name for name in bench.costs if objective_of(name).kind == "modelled"):
        networks = [network for network in front["networks"] if name not in network.get("measured", {})]
        archs = [bench.supernet.family.space.parse(network["architecture"]) for network in networks]
        if not networks or setting_of(name).runtime == TABLE or name in front.get("unmeasured", {}):
            continue  # nothing is left, or its device is not here
        try:
            known = clocked(bench, name, archs, front["val_weights_version"])
            reason = TOO_SLOW
        except UserError as error:  # a board that is gone by now costs no result
            known, reason = {}, str(error)
        for network, arch in zip(networks, archs, strict=True):
            if arch in known:
                found = {"value": known[arch].value, "spread": known[arch].spread}
                network.setdefault("measured", {})[name] = found
        if not known.keys() >= set(archs):
            front.setdefault("unmeasured", {})[name] = reason
            bench.watch.event("unmeasured", name=name, reason=reason)


def clocked(bench: Workbench, name: str, archs: list[Architecture], version: int) -> dict[Architecture, Measurement]:
    """Measurements of architectures on the machine that runs now, which need not be the model's.

    Args:
        bench: of the run; its archive keeps them.
        name: of the objective.
        archs: to measure, unless they were.
        version: of the weights, in whose context they stand.

    Raises:
        UserError: they cannot be measured.
    """
    setting, budget_s = setting_of(name), bench.run.settings.budget_s
    store = Store(setting)
    of = Context(name, bench.run.task_name, "val", version, json.dumps(store.machine, sort_keys=True))
    if left := [arch for arch in archs if arch not in bench.archive.measurements(of)]:
        seconds = CLOCK_S if budget_s is None else min(CLOCK_S, CLOCK_SHARE * budget_s)
        unit, check = objective_of(name).unit, bench.watch.check
        with bench.watch.phase("latency"), open_bench(bench.supernet, setting, unit, check) as clock:
            ratios, errors = clock.narrow(left, seconds)
            thousandths = 1e3 * ratios * (store.reference_s or clock.reference_s())
        for arch, value, error in zip(left, thousandths.tolist(), errors.tolist(), strict=True):
            if not np.isnan(value):
                bench.archive.record(of, Measurement(arch, value, value * error, "ok", 0.0, {}))
    return bench.archive.measurements(of)


def beyond_limits(bench: Workbench, front: Front) -> list[str]:
    """A sentence for each limit on a latency that networks of a front exceed on the clock, with the slowest."""
    found = []
    for requirement in map(parse_requirement, bench.run.settings.requirements):
        name = requirement.objective
        values = np.array([n["measured"][name]["value"] for n in front["networks"] if name in n.get("measured", {})])
        beyond = ~requirement.met(values)
        if beyond.any():
            found.append(
                f"{plural(int(beyond.sum()), 'network')} of the front met {requirement.text!r} by its model "
                f"and not on the clock, where they take up to {objective_of(name).shown(values.max())}"
            )
    return found
