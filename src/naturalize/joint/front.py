"""The front of a joint run: which networks all data sets get, and the file that lists them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from naturalize.errors import UserError, command
from naturalize.files import check_content, checksum_of, write_json
from naturalize.objectives import COST
from naturalize.run.front import FORMAT
from naturalize.search import hypervolume, non_dominated
from naturalize.version import __version__

Floats = NDArray[np.float64]
Front = dict[str, Any]

MOST = 20  # networks of a joint front: each is trained on, tested and written for every data set


@dataclass(frozen=True)
class Plane:
    """One data set's part of the objectives: its first error, and the first count.

    Attributes:
        columns: of the two among the objectives.
        reference: point that hypervolume is of, as of `selection.reference_of`.
    """

    columns: tuple[int, int]
    reference: tuple[float, float]

    def hypervolume(self, values: Floats) -> float:
        """Hypervolume of objectives `(n, m)` in this plane, in 0..1."""
        return hypervolume(values[:, list(self.columns)], self.reference)


def mean_hypervolume(planes: Sequence[Plane], values: Floats) -> float:
    """Mean of the planes' hypervolumes of objectives `(n, m)`. That of all objectives at once takes too long."""
    return float(np.mean([plane.hypervolume(values) for plane in planes]))


def joint_rows(planes: Sequence[Plane], values: Floats, most: int = MOST) -> list[int]:
    """Rows of the networks that all data sets get: no other is better in all objectives.

    With many objectives hardly any network dominates another. Where these are more than `most`, they are taken in turn,
    each by the greatest gain of the planes' mean hypervolume: so every data set keeps nearly its own front. Where none
    gains, the cheapest come first.

    Args:
        planes: of the data sets.
        values: objectives, `(n, m)`.
        most: number of rows, at most.
    """
    left = np.flatnonzero(non_dominated(values)).tolist()
    _, first = np.unique(values[left], axis=0, return_index=True)
    left = [
        left[place] for place in sorted(first.tolist(), key=lambda place: values[left[place], planes[0].columns[1]])
    ]
    taken: list[int] = []
    if len(left) <= most:
        return left
    while len(taken) < most:
        gains = [mean_hypervolume(planes, values[[*taken, row]]) for row in left]
        taken.append(left.pop(int(np.argmax(gains))))
    return taken


def ranks(errors: Floats) -> Floats:
    """The rank of each network by each error, 1 for the lowest; equal ones share the mean rank. `(n, k) -> (n, k)`."""
    from scipy.stats import rankdata

    found: Floats = rankdata(errors, axis=0)
    return found


def trade_off(errors: Floats, costs: Floats, most: float) -> int:
    """The row of the network that suits all data sets best at a cost, after Figure 26 of the paper.

    Of the networks of at most that cost (the cheapest where there is none) it has the lowest mean rank by the errors;
    of equal ones it is the cheapest.

    Args:
        errors: by data set, `(n, k)`.
        costs: `(n,)`.
        most: cost that it may have.
    """
    rows = np.flatnonzero(costs <= max(most, costs.min()))
    mean = ranks(errors[rows]).mean(axis=1)
    return int(rows[np.lexsort([costs[rows], mean])[0]])


def write_joint_front(directory: Path, front: Mapping[str, Any]) -> None:
    """Write the front.json of a joint run."""
    write_json(directory / "front.json", {**front, "checksum": checksum_of(front)})


def joint_front(
    fronts: Mapping[str, Front], archs: Sequence[str], objectives: Sequence[str], facts: Mapping[str, Any]
) -> Front:
    """The content of a joint run's front.json.

    Args:
        fronts: content of front.json of each data set's run, by name.
        archs: strings of the joint front's architectures.
        objectives: of the joint run.
        facts: that stand in the file as they are.
    """
    entries = {
        name: {network["architecture"]: network for network in front["networks"]} for name, front in fronts.items()
    }
    there = [text for text in archs if all(text in found for found in entries.values())]
    networks = []
    for text in there:
        each = {name: found[text] for name, found in entries.items()}
        first = next(iter(each.values()))
        counts = {key: max(int(value_of(network, key)) for network in each.values()) for key in (COST, "params")}
        shared = ("val_error", "val_error_views", "val_balanced_error", "test_error", "test_balanced_error", "origin")
        networks.append(
            {
                "architecture": text,
                "resolution": first["resolution"],
                **counts,
                "objectives": {objective: joint_value(each, objective) for objective in objectives},
                "sets": {
                    name: {
                        **{key: network[key] for key in shared},
                        "weights": None if network["weights"] is None else f"{name}/{network['weights']}",
                    }
                    for name, network in each.items()
                },
            }
        )
    values = np.array([[network["objectives"][name] for name in objectives] for network in networks])
    best = non_dominated(values.reshape(-1, len(objectives)))  # classifiers of their own have changed errors since
    networks = [network for network, stays in zip(networks, best.tolist(), strict=True) if stays]
    lost = len(archs) - len(there)
    note = [f"{lost} of the networks had to be left out: there was no time to test them on every data set"] * bool(lost)
    return {
        "format": FORMAT,
        "naturalize": __version__,
        "state": "finished",
        "objectives": list(objectives),
        **facts,
        "networks": sorted(networks, key=lambda network: network[COST]),
        "notes": note,
    }


def joint_value(each: Mapping[str, Mapping[str, Any]], objective: str) -> float:
    """A joint run's objective of an architecture: an error of one data set, or the largest count of all.

    Args:
        each: entries of front.json by data set.
        objective: its name, as `error@a` or `madds`.
    """
    base, _, name = objective.partition("@")
    return value_of(each[name], base) if name else max(value_of(network, base) for network in each.values())


def value_of(network: Mapping[str, Any], objective: str) -> float:
    """An objective of an entry of one data set's front.json, on validation."""
    known = {"error": network["val_error_views"], **network, **network["objectives"]}
    return float(known[objective])


def read_joint_front(directory: Path) -> Front:
    """The content of a joint run's front.json. Raises `UserError` where there is none yet, or a damaged one."""
    path = directory / "front.json"
    try:
        front = check_content(dict(json.loads(path.read_text(encoding="utf-8"))))
        if front["format"] > FORMAT:
            raise UserError(
                f"{path} was written by a newer naturalize (format {front['format']}, known is {FORMAT}): update it"
            )
        if not front["networks"]:
            raise ValueError("no networks")
        return front
    except FileNotFoundError as error:
        told = f"{directory} is not finished yet: go on with `{command('resume', directory)}`, or end it with"
        raise UserError(f"{told} `{command('finish', directory)}`") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error}): write it anew with `{command('finish', directory)}`") from error
