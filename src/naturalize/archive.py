"""The archive: the architectures of a run, every measurement ever made, and what was decided; SQLite, no torch.

Contract: one process writes, any number read at any time. Each method that writes is one durable transaction, so that a
kill at any moment loses nothing that a finished call has written. A writer waits up to 30 s for another one's lock.

Every row has a checksum: SQLite's own checks find a damaged structure, but not a damaged number.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from naturalize.errors import UserError
from naturalize.files import on_network_drive
from naturalize.space import Architecture, SearchSpace

FORMAT = 2
WAIT_S = 30.0

SCHEMA = """
CREATE TABLE architectures (
    id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE, origin TEXT NOT NULL, iteration INTEGER NOT NULL,
    checksum INTEGER NOT NULL);
CREATE TABLE members (
    iteration INTEGER NOT NULL, place INTEGER NOT NULL, architecture INTEGER NOT NULL REFERENCES architectures,
    checksum INTEGER NOT NULL, PRIMARY KEY (iteration, place));
CREATE TABLE measurements (
    architecture INTEGER NOT NULL REFERENCES architectures, objective TEXT NOT NULL, task TEXT NOT NULL,
    split TEXT NOT NULL, version INTEGER NOT NULL, machine TEXT NOT NULL,
    value REAL, spread REAL, status TEXT NOT NULL, seconds REAL NOT NULL, detail TEXT NOT NULL,
    checksum INTEGER NOT NULL,
    PRIMARY KEY (objective, task, split, version, machine, architecture));
