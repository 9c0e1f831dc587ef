"""`naturalize` with small archives and short searches, and with signals that the process sends itself at exact points.

    python small_command.py transfer DATA ...

The environment variable `SIGNALS` lists points as `what:number:signal`, with commas between: at that call of `progress`
in the phase `what`, or after that event `what`, the process gets that signal, as from outside; as `adapt:2:SIGKILL`.
"""

import os
import signal
import time
from collections import Counter
from functools import partial
from typing import Any

import naturalize  # noqa: F401  (before torch: its settings of the environment)
from naturalize import schedule, session
from naturalize.cli import main
from naturalize.run import Watch
from naturalize.search import guided

schedule.INITIAL, schedule.NEW = 8, 4
guided.propose = partial(guided.propose, generations=5)  # type: ignore[assignment]
guided.GainGuided.generations, guided.GainGuided.children = 5, 50
session.SAVE_S = float(os.environ.get("SAVE_S", "0"))  # a checkpoint after every step unless told

points = {
    (phase, int(call)): getattr(signal, name)
    for phase, call, name in (point.rsplit(":", 2) for point in os.environ.get("SIGNALS", "").split(",") if point)
}
calls: Counter[str] = Counter()
progress, progress_in_thread, event = Watch.progress, Watch.progress_in_thread, Watch.event


def happens(what: str) -> None:
    calls[what] += 1
    if (what, calls[what]) in points:
        os.kill(os.getpid(), points[what, calls[what]])
        time.sleep(0.01)


def told(self: Watch, phase: str, done: int, total: int) -> None:
    happens(phase)
    progress(self, phase, done, total)


def told_in_thread(self: Watch, phase: str, done: int, total: int) -> None:
    happens(phase)
    progress_in_thread(self, phase, done, total)


def written(self: Watch, name: str, **facts: Any) -> None:
    event(self, name, **facts)
    happens(name)


Watch.progress, Watch.progress_in_thread, Watch.event = told, told_in_thread, written  # type: ignore[method-assign]

if __name__ == "__main__":
    main()
