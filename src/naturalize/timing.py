"""The networks of a front are timed for real, where the search went by a latency model."""

from __future__ import annotations

import json

import numpy as np

from naturalize.archive import Context, Measurement
from naturalize.latency.making import Bench
from naturalize.latency.setting import parse_setting
from naturalize.latency.store import Store
from naturalize.numbers import milliseconds, plural
from naturalize.objectives import objective_of
from naturalize.objectives.requirement import parse_requirement
from naturalize.selection import Front
from naturalize.workbench import Workbench

CLOCK_S, CLOCK_SHARE = 30.0, 0.03  # seconds for the networks of a front, and share of a budget, at most


def measure_latencies(bench: Workbench, front: Front) -> None:
    """Time networks of a front in each runtime that the run minimises or limits the latency of, unless they were.

    Entries get `measured`: by objective its value in milliseconds and its standard error. The archive has them too.

    Args:
        bench: of the run.
        front: content of front.json; changed in place.
    """
    space, task = bench.supernet.family.space, bench.run.task_name
    networks = [network for network in front["networks"] if "measured" not in network]
    archs = [space.parse(network["architecture"]) for network in networks]
    budget_s = bench.run.settings.budget_s
    for name in (name for name in bench.costs if networks and objective_of(name).kind == "modelled"):
        setting = parse_setting(name.partition(":")[2])
        store = Store(setting)  # of the machine that runs now, which need not be the model's
        of = Context(name, task, "val", front["val_weights_version"], json.dumps(store.machine, sort_keys=True))
        left = [arch for arch in archs if arch not in bench.archive.measurements(of)]
        if left:
            seconds = CLOCK_S if budget_s is None else min(CLOCK_S, CLOCK_SHARE * budget_s)
            with bench.watch.phase("latency"), Bench(bench.supernet, setting, bench.watch.check) as clock:
                ratios, errors = clock.narrow(left, seconds)
                reference_ms = 1e3 * (store.reference_s or clock.reference_s())
            for arch, ratio, error in zip(left, ratios.tolist(), errors.tolist(), strict=True):
                value = ratio * reference_ms
                bench.archive.record(of, Measurement(arch, value, value * error, "ok", 0.0, {}))
        known = bench.archive.measurements(of)
        for network, arch in zip(networks, archs, strict=True):
            found = known[arch]
            network.setdefault("measured", {})[name] = {"value": found.value, "spread": found.spread}


def beyond_limits(bench: Workbench, front: Front) -> list[str]:
    """A sentence for each limit on a latency that networks of a front exceed on the clock, with the slowest."""
    found = []
    for requirement in map(parse_requirement, bench.run.settings.requirements):
        name = requirement.objective
        values = np.array([n.get("measured", {}).get(name, {"value": 0.0})["value"] for n in front["networks"]])
        beyond = ~requirement.met(values)
        if beyond.any():
            found.append(
                f"{plural(int(beyond.sum()), 'network')} of the front met {requirement.text!r} by the latency model "
                f"and not on the clock, where they take up to {milliseconds(values.max())}"
            )
    return found
