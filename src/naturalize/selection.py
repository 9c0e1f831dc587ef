"""Selection of the front of a weights version, on validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from naturalize import journal, probing, whole
from naturalize.archive import Measurement
from naturalize.errors import UserError
from naturalize.numbers import standard_error
from naturalize.objectives import (
    BALANCED_ERROR,
    COST,
    ERROR,
    INT8_ERROR,
    LEARNT,
    OBJECTIVES,
    Measures,
    deciding_error,
    of_kind,
    plain_error,
)
from naturalize.objectives.error import Chosen
from naturalize.probing import architecture_at, probes_of
from naturalize.run.front import BESIDE, FORMAT, PUBLISHED, TRANSFER, WHOLE
from naturalize.search import hypervolume, non_dominated
from naturalize.space import Architecture, Codes
from naturalize.supernet import Subnet
from naturalize.tasks import balanced_images
from naturalize.training.engine import at_once
from naturalize.training.subnets import Given
from naturalize.version import __version__
from naturalize.workbench import NO_VERSION, Workbench

Floats = NDArray[np.float64]
Front = dict[str, Any]  # front.json
Entry = dict[str, Any]  # one of its networks


@dataclass(frozen=True)
class Pass:
    """The result of a measuring pass: architectures with finite values, all under one weights version.

    Attributes:
        codes: `(n, d)`.
        error: `(n,)` in percent, the mean over views.
        values: objectives in the run's order, `(n, m)`.
        feasible: whether each meets the requirements, `(n,)`.
    """

    codes: Codes
    error: Floats
    values: Floats
    feasible: NDArray[np.bool_]

    @property
    def allowed(self) -> tuple[Codes, Floats]:
        """Codes and values of those that meet the requirements."""
        return self.codes[self.feasible], self.values[self.feasible]


def measured(bench: Workbench, version: int, members: Sequence[Architecture] | None = None) -> Pass:
    """The measurements on validation under a weights version. Raises `UserError` where nothing has finite values.

    Args:
        bench: of the run.
        version: of the weights.
        members: the only architectures to include, in this order; all measured ones where None.
    """
    context, space = bench.run.context(ERROR, version), bench.supernet.family.space
    found = bench.archive.measurements(context)
    known = list(found) if members is None else [arch for arch in members if arch in found]
    codes, errors = space.codes(known), errors_of([found[arch] for arch in known])
    error, values = errors[ERROR], objective_values(bench, version, codes, errors)
    finite = np.isfinite(error) & np.isfinite(values).all(axis=1)
    if not finite.any():
        raise UserError("no network could be measured: see the statuses in archive.sqlite")
    codes = codes[finite]
    return Pass(codes, error[finite], values[finite], bench.problem.allowed(codes))


def front_of(
    bench: Workbench,
    version: int,
    codes: Codes,
    values: Floats,
    learns_on: bool = False,
    shared: Sequence[str] | None = None,
) -> Front:
    """The content of front.json by validation; entries that need the test split are null.

    The published network competes at each resolution at which it was read, as the whole network does that was trained
    by itself. The largest network is on the front at every
    resolution where validation is not sure of a better one: with few pictures, chance alone would remove it.

    Args:
        bench, version: run and weights version.
        codes, values: architectures and their objectives under the version, `(n, d)` and `(n, m)`.
        learns_on: whether a last adaptation comes after. Networks that stand by themselves must then be better by a
            standard error at resolutions at which others train on: these will have learnt from the validation pictures.
        shared: architectures of a joint run's front, which has weights for every data set: all stay, and those that are
            dominated here are marked.
    """
    run, dataset, space = bench.run, bench.dataset, bench.supernet.family.space
    bench.choose_images(version)
    found = bench.archive.measurements(bench.run.context(ERROR, version))
    measured = [found[arch] for arch in space.architectures(codes)]
    alone, values_alone = standing_alone(bench, version, learns_on)
    both, values = [*((each, TRANSFER) for each in measured), *alone], np.concatenate([values, values_alone])
    rows = front_rows(values).tolist()
    taken = {both[row][0].architecture for row in rows}
    spreads = [measurement.detail.get("spread") for measurement in measured]
    rows += [row for row in nearly_best(bench, codes, values, spreads) if measured[row].architecture not in taken]
    networks = [network_of(bench, version, *both[row]) for row in rows]
    if shared is not None:
        error = values[:, run.settings.objectives.index(deciding_error(run.settings.objectives))]
        best = {both[row][0].architecture.text: row for row in np.argsort(-error, kind="stable").tolist()}
        left = [text for text in shared if text not in {network["architecture"] for network in networks}]
        networks += [{**network_of(bench, version, *both[best[text]]), BESIDE: True} for text in left]
    facts = bench.archive.iterations()
    names = ("iteration", "weights_version", "hypervolume", "networks")
    return {
        "format": FORMAT,
        "naturalize": __version__,
        "state": "stopped",
        "supernet": run.settings.supernet,
        "task": run.task_name,
        "kind": run.kind,
        "weights_version": version,
        "val_weights_version": version,
        "metric": dataset.metric,
        "objectives": list(run.settings.objectives),
        "requirements": list(run.settings.requirements),
        "class_names": run.class_names,
        "majority_error": {"val": bench.task.chance(np.asarray(bench.val.labels)), "test": None},
        "probe_error": lowest(alone, PUBLISHED),
        "whole_error": lowest(alone, WHOLE),
        "splits": {split: len(rows) for split, rows in dataset.splits.items()},
        "val_views": bench.error.images.views,
        "reference": reference_of(bench),
        "hypervolume": [{name: fact[name] for name in names} for fact in facts],
        **({} if shared is None else {"joint": True}),
        "networks": sorted(networks, key=lambda network: network[COST]),
        "notes": [note.message for note in dataset.notes],
    }


def standing_alone(bench: Workbench, version: int, learns_on: bool) -> tuple[list[tuple[Measurement, str]], Floats]:
    """The networks that stand by themselves, each with its origin, and their objectives, `(n, m)`.

    Args:
        bench, version, learns_on: as of `front_of`.
    """
    if version > NO_VERSION:
        whole.check_read(bench)
    probed, tuned = probed_measurements(bench), probed_measurements(bench, whole.FILE)
    found, competing = [], []
    for origin, some in ((PUBLISHED, probed), (WHOLE, tuned)):
        archs, errors = [each.architecture for each in some], errors_of(some)
        if learns_on and some:
            kept = [each.detail.get("spread") for each in some]
            errors = {name: each + handicap(bench, archs, each, name, kept) for name, each in errors.items()}
        codes = bench.supernet.family.space.codes(archs)
        competing.append(objective_values(bench, version, codes, errors, origin))
        found += [(each, origin) for each in some]
    values = np.concatenate(competing)
    known = np.flatnonzero(np.isfinite(values).all(axis=1))  # something may not be measurable
    return [found[row] for row in known.tolist()], values[known]


def with_alone(bench: Workbench, version: int, found: Pass, learns_on: bool) -> Pass:
    """A measuring pass together with the networks that stand by themselves; of one architecture the better one.

    Args:
        bench, version, learns_on: as of `front_of`.
        found: the pass, under that version.
    """
    alone, values = standing_alone(bench, version, learns_on)
    codes = np.concatenate([found.codes, bench.supernet.family.space.codes([each.architecture for each, _ in alone])])
    error = np.concatenate([found.error, errors_of([each for each, _ in alone])[ERROR]])
    values = np.concatenate([found.values, values])
    names = bench.run.settings.objectives
    order = np.argsort(values[:, names.index(deciding_error(names))], kind="stable")
    _, first = np.unique(codes[order], axis=0, return_index=True)
    rows = np.sort(order[first])
    return Pass(codes[rows], error[rows], values[rows], bench.problem.allowed(codes[rows]))


def lowest(alone: Sequence[tuple[Measurement, str]], origin: str) -> float | None:
    """The lowest error in percent of networks of an origin; None where there are none."""
    return min((float(each.value or 0.0) for each, of in alone if of == origin), default=None)


def errors_of(measurements: Sequence[Measurement]) -> dict[str, Floats]:
    """What measurements of error say of the errors in percent, by objective, `(n,)` each: they share the answers."""
    values = [m.value for m in measurements], [m.detail.get("balanced_views") for m in measurements]
    return dict(zip((ERROR, BALANCED_ERROR), (np.array(each, dtype=np.float64) for each in values), strict=True))


def handicap(
    bench: Workbench,
    archs: Sequence[Architecture],
    errors: Floats,
    name: str = ERROR,
    kept: Sequence[float | None] = (),
) -> Floats:
    """The standard error of networks that stand by themselves, 0 at resolutions at which no others train on.

    Args:
        bench: of the run.
        archs, errors: the n networks, and their validation errors in percent, `(n,)`.
        name: of the error.
        kept: the standard errors that came with the errors, where these are no shares of images.

    Returns:
        `(n,)`, in percentage points.
    """
    rivals = np.array([bench.subnets.resolution(arch) in bench.run.trained for arch in archs], dtype=bool)
    known = np.array(kept, dtype=np.float64)  # NaN where none came
    spreads = known if np.isfinite(known).any() else standard_error(errors, images_of(bench, name))
    return np.where(rivals, spreads, 0.0)


def images_of(bench: Workbench, error: str) -> int:
    """Number of validation images that an error is as sure as; see `balanced_images`."""
    images = bench.error.images
    return balanced_images(np.asarray(images.labels)) if error == BALANCED_ERROR else len(images)


def nearly_best(bench: Workbench, codes: Codes, values: Floats, spreads: Sequence[float | None]) -> list[int]:
    """Rows of the largest network, at any resolution, that no other is better than by a standard error.

    Args:
        bench: of the run.
        codes: of the first rows of `values`, `(n, d)`; the other rows only compete.
        values: objectives, `(k, m)`.
        spreads: standard errors of the n, None where errors are shares of images, and binomial.
    """
    names = bench.run.settings.objectives
    if not bench.reads_published:
        return []
    error, space = deciding_error(names), bench.supernet.family.space
    margin, column = np.zeros_like(values), names.index(error)
    binomial = standard_error(values[: len(codes), column], images_of(bench, error))
    known = np.array(spreads, dtype=np.float64)
    margin[: len(codes), column] = np.where(np.isfinite(known), known, binomial)
    found = []
    for row in np.flatnonzero((codes[:, 1:] == space.upper[1:]).all(axis=1)).tolist():
        bound = values[row] - margin[row]
        surely = (values <= bound).all(axis=1) & (values < bound).any(axis=1)
        if not surely.any():
            found.append(row)
    return found


def still_on_front(bench: Workbench, front: Front) -> list[Entry]:
    """Entries of a front that still belong there by their present validation errors, by the rule of `front_of`.

    Where the front is shared by a joint run, all do, and those that are dominated by now are marked.
    """
    space, networks = bench.supernet.family.space, front["networks"]
    codes = space.codes([space.parse(network["architecture"]) for network in networks])
    known = [{**network, **network.get("objectives", {}), ERROR: network["val_error_views"]} for network in networks]
    values = np.array([[entry[name] for name in bench.run.settings.objectives] for entry in known], dtype=np.float64)
    spreads = [network.get("val_spread") for network in networks]
    rows = {*front_rows(values).tolist(), *nearly_best(bench, codes, values, spreads)}
    if front.get("joint"):
        return [{**network, BESIDE: row not in rows} for row, network in enumerate(networks)]
    return [network for row, network in enumerate(networks) if row in rows]


def probed_measurements(bench: Workbench, name: str = probing.FILE) -> list[Measurement]:
    """Measurements of a network at the resolutions that meet the requirements; none where there is none.

    Args:
        bench: of the run.
        name: of the file with its probes; the published network's unless told.
    """
    probes, images = probes_of(bench.run.directory, name), bench.error.images
    if probes is None:
        return []
    rows = images.rows if isinstance(images, Chosen) else np.arange(len(images))
    rows = np.intersect1d(rows, probes.rows)
    found = []
    for resolution in probes.resolutions:
        answers = torch.from_numpy(probes.answers[resolution][: images.views, np.searchsorted(probes.rows, rows)])
        value, detail = bench.task.result(list(answers), np.asarray(bench.val.labels)[rows])
        found.append(Measurement(architecture_at(bench, resolution), value, 0.0, "ok", 0.0, detail))
    allowed = bench.problem.allowed(bench.supernet.family.space.codes([m.architecture for m in found]))
    return [measurement for measurement, fits in zip(found, allowed.tolist(), strict=True) if fits]


def network_of(bench: Workbench, version: int, measurement: Measurement, origin: str) -> Entry:
    """The entry of one network in front.json."""
    arch = measurement.architecture
    codes, besides = np.array([arch.code]), measured_besides(bench, version, [arch], origin)
    counts = {name: int(bench.costs[name](codes)[0]) for name in of_kind("exact")}
    modelled = {name: float(cost(codes)[0]) for name, cost in bench.costs.items() if name not in counts}
    assert measurement.value is not None, "it is on the front"
    entry = {
        "architecture": arch.text,
        "origin": origin,
        "own_classifier": origin != TRANSFER,
        "resolution": bench.subnets.resolution(arch),
        "val_error": None,
        "val_images": None,
        "val_error_views": None,
        "val_balanced_error": None,
        "test_error": None,
        "test_images": None,
        "test_balanced_error": None,
        **{name: counts[name] for name in LEARNT},
        "objectives": {**counts, **modelled, **{name: float(found[0]) for name, found in besides.items()}},
        "weights": None,
        "test_confusion": None,
        "test_confidence": None,
        "test_worst": None,
    }
    set_errors(bench, entry, measurement.value, measurement.detail)
    return entry


def set_errors(bench: Workbench, entry: Entry, value: float, detail: Mapping[str, Any]) -> None:
    """Put a network's validation errors into its entry, from the value and details of a measurement of error."""
    entry |= {"val_error": plain_error(value, detail), "val_images": detail["images"], "val_error_views": value}
    if "spread" in detail:
        entry["val_spread"] = detail["spread"]
    entry["val_balanced_error"] = detail.get("balanced")  # none in the archive of an older naturalize
    if BALANCED_ERROR in bench.run.settings.objectives:
        entry["objectives"][BALANCED_ERROR] = detail["balanced_views"]
        entry["val_images_balanced"] = images_of(bench, BALANCED_ERROR)


