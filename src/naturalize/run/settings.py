"""The settings of a run, as they stand in run.toml, and the notation of budgets."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import tomli_w

from naturalize.errors import UserError
from naturalize.files import check_content, checksum_of, write_text
from naturalize.numbers import duration
from naturalize.objectives import DEFAULT

FORMAT = 1
FACTS = ("data", "pixels", "machine")  # tables of run.toml beside the settings
JOINT_FACTS = ("sets", "pixels", "machine")  # the same of a run over several data sets
MINIMUM_BUDGET_S = 30.0
FROM_PYTHON = "a module"  # stands for a teacher that was given as one, in place of a name or path
PUBLISHED = "published"  # stands for the weights that go with a supernet's name, in place of a path
PREPARATIONS = SANDWICH, SHRINK = "sandwich", "shrink"
UNITS_S = {"d": 86400, "h": 3600, "m": 60, "s": 1}


@dataclass(frozen=True)
class Settings:
    """The resolved configuration of a transfer. Exactly one of `budget_s` and `iterations` is given.

    Attributes:
        data: where the images come from, as the user named it.
        classes: the class names in the user's order, or empty for the data's own.
        epochs: per iteration, with `iterations`.
        goal: `transfer`, or `prepare` for a supernet alone.
        method: of a preparation alone: `sandwich`, or `shrink` for progressive shrinking.
        weights: to start from: `published`, the name of a supernet's largest network that was trained alone, a file of
            weights, or the directory of a run; None for nothing.
        teacher: of a preparation alone: a name, a path, or `a module` that came from Python.
        search: a name of `search.GUIDED`.
        predictor: a name of `predictor.PREDICTORS`; None for the search's own.
        archive: directory of a run of the same supernet whose architectures the archive begins with.
        ignore: values of masks that stand for no class, besides 255.
        balanced: whether training weighs classes so that rare ones count as much as common ones.
        recipe: the name of a recipe, then those of the options that it gave; empty where there is none.
    """

    data: str
    supernet: str = "mini"
    objectives: tuple[str, ...] = DEFAULT
    requirements: tuple[str, ...] = ()
    budget_s: float | None = None
    iterations: int | None = None
    epochs: int | None = None
    goal: str = "transfer"
    method: str = SANDWICH
    weights: str | None = None
    teacher: str | None = None
    search: str = "nat"
    predictor: str | None = None
    archive: str | None = None
    seed: int = 0
    classes: tuple[str, ...] = ()
    strict: bool = False
    balanced: bool = False
    ignore: tuple[int, ...] = ()
    recipe: tuple[str, ...] = ()

    @property
    def start(self) -> str:
        """The supernet and the weights that it starts from, in words."""
        known = {None: "from nothing", PUBLISHED: "with its published weights"}
        return f"{self.supernet} {known.get(self.weights, f'with the weights of {self.weights}')}"

    def differences(self, other: Settings) -> list[str]:
        """Differences from other settings, as `seed (0 there, 1 here)`: each a reason not to go on with a run."""
        found = []
        for f in fields(self):
            if f.name in ("data", "recipe"):
                continue  # the same data may go by another path, and their fingerprint is compared; so are options
            mine, theirs = getattr(self, f.name), getattr(other, f.name)
            if f.name == "budget_s":
                mine, theirs = (None if budget is None else duration(budget) for budget in (mine, theirs))
            if mine != theirs:
                found.append(f"{f.name.removesuffix('_s')} ({shown(mine)} there, {shown(theirs)} here)")
        return found


def shown(value: object) -> str:
    """A setting in words."""
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)


def write_settings(path: Path, settings: Settings, facts: dict[str, dict[str, Any]]) -> None:
    """Write run.toml: settings, and tables of facts about data and machine."""
    asked = {f.name: getattr(settings, f.name) for f in fields(settings)}
    asked = {key: list(value) if isinstance(value, tuple) else value for key, value in asked.items()}
    table = {"format": FORMAT, "transfer": {key: value for key, value in asked.items() if value is not None}, **facts}
    write_text(path, tomli_w.dumps({"checksum": checksum_of(table), **table}))


def read_settings(path: Path, facts: Sequence[str] = FACTS) -> tuple[Settings, dict[str, Any]]:
    """Settings and facts of a run.toml. Raises `UserError` where it is no such file, or a newer one.

    Args:
        path: of the file.
        facts: tables that it must have beside the settings; `JOINT_FACTS` of a run over several data sets.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        version = table["format"]
        if version > FORMAT:
            raise UserError(
                f"{path.parent} was made by a newer naturalize (format {version}, known is {FORMAT}): update it"
            )
        table = check_content(table)
        del table["format"]
        asked = table.pop("transfer")
        if facts == FACTS and (sets := list(table.get("sets", {}))):
            raise of_several(path.parent, sets)
        if lacking := [name for name in facts if not isinstance(table.get(name), dict)]:
            raise ValueError(f"it lacks {', '.join(lacking)}")
        asked = {key: tuple(value) if isinstance(value, list) else value for key, value in asked.items()}
        return Settings(**asked), table
    except (FileNotFoundError, NotADirectoryError) as error:
        if not path.parent.exists():
            raise UserError(f"{path.parent} does not exist: give the directory of a run") from error
        raise UserError(f"{path.parent} is no run: it has no run.toml") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is damaged ({error}): put it back from a copy, or start a new run") from error


def of_several(directory: Path, sets: Sequence[str]) -> UserError:
    """The error for a joint run, by the names of its data sets, where the run of one is wanted."""
    each = " and ".join(f"{directory / name}" for name in sets[:2])
    return UserError(f"{directory} is of {len(sets)} data sets, and this takes one: each has a run, as {each}")


def parse_budget(text: str) -> float:
    """Seconds of a budget as `90s`, `20m`, `1h30m` or `2d`. Raises `UserError` for anything else and below 30 s."""
    compact = text.strip().lower()
    parts = re.fullmatch(
        r"(?:(\d+(?:\.\d+)?)d)?(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?", compact
    )
    if not compact or parts is None:
        raise UserError(f"budget {text!r} is not understood: write a time with its unit, as 90s, 20m or 1h30m")
    seconds = sum(float(number) * unit for number, unit in zip(parts.groups(), UNITS_S.values(), strict=True) if number)
    if seconds < MINIMUM_BUDGET_S:
        raise UserError(f"budget {text!r} is too short: the minimum is {MINIMUM_BUDGET_S:.0f}s, as --budget 2m")
    if seconds > 366 * 86400:
        raise UserError(f"budget {text!r} is longer than a year: write a time as 20m or 1h30m")
    return seconds
