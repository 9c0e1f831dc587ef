"""A user's program that measures networks, as over adb on a phone: it gets a model file and prints a number."""

from __future__ import annotations

import math
import os
import selectors
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from naturalize.errors import UserError

ANSWER_S = 120.0  # a program that takes longer hangs
POLL_S = 0.2
KEPT = 4096  # bytes of each of its outputs, the last ones
SHOWN = 80  # characters of what it printed, in messages


def find_program(path: str) -> Path:
    """The program's absolute path, by the PATH where it has no directory. Raises `UserError`."""
    found = shutil.which(path)
    if found is None:
        raise UserError(f"the program {path} {why_not(path)}")
    return Path(found).absolute()


def why_not(path: str) -> str:
    """Why a path is no program, and what to do, in words."""
    if Path(path).is_dir():
        return "is a directory: name a file in it"
    if shutil.which(f"./{path}"):
        return f"is not on the PATH: write ./{path} for the one in this directory"
    if Path(path).is_file():
        return "may not be run: chmod +x makes it a program"
    first, _, more = path.partition(" ")
    if more and shutil.which(first):
        return f"is not there: {first} gets the model's path alone, so put {more} into a script"
    return "is not there"


def answer(program: Path, file: Path, unit: str, check: Callable[[], object] = lambda: None) -> float:
    """The number that a program prints last for a model file.

    Args:
        program: gets the file's path as its only argument.
        file: of the model.
        unit: of the number, for messages.
        check: called a few times a second; it may raise to stop.

    Raises:
        UserError: it hangs, fails, or prints something else.
    """
    what = f"{program.name}, asked about {file.name},"
    try:
        process = subprocess.Popen(
            [program, file],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise UserError(
            f"{program} cannot be run ({error.strerror}): does its first line name its interpreter?"
        ) from error
    with process:
        try:
            printed, complaint = outputs(process, check)
        except BaseException:
            stop(process)
            raise
        if process.poll() is None:
            stop(process)
            raise UserError(f"{what} printed no number within {ANSWER_S:.0f} s")
    if process.returncode:
        last = complaint.strip().splitlines()[-1:] or ["it said nothing"]
        raise UserError(f"{what} ended with exit code {process.returncode}: {last[0][:SHOWN]}")
    line = (printed.strip().splitlines() or [""])[-1].strip()
    try:
        number = float(line)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number > 0):
        told = f"{line[:SHOWN]!r} last" if line else "nothing"
        raise UserError(f"{what} printed {told}, where a number of {unit} is wanted")
    return number


def outputs(process: subprocess.Popen[bytes], check: Callable[[], object]) -> tuple[str, str]:
    """The ends of what a process prints and complains, when it ended or had its time.

    What it started in the background, as adb does, may keep its outputs open: they are not waited for.
    """
    assert process.stdout is not None
    assert process.stderr is not None
    kept = {process.stdout.fileno(): b"", process.stderr.fileno(): b""}
    until = time.monotonic() + ANSWER_S
    with selectors.DefaultSelector() as selector:
        for number in kept:
            os.set_blocking(number, False)
            selector.register(number, selectors.EVENT_READ)
        while time.monotonic() < until:
            check()
            ended = process.poll() is not None
            ready = selector.select(0.0 if ended else POLL_S) if selector.get_map() else []
            for key, _ in ready:
                piece = os.read(key.fd, KEPT)
                kept[key.fd] = (kept[key.fd] + piece)[-KEPT:]
                if not piece:
                    selector.unregister(key.fd)
            if ended and not ready:
                break
            if not ended and not selector.get_map():
                time.sleep(POLL_S)
    printed, complaint = (text.decode(errors="replace") for text in kept.values())
    return printed, complaint


def stop(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and what it started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (OSError, AttributeError):  # it is gone, or this is Windows
        process.kill()