def error_of(bench: Workbench, entry: Entry) -> float:
    """The validation error by which an entry of a front is judged, in percent, over all views."""
    name = deciding_error(bench.run.settings.objectives)
    return float(entry["val_error_views"] if name == ERROR else entry["objectives"][name])


def objective_values(
    bench: Workbench, version: int, codes: Codes, errors: Mapping[str, Floats], origin: str = TRANSFER
) -> Floats:
    """Objectives of architectures in the run's order. Shapes: `(n, d), (n,) -> (n, m)`.

    Args:
        bench: of the run.
        version: weights version of the errors.
        codes: architectures.
        errors: their errors in percent by objective, `(n,)` each, as of `errors_of`.
        origin: of their networks.
    """
    archs = bench.supernet.family.space.architectures(codes)
    columns = {**errors, **measured_besides(bench, version, archs, origin)}
    names, exact = bench.run.settings.objectives, bench.problem.exact
    return np.stack([columns[name] if name in columns else exact[name](codes) for name in names], axis=1).astype(float)


def measured_besides(
    bench: Workbench, version: int, archs: Sequence[Architecture], origin: str = TRANSFER
) -> dict[str, Floats]:
    """Values of the measured objectives other than error by name, `(n,)` each; missing ones are measured now.

    Args:
        bench, version: run and weights version.
        archs: architectures of the networks.
        origin: of the networks. Those that stand by themselves are measured once, whatever the version is.
    """
    found = {}
    for name, objective in bench.measures.items():
        if name == ERROR:
            continue
        of = bench.run.context(name, version)
        if origin != TRANSFER:
            of = replace(of, version=NO_VERSION, machine=origin)
        known = bench.archive.measurements(of)
        missing = [arch for arch in archs if arch not in known]
        if missing:
            with bench.watch.phase("besides", version=of.version):
                if origin != TRANSFER:
                    objective = opened_on(bench, name, networks_alone(bench, origin, missing))
                for number, arch in enumerate(missing):
                    bench.watch.progress("measure", number, len(missing))
                    bench.archive.record(of, measurement_of(objective, arch))
        found[name] = bench.archive.values([of], archs)
    return found