CREATE TABLE iterations (number INTEGER PRIMARY KEY, facts TEXT NOT NULL, checksum INTEGER NOT NULL);
CREATE TABLE decisions (name TEXT PRIMARY KEY, value TEXT NOT NULL, checksum INTEGER NOT NULL);
CREATE TABLE clock (one INTEGER PRIMARY KEY CHECK (one = 1), used_s REAL NOT NULL, checksum INTEGER NOT NULL);
"""
TABLES = "architectures", "members", "measurements", "iterations", "decisions", "clock"


TASK = "default"  # the name of a run's one task


@dataclass(frozen=True)
class Context:
    """All that a measured value depends on besides the architecture. Values of two contexts are never compared.

    Attributes:
        objective: name without the task, as `error`.
        task: name of the task.
        split: `val` or `test`.
        version: weights version of the supernet.
        machine: where it was measured; empty when it does not matter, as for errors. The errors of int8 files have here
            which networks they are of, where these are not the supernet's, and whether they are as exported.
    """

    objective: str
    task: str
    split: str
    version: int
    machine: str = ""


@dataclass(frozen=True)
class Measurement:
    """One value of one architecture.

    Attributes:
        value: the objective, minimised; None unless `status` is `ok`.
        spread: standard deviation of repeats; 0 for a deterministic measurement.
        status: `ok`, or in a word why there is no value.
        seconds: of the run's time that it took; its share where several were measured at once.
        detail: further facts, as the number of images.
    """

    architecture: Architecture
    value: float | None
    spread: float
    status: str
    seconds: float
    detail: dict[str, Any]


class Archive:
    """The archive of one run. Opens an existing file, or makes one.

    Args:
        path: of the SQLite file.
        space: search space of its architectures.
        read_only: for a reader beside a running process; every write then raises.
    """

    def __init__(self, path: Path, space: SearchSpace, *, read_only: bool = False) -> None:
        self.path = path
        self.space = space
        try:
            if read_only:
                address = f"{path.absolute().as_uri()}?mode=ro"
                self._db = sqlite3.connect(address, uri=True, timeout=WAIT_S, isolation_level=None)
            else:
                self._db = sqlite3.connect(path, timeout=WAIT_S, isolation_level=None)
                self._db.execute(f"PRAGMA journal_mode = {journal_mode(path)}")
                self._db.execute("PRAGMA synchronous = FULL")
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
            if version == 0 and not read_only:
                with self._transaction():
                    for statement in SCHEMA.strip().split(";\n"):
                        self._db.execute(statement)
                    self._put("clock", 1, 0.0)
                    self._db.execute(f"PRAGMA user_version = {FORMAT}")
            elif version == 1 and not read_only:
                self._add_checksums()
            elif version == FORMAT:
                self._check()
        except sqlite3.Error as error:
            remedy = "put it back from a copy, or start a new run"
            raise UserError(disk_full(path, error) or f"{path} cannot be opened: {error}: {remedy}") from error
        if version == 0 and read_only:
            raise UserError(f"nothing measured yet: {path} has only just been made")
        if version > FORMAT:
            raise UserError(
                f"{path} was written by a newer naturalize (format {version}, known is {FORMAT}): update it"
            )

    def close(self) -> None:
        """Release the file."""
        self._db.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                if self._db.in_transaction:  # on a full disk SQLite has rolled back itself
                    self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")
        except sqlite3.OperationalError as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            if "locked" in str(error):
                message = (
                    f"{self.path} has been locked by another process for {WAIT_S:.0f} s: end that one, then resume"
                )
            else:
                message = disk_full(self.path, error) or f"{self.path} cannot be written: {error}"
            raise UserError(message) from error

    def _put(self, table: str, *values: Any, how: str = "INSERT") -> None:
        """Insert a row into a table, within a transaction that is under way."""
        row = *values, checksum(table, values)
        self._db.execute(f"{how} INTO {table} VALUES ({', '.join('?' * len(row))})", row)

    def _check(self) -> None:
        """Raise `UserError` where a row has changed since it was written, or a damaged page has lost one."""
        (found,) = self._db.execute("PRAGMA integrity_check(1)").fetchone()
        if found != "ok":
            raise UserError(f"{self.path} is damaged ({found}): put back a copy, or start a new run")
        for table in TABLES:
            for *values, stored in self._db.execute(f"SELECT * FROM {table}"):
                if stored != checksum(table, values):
                    raise UserError(
                        f"{self.path} is damaged: a row of its {table} has changed since it was written. Put back a "
                        "copy, or start a new run; networks that are written already can still be used"
                    )

    def _add_checksums(self) -> None:
        """Convert an archive of format 1 to format 2."""
        with self._transaction():
            for table in TABLES:
                self._db.execute(f"ALTER TABLE {table} ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0")
                for rowid, *values, _ in self._db.execute(f"SELECT rowid, * FROM {table}").fetchall():
                    found = checksum(table, values)
                    self._db.execute(f"UPDATE {table} SET checksum = ? WHERE rowid = ?", (found, rowid))
            self._db.execute(f"PRAGMA user_version = {FORMAT}")

    def _identified(self, members: Sequence[tuple[Architecture, str]], iteration: int) -> list[int]:
        """Row numbers of architectures; new ones are stored, with their origin."""
        numbers = []
        for arch, origin in members:
            row = self._db.execute("SELECT id FROM architectures WHERE text = ?", (arch.text,)).fetchone()
            if row is None:
                row = self._db.execute("SELECT coalesce(max(id), 0) + 1 FROM architectures").fetchone()
                self._put("architectures", row[0], arch.text, origin, iteration)
            numbers.append(row[0])
        return numbers

    # architectures and members ----------------------------------------------------------------------------------

    def set_members(self, iteration: int, members: Sequence[tuple[Architecture, str]]) -> None:
        """Store the members of an iteration, in order, each with its origin (`corner`, `uniform`, `search`, ...).

        An architecture keeps the origin and the iteration with which it first came.
        """
        with self._transaction():
            numbers = self._identified(members, iteration)
            self._db.execute("DELETE FROM members WHERE iteration = ?", (iteration,))
            for place, number in enumerate(numbers):
                self._put("members", iteration, place, number)

    def members(self, iteration: int) -> list[Architecture]:
        """The members of an iteration, in the order stored; empty when there are none yet."""
        return [arch for arch, _ in self.members_with_origins(iteration)]

    def members_with_origins(self, iteration: int) -> list[tuple[Architecture, str]]:
        """The members of an iteration as of `members`, each with the origin with which it first came."""
        rows = self._db.execute(
            "SELECT text, origin FROM members JOIN architectures ON id = architecture "
            "WHERE members.iteration = ? ORDER BY place",
            (iteration,),
        )
        return [(self.space.parse(text), origin) for text, origin in rows]

    # measurements -----------------------------------------------------------------------------------------------

    def record(self, context: Context, measurement: Measurement) -> None:
        """Store one measurement, in a transaction of its own. A second one in the same context replaces nothing.

        A value that is not finite is stored as failed, whatever its status says.
        """
        value, status = measurement.value, measurement.status
        if value is None or not np.isfinite(value):
            value, status = None, "not finite" if status == "ok" else status
        with self._transaction():
            (number,) = self._identified([(measurement.architecture, "user")], -1)
            self._put(
                "measurements", number,
                context.objective, context.task, context.split, context.version, context.machine,
                None if value is None else float(value), float(np.nan_to_num(measurement.spread)), status,
                float(measurement.seconds), json.dumps(measurement.detail),
                how="INSERT OR IGNORE",
            )  # fmt: skip

    def measurements(self, context: Context) -> dict[Architecture, Measurement]:
        """Everything measured in one context, failures included."""
        rows = self._db.execute(
            "SELECT text, value, spread, status, seconds, detail FROM measurements "
            "JOIN architectures ON id = architecture "
            "WHERE objective = ? AND task = ? AND split = ? AND version = ? AND machine = ? ORDER BY id",
            (context.objective, context.task, context.split, context.version, context.machine),
        )
        found = {}
        for text, value, spread, status, seconds, detail in rows:
            arch = self.space.parse(text)
            found[arch] = Measurement(arch, value, spread, status, seconds, json.loads(detail))
        return found

    def versions(self, objective: str, task: str) -> list[int]:
        """Weights versions under which an objective was measured on validation, ascending."""
        rows = self._db.execute(
            "SELECT DISTINCT version FROM measurements WHERE objective = ? AND task = ? AND split = 'val' ORDER BY 1",
            (objective, task),
        )
        return [version for (version,) in rows]

    def failed(self, task: str) -> list[Architecture]:
        """Architectures that could not be measured on validation: by any objective, under any weights version."""
        rows = self._db.execute(
            "SELECT DISTINCT text FROM measurements JOIN architectures ON id = architecture "
            "WHERE task = ? AND split = 'val' AND value IS NULL ORDER BY id",
            (task,),
        )
        return [self.space.parse(text) for (text,) in rows]

    def values(self, contexts: Iterable[Context], architectures: Sequence[Architecture]) -> NDArray[np.float64]:
        """Values of architectures, `(n,)`; NaN where there is none. More than one context raises `ValueError`."""
        distinct = set(contexts)
        if len(distinct) != 1:
            raise ValueError(f"values of different contexts cannot be compared: {sorted(map(str, distinct))}")
        found = self.measurements(distinct.pop())
        values = [found[arch].value if arch in found else None for arch in architectures]
        return np.array([np.nan if value is None else value for value in values], dtype=np.float64)

    # iterations, decisions, clock -------------------------------------------------------------------------------

    def close_iteration(self, number: int, facts: dict[str, Any]) -> None:
        """Store the results of an iteration: weights version, hypervolume, counts."""
        with self._transaction():
            self._put("iterations", number, json.dumps(facts), how="INSERT OR REPLACE")

    def iterations(self) -> list[dict[str, Any]]:
        """The facts of every closed iteration, in order, each with its `iteration`."""
        rows = self._db.execute("SELECT number, facts FROM iterations ORDER BY number")
        return [{"iteration": number, **json.loads(facts)} for number, facts in rows]

    def decide(self, name: str, make: Callable[[], Any]) -> Any:
        """The recorded decision of that name; where there is none, the value of `make()`, which is recorded.

        A decision by the clock is thus taken once, so that a resumed run goes on where it was.
        """
        found = self.decision(name)
        if found is None:
            found = make()
            self.record_decision(name, found)
        return found

    def decision(self, name: str) -> Any:
        """The recorded decision of that name (a JSON value), or None."""
        row = self._db.execute("SELECT value FROM decisions WHERE name = ?", (name,)).fetchone()
        return None if row is None else json.loads(row[0])

    def record_decision(self, name: str, value: Any) -> None:
        """Record a decision, in place of an earlier one of that name."""
        with self._transaction():
            self._put("decisions", name, json.dumps(value), how="INSERT OR REPLACE")

    @property
    def used_s(self) -> float:
        """Seconds of wall clock that the run has used, without pauses."""
        return float(self._db.execute("SELECT used_s FROM clock").fetchone()[0])

    @used_s.setter
    def used_s(self, seconds: float) -> None:
        with self._transaction():
            self._put("clock", 1, float(seconds), how="INSERT OR REPLACE")


def checksum(table: str, values: Sequence[Any]) -> int:
    """CRC-32 of a row."""
    return zlib.crc32(repr((table, *values)).encode())


def disk_full(path: Path, error: sqlite3.Error) -> str | None:
    """The message for an error of SQLite that means a full or failing disk; None for any other error."""
    if "full" in str(error) or "I/O" in str(error):
        return f"the disk of {path} is full or failing ({error}): free some space, then resume"
    return None


def journal_mode(path: Path) -> str:
    """SQLite's journal mode: `WAL`, so that readers never block the writer, but where it is unsafe: network drives."""
    return "TRUNCATE" if on_network_drive(path) else "WAL"
