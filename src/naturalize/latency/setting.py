"""How networks are run when their latency is measured, and the text that names it. Needs no torch."""

from __future__ import annotations

import re
from dataclasses import dataclass

from naturalize.errors import UserError, unknown

CPU = "cpu"
NAMES = (CPU,)  # of runtimes; `runtimes.RUNTIMES` has them
OPTIONS = ("threads", "batch")
MOST = 1024  # of each option


@dataclass(frozen=True)
class Setting:
    """How networks are run.

    Attributes:
        runtime: one of `NAMES`.
        threads: CPU threads of one network.
        batch: pictures at once.
    """

    runtime: str
    threads: int = 1
    batch: int = 1

    def __str__(self) -> str:
        """The shortest text that `parse_setting` reads as this setting."""
        options = [f"{name}={value}" for name in OPTIONS if (value := getattr(self, name)) != 1]
        return ",".join([self.runtime, *options])


def parse_setting(text: str) -> Setting:
    """The setting in a text as `cpu` or `cpu,threads=2,batch=8`. Raises `UserError`."""
    name, *options = text.split(",")
    if name not in NAMES:
        raise unknown("runtime", name, NAMES)
    found: dict[str, int] = {}
    for option in options:
        key, _, number = option.partition("=")
        if key not in OPTIONS:
            raise unknown("option of a latency", key, OPTIONS)
        if key in found:
            raise UserError(f"latency:{text}: {key} is given twice")
        if not re.fullmatch("[0-9]{1,4}", number) or not 0 < int(number) <= MOST:
            raise UserError(f"latency:{text}: {key} is a whole number from 1 to {MOST}, not {number[:20]!r}")
        found[key] = int(number)
    return Setting(name, **found)
