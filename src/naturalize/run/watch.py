"""The clock of a run, its events, and the signals that ask it to stop."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

from naturalize.errors import Interrupted
from naturalize.files import room_on_disk

Listener = Callable[[dict[str, Any]], None]

SAVE_CLOCK_S = 2.0
TELL_S = 0.25


class Clock(Protocol):
    """A store of the seconds that some work has used: the archive of a run, or a job in it."""

    used_s: float


@dataclass
class Standstill:
    """A clock that starts at a run's seconds and is not saved: ending a run early does not use its budget."""

    used_s: float


class Watch:
    """The watch of a run: it counts wall clock, writes events.jsonl, tells listeners, and raises to stop.

    It begins before there is a run to write to, since reading the data counts too; `attach` gives it one.

    Args:
        listeners: called with each event, and with `progress` events, which are too many for the file.
        started: `time.monotonic()` when this process began to work.
    """

    def __init__(self, listeners: Sequence[Listener], started: float) -> None:
        self.listeners = tuple(listeners)
        self.path: Path | None = None
        self.clock: Clock | None = None
        self._early: list[dict[str, Any]] = []
        self._base_s = 0.0
        self._started = started
        self._saved = self._told = 0.0
        self._last_told: tuple[str, bool] | None = None
        self._stop: int | None = None

    def attach(self, path: Path, clock: Clock) -> None:
        """Go on from the seconds that a clock holds, and write events, the earlier ones too, to `path`."""
        self.path, self.clock = path, clock
        self._base_s = clock.used_s
        written = path.read_bytes() if path.exists() else b""
        if written and not written.endswith(b"\n"):  # a crash cut the last line: the next must not be lost with it
            with room_on_disk(path), path.open("ab") as file:
                file.write(b"\n")
        self._append(self._early)

    @property
    def used_s(self) -> float:
        """Seconds of wall clock used by the run, without pauses."""
        return self._base_s + time.monotonic() - self._started

    def event(self, event: str, **facts: Any) -> None:
        """Append a line to events.jsonl and tell the listeners."""
        line = {
            "event": event,
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "used_s": round(self.used_s, 2),
        }
        line |= facts
        self._append([line])
        for listener in self.listeners:
            listener(line)

    def _append(self, lines: list[dict[str, Any]]) -> None:
        if self.path is None:
            self._early = self._early + lines
            return
        with room_on_disk(self.path), self.path.open("a", encoding="utf-8", newline="\n") as file:
            file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)

    def progress(self, phase: str, done: int, total: int) -> None:
        """`Progress` of any long work: tell the listeners now and then, save the clock, stop where asked to."""
        self.check()
        now = time.monotonic()
        if now - self._saved > SAVE_CLOCK_S:
            self.save_clock()
            self._saved = now
        changed = self._last_told != (phase, done >= total)
        if changed or now - self._told > TELL_S:
            self._told, self._last_told = now, (phase, done >= total)
            for listener in self.listeners:
                listener({"event": "progress", "phase": phase, "done": done, "total": total, "used_s": self.used_s})

    def progress_in_thread(self, phase: str, done: int, total: int) -> None:
        """`Progress` of work in another thread: only stop where asked to; the run's own thread tells."""
        self.check()

    def save_clock(self) -> None:
        """Write the seconds used to the clock's store."""
        if self.clock is not None:
            self.clock.used_s = self.used_s

    def check(self) -> None:
        """Raise `Interrupted` where a signal has asked to stop. Called at points where nothing is half-done."""
        if self._stop is not None:
            raise Interrupted(self._stop)

    @contextmanager
    def phase(self, name: str, **facts: Any) -> Iterator[None]:
        """Time a phase and write its event, also when it ends early."""
        start = time.monotonic()
        try:
            yield
        finally:
            self.event("phase", phase=name, seconds=round(time.monotonic() - start, 3), **facts)

    @contextmanager
    def stoppable(self) -> Iterator[None]:
        """Let SIGINT and SIGTERM ask for a stop at the next safe point; a second one stops at once."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def ask(signum: int, frame: FrameType | None) -> None:
            if self._stop is not None:
                raise Interrupted(signum)
            self._stop = signum

        before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def read_events(path: Path) -> list[dict[str, Any]]:
    """The whole lines of an events.jsonl. A crash may cut the last one, or lose the file; neither matters."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError:
        return []
    events = []
    for line in lines:
        try:
            events.append(json.loads(line))
        except ValueError:
            continue
    return [event for event in events if isinstance(event, dict)]