def networks_alone(bench: Workbench, origin: str, archs: Sequence[Architecture]) -> dict[Architecture, Subnet]:
    """Networks that stand by themselves, by architecture: of the origin `PUBLISHED` or `WHOLE`."""
    made = {PUBLISHED: probing.probe_networks, WHOLE: whole.whole_networks}[origin]
    by_side = {bench.subnets.resolution(arch): arch for arch in archs}
    return {by_side[side]: subnet for side, subnet in made(bench, list(by_side)).items()}


def opened_on(bench: Workbench, name: str, networks: Mapping[Architecture, Subnet]) -> Measures:
    """A measured objective, opened on networks that are given by architecture, in place of the supernet's."""
    make = OBJECTIVES[name].open
    assert make is not None, "it is a measured one"
    return make(replace(bench, subnets=Given(bench.subnets, networks)))


def measurements_of(bench: Workbench, arch: Architecture) -> dict[str, Measurement]:
    """Measurements of an architecture by objective, under the present weights, each with the seconds that it took."""
    found = {}
    for name, objective in bench.measures.items():
        start = bench.watch.used_s
        measurement = measurement_of(objective, arch)
        seconds = (bench.watch.used_s - start) / at_once(bench.device)
        found[name] = replace(measurement, seconds=seconds)
    return found


