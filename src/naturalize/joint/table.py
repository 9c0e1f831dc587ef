"""The front of a joint run in lines of text, and its trade-off network by a stated rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from naturalize.errors import UserError
from naturalize.joint.front import Front, ranks, trade_off
from naturalize.numbers import count, percent
from naturalize.objectives import COST, objective_of
from naturalize.run.choosing import parse_at
from naturalize.terminal import in_columns

Floats = NDArray[np.float64]


def errors_by(front: Front) -> tuple[list[str], Floats]:
    """The errors among a joint run's objectives, and their values on validation, `(networks, errors)`."""
    names = [name for name in front["objectives"] if "@" in name]
    return names, np.array([[network["objectives"][name] for name in names] for network in front["networks"]])


def trade_off_of(front: Front, at: str | None) -> tuple[dict[str, Any], str]:
    """The trade-off network of a joint front at a cost, and why, in words. Raises `UserError` for a cost that is none.

    Args:
        front: content of the joint run's front.json.
        at: the cost, as `madds=20M`; the median of the front's multiply-adds unless told.
    """
    name, most = (COST, None) if at is None else parse_at(at)
    costs = costs_of(front, name)
    most = float(np.median(costs)) if most is None else most
    _, errors = errors_by(front)
    row = trade_off(errors, costs, most)
    told = objective_of(name)
    why = f"lowest mean rank by {errors.shape[1]} errors of the networks up to {told.shown(most)} {told.words}"
    if most < costs.min():
        why = f"the smallest, since none has {told.shown(most)} {told.words} or less"
    return front["networks"][row], f"the trade-off: {why}"


def costs_of(front: Front, name: str) -> Floats:
    """A count of the networks of a joint front, `(n,)`. Raises `UserError` where it has none of that name."""
    found = [{**network, **network["objectives"]}.get(name) for network in front["networks"]]
    if any(value is None for value in found):
        counts = [objective for objective in front["objectives"] if "@" not in objective]
        raise UserError(f"this run knows no {name}: it knows {', '.join(dict.fromkeys([*counts, COST, 'params']))}")
    return np.array(found, dtype=np.float64)


def joint_table(front: Front, only: Mapping[str, Any] | None = None) -> list[str]:
    """The networks of a joint front in lines of text: test errors by data set, validation's where there are none.

    The last column is the mean rank by validation errors, 1 for the best.

    Args:
        front: content of the joint run's front.json.
        only: the one network to list; all where None.
    """
    sets: Sequence[str] = list(front["sets"])
    _, errors = errors_by(front)
    mean = ranks(errors).mean(axis=1)
    split = "test" if all(tested(network) for network in front["networks"]) else "val"
    rows = [["architecture", "px", "MAdds", "params", *(f"{name} {split} error" for name in sets), "mean rank"]]
    for network, rank in zip(front["networks"], mean.tolist(), strict=True):
        if only is not None and network is not only:
            continue
        found = [percent(network["sets"][name][f"{split}_error"]) for name in sets]
        facts = [str(network["resolution"]), count(network[COST]), count(network["params"])]
        rows.append([network["architecture"], *facts, *found, f"{rank:.1f}"])
    return in_columns(rows)


def tested(network: Mapping[str, Any]) -> bool:
    """Whether a network has a test error for every data set."""
    return all(own["test_error"] is not None for own in network["sets"].values())
