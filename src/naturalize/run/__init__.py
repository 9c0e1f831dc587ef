"""A run directory: settings, lock, archive, checkpoints, result. `Run` opens one; see docs/formats.md for the files."""

from naturalize.run.front import FrontNetwork, best, networks_of, read_front
from naturalize.run.run import Run, prepared_directory, source_from, source_to
from naturalize.run.settings import Settings, duration, parse_budget
from naturalize.run.watch import Watch, read_events

__all__ = [
    "FrontNetwork",
    "Run",
    "Settings",
    "Watch",
    "best",
    "duration",
    "networks_of",
    "parse_budget",
    "prepared_directory",
    "read_events",
    "read_front",
    "source_from",
    "source_to",
]
