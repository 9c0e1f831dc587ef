"""Small real runs of the command line in processes of their own, and what they leave, for comparison."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import runpy
import sqlite3
import subprocess
import sys
import tempfile
import time
from functools import cache
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from PIL import Image
from safetensors.numpy import load_file

COMMAND = [sys.executable, str(Path(__file__).with_name("small_command.py"))]
IMPORTED = ["naturalize", "naturalize.nat", "naturalize.workbench", "naturalize.predictor.making", "lightning_fabric"]
SMALL = ["--iterations", "2", "--epochs", "6", "--seed", "1"]


def grey_pictures(root: Path, n: int = 20, names: str = "abc") -> Path:
    """n learnable grey pictures of 8 x 8 for each class: a bright band over noise."""
    draw = np.random.default_rng(0)
    for number, name in enumerate(names):
        (root / name).mkdir(parents=True, exist_ok=True)
        for index in range(n):
            values = draw.integers(0, 120, (8, 8)).astype(np.uint8)
            values[2 * number : 2 * number + 3] += 120
            Image.fromarray(values).save(root / name / f"{index:03d}.png")
    return root


def start(*arguments: object, signals: str = "") -> subprocess.Popen[str]:
    """Begin a command in a session of its own."""
    environment = {**os.environ, "SIGNALS": signals}
    return subprocess.Popen(
        [*COMMAND, *map(str, arguments)], env=environment, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def command(*arguments: object, signals: str = "", code: int = 0, ends_s: float = 0.0) -> str:
    """Run a command to its end; what it printed. Its exit code must be the given one, and no child may be left.

    Args:
        arguments: of the command.
        signals: as of `small_command.py`.
        code: the exit code.
        ends_s: seconds that children have to end after it, as a study's workers.
    """
    with tempfile.NamedTemporaryFile("r") as printed:
        environment = {**os.environ, "SIGNALS": signals}
        given = (list(map(str, arguments)), environment, str(Path.cwd()), printed.name)
        process = server().Process(target=small_command, args=given)
        process.start()
        process.join(280)
        if (ended := process.exitcode) is None:
            process.kill()
        said = printed.read()
    assert ended == code, f"exit {ended}, not {code}: {said[-6000:]}"
    ends = time.monotonic() + ends_s
    while left := session_of(process.pid or 0):
        assert time.monotonic() < ends, f"processes {left} are left"
        time.sleep(0.05)
    assert "Traceback" not in said
    return said


def refreshes(run: Path) -> bool:
    """Whether a run has a page, and it reads itself anew."""
    page = run / "report.html"
    return page.exists() and re.search(r'"refresh":(\w+)', page.read_text(encoding="utf-8"))[1] != "null"  # type: ignore[index]


def waited(condition: object, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


@cache
def server() -> ForkServerContext:
    """Forks processes that have imported what commands need: four seconds less for each."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(IMPORTED)
    return context


def small_command(arguments: list[str], environment: dict[str, str], directory: str, printed: str) -> None:
    """Be the process of `command`, in a session of its own."""
    os.setsid()
    os.chdir(directory)
    os.environ.update(environment)
    for stream in (1, 2):
        os.dup2(os.open(printed, os.O_WRONLY | os.O_APPEND), stream)
    sys.argv = [COMMAND[1], *arguments]
    runpy.run_path(COMMAND[1], run_name="__main__")


def session_of(pid: int) -> list[int]:
    """Processes of the session that a process led."""
    found = []
    for other in psutil.pids():
        try:
            if os.getsid(other) == pid and psutil.Process(other).status() != psutil.STATUS_ZOMBIE:
                found.append(other)
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return found


def events(run: Path, name: str | None = None) -> list[dict[str, Any]]:
    """The events of a run, of one name unless told otherwise."""
    lines = (run / "events.jsonl").read_text(encoding="utf-8").splitlines()
    return [event for event in map(json.loads, lines) if name in (None, event["event"])]


def rates(run: Path) -> list[tuple[Any, ...]]:
    """The learning rate of every epoch, and what it came to."""
    names = ("phase", "version", "epoch", "step", "rate", "loss")
    return [tuple(event[name] for name in names) for event in events(run, "epoch")]


def rows(run: Path, query: str) -> list[tuple[Any, ...]]:
    """What the archive of a run answers."""
    archive = sqlite3.connect(f"file:{run / 'archive.sqlite'}?mode=ro", uri=True, timeout=30)
    try:
        return archive.execute(query).fetchall()
    finally:
        archive.close()


MEASUREMENTS = (
    "SELECT text, objective, task, split, version, value, spread, status, detail FROM measurements "
    "JOIN architectures ON id = architecture"
)


def measured(run: Path) -> set[tuple[Any, ...]]:
    """Every measurement in a run's archive, but for how long it took."""
    there = (run / "archive.sqlite").exists() and rows(run, "PRAGMA user_version") != [(0,)]  # else without tables yet
    return set(rows(run, MEASUREMENTS)) if there else set()


def left_by(run: Path) -> dict[str, Any]:
    """All that two runs of the same seed must have in common, to the bit."""
    latest = (run / "supernet" / "latest").read_text().split()[0]
    weights = {
        file: {name: array.tobytes() for name, array in load_file(run / "supernet" / latest / file).items()}
        for file in ("weights.safetensors", "trainer.safetensors")
    }
    networks = {path.name: path.read_bytes() for path in sorted((run / "networks").iterdir())}
    return {
        "architectures": rows(run, "SELECT text, origin, iteration FROM architectures ORDER BY id"),
        "members": rows(run, "SELECT iteration, place, architecture FROM members ORDER BY iteration, place"),
        "measurements": rows(run, MEASUREMENTS + " ORDER BY version, split, id"),
        "iterations": rows(run, "SELECT number, facts FROM iterations ORDER BY number"),
        "weights": weights,
        "networks": networks,
        "front": json.loads((run / "front.json").read_text(encoding="utf-8")),
        "rates": rates(run),
    }


def assert_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Like ==, but names what differs, and does not print weights."""
    differing = [name for name in one if one[name] != other[name]]
    assert not differing, [(name, one[name], other[name]) for name in differing if name not in ("weights", "networks")]


def wait_until(condition: Any, seconds: float = 120.0) -> None:
    """Wait for something that another process does."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)