def measurement_of(objective: Measures, arch: Architecture) -> Measurement:
    """One architecture's measurement of an objective, as the archive keeps it, without its seconds."""
    result = objective.measure(np.array([arch.code]))
    detail = result.details[0] if result.details else {}
    return Measurement(arch, float(result.values[0]), float(result.spread[0]), result.status[0], 0.0, detail)


def reference_of(bench: Workbench) -> list[float]:
    """Hypervolume's reference point: errors of always answering one class, the most frequent one where they differ.

    For all other objectives it is 1.05 x the largest architecture.
    """
    largest = bench.space.largest

    def reference(name: str) -> float:
        if name == BALANCED_ERROR:  # one class alone, whichever it is, gets all others wrong
            return 100.0 * (1.0 - 1.0 / len(np.unique(bench.val.labels))) or 100.0
        if name in (ERROR, INT8_ERROR):
            return bench.task.chance(np.asarray(bench.val.labels)) or 100.0  # where validation has one class alone
        if name in bench.problem.exact:
            return 1.05 * float(bench.problem.exact[name](np.array([largest.code]))[0])
        return 1.05 * float(bench.archive.decide(journal.largest(name), lambda: large_value(bench, name)))

    return [reference(name) for name in bench.run.settings.objectives]


def large_value(bench: Workbench, name: str) -> float:
    """Value of a measured objective for the largest network, or the next smaller first member with a positive one."""
    space, members = bench.space, bench.archive.members(0)
    order = np.argsort(-bench.problem.exact[COST](space.codes(members)), kind="stable").tolist()
    for arch in (space.largest, *(members[row] for row in order)):
        value = float(bench.measures[name].measure(np.array([arch.code])).values[0])
        if np.isfinite(value) and value > 0:
            return value
    return 1.0


def hypervolume_of(bench: Workbench, values: Floats) -> float:
    """Hypervolume of objectives `(n, m)`, each divided by its reference value; in 0..1."""
    return hypervolume(values, reference_of(bench))


def front_rows(values: Floats) -> NDArray[np.int64]:
    """Rows of the front of values `(n, m)`, without repeats of equal values."""
    rows = np.flatnonzero(non_dominated(values))
    _, first = np.unique(values[rows], axis=0, return_index=True)
    return rows[np.sort(first)]
