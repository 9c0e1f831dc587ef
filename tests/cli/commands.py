"""The real command line in processes of its own, and what one finished run is to the tests that share it."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii", "PYTHONCOERCECLOCALE": "0"}


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """The lines that it printed."""
        return self.out.splitlines()


def one_thread() -> None:
    """Keep a process on one CPU: tiny networks gain nothing from more."""
    if hasattr(os, "sched_setaffinity"):
        allowed = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {allowed[os.getpid() % len(allowed)]})


SMALL = "from naturalize import schedule; schedule.INITIAL, schedule.NEW = 30, 8; "


def naturalize(
    *arguments: str | Path, cwd: Path | None = None, env: dict[str, str] | None = None, small: bool = False
) -> Done:
    """Run a command as a user does; with `small`, measuring fewer networks than a user would have measured."""
    program = f"{SMALL if small else ''}from naturalize.cli import main; main()"
    command = [sys.executable, "-c", program, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, cwd=cwd, env=env, timeout=280, preexec_fn=one_thread)
    return Done(done.returncode, done.stdout.decode(), done.stderr.decode())


def content_of(path: Path) -> dict[str, bytes]:
    """Every file below a path, to see that nothing was changed."""
    if not path.is_dir():
        return {".": path.read_bytes()} if path.exists() else {}
    return {file.relative_to(path).as_posix(): file.read_bytes() for file in path.rglob("*") if file.is_file()}


@dataclass(frozen=True)
class Finished:
    """A finished run of two classes and what its command printed. Not to be changed: take a `copy`."""

    photos: Path
    directory: Path
    arguments: Sequence[str]
    done: Done

    @property
    def front(self) -> dict[str, Any]:
        """front.json."""
        return dict(json.loads((self.directory / "front.json").read_text(encoding="utf-8")))

    def copy(self, to: Path) -> Path:
        """The run in another place, without its data."""
        shutil.copytree(self.directory, to)
        return to


Quick = Callable[..., Done]
