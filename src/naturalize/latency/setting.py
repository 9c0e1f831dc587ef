"""How networks are run when a cost of theirs is measured, and the text that names it. Needs no torch."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from naturalize.errors import UserError, unknown

CPU, CUDA, NCNN, EXECUTORCH = "cpu", "cuda", "ncnn", "executorch"
NAMES = (CPU, CUDA, "openvino", NCNN, EXECUTORCH, "litert")  # of runtimes; `runtimes.RUNTIMES` has them
COMMAND, TABLE = "command", "table"  # in place of a runtime
TABLES = (".json", ".yaml", ".yml")  # endings of tables
OPTIONS = ("threads", "batch")
MOST = 1024  # of each option
REFUSED = {
    (NCNN, "batch"): "ncnn takes one picture at a time",
    (EXECUTORCH, "batch"): "our files for ExecuTorch take one picture at a time",
    (CUDA, "threads"): "a GPU has no threads to choose",
}


@dataclass(frozen=True)
class Setting:
    """How networks are run.

    Attributes:
        runtime: one of `NAMES`, `COMMAND` or `TABLE`.
        threads: CPU threads of one network.
        batch: pictures at once.
        path: of the program, or of the table that was made elsewhere.
    """

    runtime: str
    threads: int = 1
    batch: int = 1
    path: str = ""

    def __str__(self) -> str:
        """The shortest text that `parse_setting` reads as this setting."""
        if self.runtime in (COMMAND, TABLE):
            return self.path if self.runtime == TABLE else f"{COMMAND}={self.path}"
        options = [f"{name}={value}" for name in OPTIONS if (value := getattr(self, name)) != 1]
        return ",".join([self.runtime, *options])

    @property
    def words(self) -> str:
        """It as reports name it: tables and programs without their directory."""
        return Path(self.path).name if self.path else str(self).replace(",", ", ")


def parse_setting(text: str, cost: str = "latency") -> Setting:
    """The setting in a text as `cpu,threads=2,batch=8`, `phone.json` or `command=./board.sh`. Raises `UserError`.

    Args:
        text: of the setting.
        cost: what is measured, for messages.
    """
    if text == COMMAND or text.startswith(f"{COMMAND}="):
        path = text[len(COMMAND) + 1 :]
        if not path:
            raise UserError(f"{cost}:{text} names no program: write {cost}:{COMMAND}=./measure.sh")
        return Setting(COMMAND, path=path)
    if text.lower().endswith(TABLES):
        return Setting(TABLE, path=text)
    name, *options = text.split(",")
    if name not in NAMES:
        endings = " or ".join(TABLES[:2])
        raise UserError(
            f"{unknown('runtime', name, (*NAMES, f'{COMMAND}=PROGRAM'))}; a table ends in {endings}, as phone.json"
        )
    found: dict[str, int] = {}
    for option in options:
        key, _, number = option.partition("=")
        if key not in OPTIONS:
            raise unknown(f"option of a {cost}", key, OPTIONS)
        if key in found:
            raise UserError(f"{cost}:{text}: {key} is given twice")
        if not re.fullmatch("[0-9]{1,4}", number) or not 0 < int(number) <= MOST:
            raise UserError(f"{cost}:{text}: {key} is a whole number from 1 to {MOST}, not {number[:20]!r}")
        if int(number) != 1 and (name, key) in REFUSED:
            raise UserError(f"{cost}:{text}: {REFUSED[name, key]}: leave {key} out")
        found[key] = int(number)
    return Setting(name, found.get("threads", 1), found.get("batch", 1))
