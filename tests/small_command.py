"""`naturalize` with small archives, and with signals that the process sends itself at an exact point of its work.

    python small_command.py transfer DATA ...

The environment variable `SIGNALS` lists points as `phase:call:signal`, with commas between: at that call of `progress`
in that phase the process gets that signal, as from outside. `signal` is a name such as SIGKILL.
"""

import os
import signal
import time
from collections import Counter

import naturalize  # noqa: F401  (before torch: its settings of the environment)
from naturalize import schedule, session
from naturalize.cli import main
from naturalize.run import Watch

schedule.INITIAL, schedule.NEW = 12, 6
session.SAVE_S = float(os.environ.get("SAVE_S", "0"))  # a checkpoint after every step unless told

points = {
    (phase, int(call)): getattr(signal, name)
    for phase, call, name in (point.split(":") for point in os.environ.get("SIGNALS", "").split(",") if point)
}
calls: Counter[str] = Counter()
progress = Watch.progress


def told(self: Watch, phase: str, done: int, total: int) -> None:
    calls[phase] += 1
    if (phase, calls[phase]) in points:
        os.kill(os.getpid(), points[phase, calls[phase]])
        time.sleep(0.01)
    progress(self, phase, done, total)


Watch.progress = told  # type: ignore[method-assign]

if __name__ == "__main__":
    main()
