"""A run directory: settings, lock, archive, checkpoints, result. `Run` opens one; see docs/formats.md for the files."""

from typing import TYPE_CHECKING, Any

from naturalize.run.front import FrontNetwork, best, networks_of, read_front
from naturalize.run.settings import Settings, parse_budget
from naturalize.run.watch import Watch, read_events

if TYPE_CHECKING:
    from naturalize.run.run import Run, prepared_directory, source_from, source_to

__all__ = [
    "FrontNetwork",
    "Run",
    "Settings",
    "Watch",
    "best",
    "networks_of",
    "parse_budget",
    "prepared_directory",
    "read_events",
    "read_front",
    "source_from",
    "source_to",
]


def __getattr__(name: str) -> Any:
    """Import names that need torch on first use: settings and fronts are read, and progress begins, without it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from naturalize.run import run

    return getattr(run, name)
