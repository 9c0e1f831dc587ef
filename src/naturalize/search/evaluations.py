"""The measurements of a search, in order, and calls of a user's function that lose none of its results."""

from __future__ import annotations

import csv
import io
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from naturalize.errors import UserError
from naturalize.files import write_bytes
from naturalize.search.hypervolume import hypervolume
from naturalize.search.problem import Floats, SearchProblem, floats
from naturalize.search.survival import non_dominated
from naturalize.space import Codes

Evaluate = Callable[[Codes], Mapping[str, ArrayLike]]
"""A user's expensive function: codes `(n, d)` to the measured objectives by name, `(n,)` each."""

Found = list[tuple[list[float], str]]
"""For each architecture the values of the measured objectives, and why it failed, empty where it did not."""

HOPELESS = 10  # evaluations after which a search gives up, if all of them failed


class SearchError(UserError):
    """A search that cannot go on; its measurements are in `archive`, which another call of `search` accepts."""

    def __init__(self, message: str, archive: SearchArchive) -> None:
        super().__init__(message)
        self.archive = archive


@dataclass(frozen=True)
class Evaluated:
    """The result of one architecture; `reason` says why its measurement failed, and is empty where it did not."""

    code: tuple[int, ...]
    values: tuple[float, ...]
    reason: str


class SearchArchive:
    """Everything that a search measured, in the order in which it came in.

    Attributes:
        problem: what was searched; that of the last search where several went on with the archive.
        rows: an `Evaluated` for each measurement.
        suspects: architectures that were under way when an executor broke, and not measured since. A later search tries
            each by itself; one that breaks an executor then is a failure.

    Example:
        >>> from naturalize.space import SearchSpace, Variable
        >>> problem = SearchProblem(SearchSpace("cups", [Variable("height", 3, 20)]), ["loss", "weight"])
        >>> archive = SearchArchive(problem)
        >>> archive.add(np.array([[3], [4], [5]]), np.array([[3.0, 1.0], [2.0, 2.0], [3.0, 3.0]]), ["", "", ""])
        >>> archive.front().tolist()
        [1, 0]
    """

    def __init__(self, problem: SearchProblem) -> None:
        self.problem = problem
        self.rows: list[Evaluated] = []
        self.suspects: list[tuple[int, ...]] = []

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def codes(self) -> Codes:
        """Codes of the measured architectures, `(n, d)`."""
        return np.array([row.code for row in self.rows], dtype=np.int64).reshape(-1, len(self.problem.space))

    @property
    def values(self) -> Floats:
        """Objectives, `(n, m)`; nan where a measurement failed."""
        return np.array([row.values for row in self.rows]).reshape(-1, len(self.problem.objectives))

    @property
    def failed(self) -> int:
        """Number of measurements that failed."""
        return sum(bool(row.reason) for row in self.rows)

    def add(self, codes: Codes, values: Floats, reasons: Sequence[str]) -> None:
        """Append measurements.

        Args:
            codes: `(n, d)`.
            values: objectives, `(n, m)`; nan where a measurement failed.
            reasons: why each failed, empty where it did not, `(n,)`.

        Raises `UserError` for other shapes, and for codes that are no architectures of the space.
        """
        codes, values = self.problem.checked(codes, values)
        if len(reasons) != len(codes):
            raise UserError(f"reasons have the shape {(len(codes),)}, not {(len(reasons),)}")
        rows = list(map(tuple, codes.tolist()))
        self.rows += map(Evaluated, rows, map(tuple, values.tolist()), reasons)
        self.suspects = [code for code in self.suspects if code not in rows]

    def front(self) -> NDArray[np.intp]:
        """Rows of the non-dominated candidates within all limits, sorted by the first objective."""
        codes, values = self.codes, self.values
        within = np.isfinite(values).all(axis=1)
        for column, name in enumerate(self.problem.objectives):
            within &= ~(values[:, column] > self.problem.limits.get(name, np.inf))
        rows = np.flatnonzero(within)
        rows = rows[self.problem.allowed(codes[rows])]
        rows = rows[non_dominated(values[rows])] if len(rows) else rows
        return rows[np.argsort(values[rows, 0], kind="stable")]

    def hypervolumes(self, reference: ArrayLike) -> Floats:
        """Share of the box below the reference point `(m,)` that is dominated after each measurement, `(n,)`."""
        values = self.values
        found: list[float] = []
        front = np.empty((0, values.shape[1]))
        for row in values:
            new = np.isfinite(row).all() and not (front <= row).all(axis=1).any()
            if new:
                front = np.concatenate([front[~(row <= front).all(axis=1)], row[None]])
            found.append(hypervolume(front, reference) if new or not found else found[-1])
        return np.array(found)

    def write_csv(self, path: str | Path) -> None:
        """Write a line for each measurement, in order: the architecture's string, the objectives, why it failed."""
        strings = self.problem.space.strings(self.codes)
        table = io.StringIO(newline="")
        writer = csv.writer(table)
        writer.writerow(["architecture", *self.problem.objectives, "failed"])
        writer.writerows([text, *row.values, row.reason] for text, row in zip(strings, self.rows, strict=True))
        write_bytes(Path(path), table.getvalue().encode(errors="backslashreplace"))

    def check_hope(self) -> None:
        """Raise `SearchError` where all of the first measurements failed."""
        if len(self) >= HOPELESS and self.failed == len(self):
            first = self.rows[0]
            text = self.problem.space.strings(np.array([first.code]))[0]
            raise SearchError(f"all of the first {len(self)} evaluations failed; of {text}: {first.reason}", self)


