"""The files of a run directory as the report reads them; but for front.json, missing or damaged ones are left out."""

import io
import math
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from naturalize import run
from naturalize.files import check_content


def read_front(run_directory: Path) -> dict[str, Any]:
    """`front.json` with at least one network; confusions are arrays `(classes, classes)`.

    Raises `UserError` where there is nothing to report on.
    """
    front = run.read_front(run_directory)
    for network in front["networks"]:
        # An array at once: a thousand classes make a million numbers, which lists would convert again at each use.
        if network.get("test_confusion") is not None:
            network["test_confusion"] = np.asarray(network["test_confusion"], dtype=np.int64)
    return front


def read_settings(run_directory: Path) -> dict[str, Any]:
    """The tables of `run.toml`; empty where it cannot be read."""
    try:
        return check_content(tomllib.loads((run_directory / "run.toml").read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


def read_events(run_directory: Path) -> list[dict[str, Any]]:
    """The events on whole lines of `events.jsonl`; empty where it cannot be read."""
    return run.read_events(run_directory / "events.jsonl")


def phase_seconds(events: list[dict[str, Any]]) -> dict[str, float]:
    """Seconds by phase, in the order in which phases first ended; `other` is what no phase accounts for."""
    seconds: dict[str, float] = {}
    for event in events:
        if event.get("event") == "phase" and _is_duration(event.get("seconds")):
            phase = str(event.get("phase"))
            seconds[phase] = seconds.get(phase, 0.0) + event["seconds"]
    used = max((event["used_s"] for event in events if _is_duration(event.get("used_s"))), default=0.0)
    rest = used - sum(seconds.values())
    if seconds and rest > 0.01 * used:
        seconds["other"] = seconds.get("other", 0.0) + rest
    return seconds


def read_picture(run_directory: Path, name: str) -> bytes | None:
    """A PNG of `pictures/`; None where it is missing or damaged, or `name` leads out of that directory."""
    folder = (run_directory / "pictures").resolve()
    try:
        path = (run_directory / name).resolve()
        content = path.read_bytes() if path.is_relative_to(folder) else b""
        with Image.open(io.BytesIO(content)) as picture:
            picture.verify()
    except (OSError, ValueError, SyntaxError):  # the last: a checksum in it does not match
        return None
    return content


def _is_duration(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value) and value >= 0
