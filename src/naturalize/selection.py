"""The front of a weights version is selected on validation."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from naturalize.archive import Context, Measurement
from naturalize.objectives.error import Chosen
from naturalize.probing import architecture_at, probes_of
from naturalize.run.front import FORMAT, PUBLISHED, TRANSFER, standard_error
from naturalize.search import hypervolume, non_dominated
from naturalize.setting import Setting
from naturalize.space import Codes
from naturalize.tasks import majority_error
from naturalize.version import __version__

Floats = NDArray[np.float64]
Front = dict[str, Any]  # front.json
Entry = dict[str, Any]  # one of its networks


def front_of(setting: Setting, version: int, codes: Codes, values: Floats, learns_on: bool = False) -> Front:
    """front.json of what was measured on validation; what only the test split tells is null.

    The published network competes at each resolution at which it was read: it is on the front where nothing found is
    better. The largest network is on the front at every resolution where validation is not sure of a better one: with
    few pictures, luck would put it off.

    Args:
        codes, values: architectures and their objectives under the version, `(n, d)` and `(n, m)`.
        learns_on: whether a last adaptation comes after. The published network must be better by a standard error
            then, since the others will have learnt from the validation pictures too.
    """
    run, dataset, space = setting.run, setting.dataset, setting.supernet.family.space
    setting.choose_images(version)
    found = setting.archive.measurements(Context("error", "default", "val", version))
    measured = [found[arch] for arch in space.architectures(codes)]
    probed = probed_measurements(setting)
    errors = np.array([m.value for m in probed], dtype=np.float64)
    handicap = standard_error(errors, len(setting.error.images)) if learns_on else 0.0
    probed_values = objective_values(setting, space.codes([m.architecture for m in probed]), errors + handicap)
    competing = np.concatenate([values, probed_values])
    rows = front_rows(competing).tolist()
    both = [*((m, TRANSFER) for m in measured), *((m, PUBLISHED) for m in probed)]
    taken = {both[row][0].architecture for row in rows}
    rows += [row for row in nearly_best(setting, codes, competing) if measured[row].architecture not in taken]
    networks = [network_of(setting, *both[row]) for row in rows]
    facts = setting.archive.iterations()
    names = ("iteration", "weights_version", "hypervolume", "networks")
    return {
        "format": FORMAT,
        "naturalize": __version__,
        "state": "stopped",
        "supernet": run.settings.supernet,
        "task": "default",
        "weights_version": version,
        "val_weights_version": version,
        "objectives": list(run.settings.objectives),
        "requirements": list(run.settings.requirements),
        "class_names": run.class_names,
        "majority_error": {"val": majority_error(np.asarray(setting.val.labels)), "test": None},
        "probe_error": float(errors.min()) if probed else None,
        "splits": {split: len(rows) for split, rows in dataset.splits.items()},
        "val_views": setting.error.images.views,
        "reference": reference_of(setting),
        "hypervolume": [{name: fact[name] for name in names} for fact in facts],
        "networks": sorted(networks, key=lambda network: network["madds"]),
        "notes": [note.message for note in dataset.notes],
    }


def nearly_best(setting: Setting, codes: Codes, values: Floats) -> list[int]:
    """Rows of the largest network, at any resolution, that others are better than by less than a standard error.

    Args:
        codes: of the first rows of `values`; the others only compete.
    """
    names = setting.run.settings.objectives
    if not setting.reads_published or "error" not in names:
        return []
    column, space = names.index("error"), setting.supernet.family.space
    margin = np.zeros_like(values)
    margin[:, column] = standard_error(values[:, column], len(setting.error.images))
    found = []
    for row in np.flatnonzero((codes[:, 1:] == space.upper[1:]).all(axis=1)).tolist():
        bound = values[row] - margin[row]
        surely = (values <= bound).all(axis=1) & (values < bound).any(axis=1)
        if not surely.any():
            found.append(row)
    return found


def probed_measurements(setting: Setting) -> list[Measurement]:
    """The published network at the resolutions that meet the requirements; none where a run has no such network."""
    probes, images = probes_of(setting.run.directory), setting.error.images
    if probes is None:
        return []
    rows = images.rows if isinstance(images, Chosen) else np.arange(len(images))
    rows = np.intersect1d(rows, probes.rows)
    found = []
    for resolution in probes.resolutions:
        wrong = probes.wrong[resolution][: images.views, np.searchsorted(probes.rows, rows)]
        arch = architecture_at(setting, resolution)
        detail = {"wrong": int(wrong[0].sum()), "images": len(rows), "views": len(wrong)}
        found.append(Measurement(arch, 100.0 * float(wrong.mean()), 0.0, "ok", 0.0, detail))
    allowed = setting.problem.allowed(setting.supernet.family.space.codes([m.architecture for m in found]))
    return [measurement for measurement, fits in zip(found, allowed.tolist(), strict=True) if fits]


def network_of(setting: Setting, measurement: Measurement, origin: str) -> Entry:
    """One of the `networks` of front.json."""
    arch = measurement.architecture
    codes = np.array([arch.code])
    detail = measurement.detail
    return {
        "architecture": arch.text,
        "origin": origin,
        "own_classifier": origin == PUBLISHED,
        "resolution": setting.error.resolution(arch),
        "val_error": 100.0 * detail["wrong"] / detail["images"],
        "val_images": detail["images"],
        "val_error_views": measurement.value,
        "test_error": None,
        "test_images": None,
        **{name: int(setting.problem.exact[name](codes)[0]) for name in ("madds", "params")},
        "weights": None,
        "test_confusion": None,
        "test_worst": None,
    }


def measured_values(setting: Setting, version: int) -> tuple[Codes, Floats]:
    """Architectures that meet the requirements and were measured under a version, `(n, d)`, and objectives `(n, m)`."""
    found = setting.archive.measurements(Context("error", "default", "val", version))
    good = [m for m in found.values() if m.status == "ok"]
    codes = setting.supernet.family.space.codes([m.architecture for m in good])
    error = np.array([m.value for m in good], dtype=np.float64)
    feasible = setting.problem.allowed(codes)
    codes, error = codes[feasible], error[feasible]
    return codes, objective_values(setting, codes, error)


def objective_values(setting: Setting, codes: Codes, error: Floats) -> Floats:
    """Objectives of architectures in the run's order. Shapes: `(n, d), (n,) -> (n, m)`."""
    names = setting.run.settings.objectives
    columns = [error if name == "error" else setting.problem.exact[name](codes) for name in names]
    return np.stack(columns, axis=1).astype(np.float64)


def reference_of(setting: Setting) -> list[float]:
    """Hypervolume's reference point: the majority class's error, and 1.05 x the largest architecture for the rest."""
    largest = setting.supernet.family.space.corners()[1:]
    majority = majority_error(np.asarray(setting.val.labels)) or 100.0  # where validation has one class alone
    names = setting.run.settings.objectives
    return [majority if name == "error" else 1.05 * float(setting.problem.exact[name](largest)[0]) for name in names]


def hypervolume_of(setting: Setting, values: Floats) -> float:
    """Hypervolume of objectives `(n, m)`, each divided by its reference value; in 0..1."""
    return hypervolume(values, reference_of(setting))


def front_rows(values: Floats) -> NDArray[np.int64]:
    """Rows of the front, without repeats of equal values."""
    rows = np.flatnonzero(non_dominated(values))
    _, first = np.unique(values[rows], axis=0, return_index=True)
    return rows[np.sort(first)]
