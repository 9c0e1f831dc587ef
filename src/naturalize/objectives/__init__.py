"""Objectives: a number per architecture, minimised. Exact ones are counted, `error` is measured.

A new objective is one file and one line in `KINDS`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from naturalize.archive import Context
from naturalize.errors import UserError, unknown
from naturalize.space import Codes

Kind = Literal["exact", "modelled", "measured"]

KINDS: dict[str, Kind] = {"error": "measured", "madds": "exact", "params": "exact"}


@dataclass(frozen=True)
class Measured:
    """Values of n architectures.

    Attributes:
        values, spread: `(n,)`; NaN where `status` is not `ok`.
        status: `ok`, or in a few words why there is no value; `(n,)`.
        details: facts that belong to each value, as numbers of images; `(n,)`.
    """

    values: NDArray[np.float64]
    spread: NDArray[np.float64]
    status: list[str]
    details: list[dict[str, Any]] = field(default_factory=list)


class Objective(Protocol):
    """The contract of every objective.

    `measure` has no order and no memory: rows may be dealt out over processes. It raises nothing for a network that
    cannot be measured, but gives a status. Exact objectives ignore the context.
    """

    name: str
    unit: str
    kind: Kind

    def measure(self, codes: Codes, context: Context | None = None) -> Measured: ...


def parse_objectives(names: Sequence[str]) -> tuple[str, ...]:
    """Distinct names of known objectives, one to three of them. `error@default` is `error`. Raises `UserError`."""
    parsed = []
    for name in names:
        base, _, task = name.partition("@")
        if base not in KINDS:
            raise unknown("objective", base, KINDS)
        if task not in ("", "default"):
            raise UserError(f"objective {name!r}: this run has one task, `default`; write `{base}`")
        parsed.append(base)
    if len(set(parsed)) < len(parsed):
        raise UserError(f"an objective is given twice: {', '.join(names)}")
    if not 1 <= len(parsed) <= 3:
        raise UserError(f"give one to three objectives, not {len(parsed)}")
    return tuple(parsed)