def measured(evaluate: Evaluate, names: Sequence[str], codes: Codes) -> Found:
    """Values of the measured objectives and the reason of a failure, for each architecture.

    An exception of `evaluate` is raised again for several architectures, and is a failure for a single one. Executors
    run this in their workers.

    Args:
        evaluate: the user's function.
        names: of the measured objectives.
        codes: `(n, d)`.
    """
    try:
        columns = checked(evaluate(codes.copy()), names, len(codes))
    except Exception as error:
        if len(codes) > 1:
            raise
        return [([np.nan] * len(names), in_a_line(error))]
    found = []
    for row in np.column_stack(columns) if columns else np.empty((len(codes), 0)):
        bad = [name for name, value in zip(names, row, strict=True) if not np.isfinite(value)]
        found.append((row.tolist(), f"{bad[0]} is not finite" if bad else ""))
    return found


def in_a_line(error: BaseException) -> str:
    """What an exception says, on one line."""
    lines = [str(error)] if isinstance(error, UserError) else traceback.format_exception_only(error)
    return " ".join("".join(lines).split())


def in_parts(evaluate: Evaluate, names: Sequence[str], codes: Codes) -> Iterator[tuple[Codes, Found]]:
    """Yield codes `(k, d)` and their results, `measured` all at once; one by one where that raises, to lose none.

    Args:
        evaluate, names, codes: as of `measured`.
    """
    try:
        found = measured(evaluate, names, codes)
    except Exception:
        for row in range(len(codes)):
            yield codes[row : row + 1], measured(evaluate, names, codes[row : row + 1])
    else:
        yield codes, found


def checked(answer: Any, names: Sequence[str], n: int) -> list[Floats]:
    """The columns of an answer, `(n,)` each. Raises `ValueError` where one is missing, or of another length.

    Args:
        answer: of the user's function.
        names: of the objectives that it must have.
        n: number of architectures asked.
    """
    columns = []
    for name in names:
        if not isinstance(answer, Mapping) or name not in answer:
            raise ValueError(f"evaluate gave no {name!r}: it gives a dictionary of arrays by objective")
        values = floats(answer[name], f"evaluate's {name}")
        if values.shape != (n,):
            raise ValueError(f"evaluate gave {name!r} the shape {values.shape} for {n} architectures")
        columns.append(values)
    return columns
