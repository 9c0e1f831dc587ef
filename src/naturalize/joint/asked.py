"""What was asked of a joint run: names of data sets, objectives by data set, settings of each run and of all."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from naturalize.errors import UserError, unknown
from naturalize.lifecycle import is_name
from naturalize.numbers import duration
from naturalize.objectives import BALANCED_ERROR, COST, ERROR, objective_of, of_kind
from naturalize.objectives.requirement import parse_requirement
from naturalize.options import RECIPES, as_list, make_settings
from naturalize.run import Settings, source_from, source_to
from naturalize.run.settings import MINIMUM_BUDGET_S
from naturalize.search.problem import MOST_OBJECTIVES

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")  # it is that of a directory and of a head
ERRORS = ERROR, BALANCED_ERROR
OURS = ("supernet", "networks", "pictures", "last", "lock")  # names that directories of a run have


def named_sets(arguments: Sequence[str]) -> dict[str, str]:
    """Data sets by name, from arguments as `a=photos/` or `flowers102`, which is called so. Raises `UserError`."""
    found: dict[str, str] = {}
    for argument in arguments:
        name, _, source = argument.rpartition("=") if "=" in argument else (Path(argument).stem, "", argument)
        if not NAME.fullmatch(name) or name in OURS or not source:
            raise UserError(
                f"{argument!r} names no data set: write NAME=DATA, as pets={source or 'photos/'}, with a name of "
                "letters, digits, _ and -"
            )
        if name in found:
            raise UserError(f"two data sets are called {name}: give names, as a={found[name]} b={source}")
        found[name] = source
    return found


def parse_joint_objectives(names: Sequence[str], sets: Sequence[str]) -> tuple[str, ...]:
    """The objectives of a joint run: errors as `error@a`, and counts. Raises `UserError`.

    Args:
        names: as they were given; an error without a data set is that of each. Nothing stands for all errors and
            multiply-adds.
        sets: names of the data sets, each of which needs an error.
    """
    found: list[str] = []
    for name in names or (ERROR, COST):
        base, at, of = name.partition("@")
        objective = objective_of(base)
        if at and of not in sets:
            raise UserError(f"objective {name!r}: {unknown('data set', of, sets)}")
        if objective.name in ERRORS:
            found += [f"{base}@{each}" for each in ([of] if of else sets)]
        elif objective.kind != "exact":
            counts = ", ".join(of_kind("exact"))
            raise UserError(f"{base} is measured in a run of one data set; of several: {', '.join(ERRORS)}, {counts}")
        elif of:
            raise UserError(f"{name!r}: {base} is of the architecture, whatever the data set is; write {base}")
        else:
            found.append(base)
    if len(set(found)) < len(found):
        raise UserError(f"an objective is given twice: {', '.join(names)}")
    if without := [name for name in sets if not any(error in found for error in errors_of(name))]:
        raise UserError(f"no objective is an error of {without[0]}: add -o {ERROR}@{without[0]}, or leave the data out")
    if len(found) > MOST_OBJECTIVES:
        raise UserError(f"give {MOST_OBJECTIVES} objectives at most, not {len(found)}")
    return tuple(found)


def errors_of(name: str) -> list[str]:
    """The errors that may be objectives of a data set, by name of the data set."""
    return [f"{error}@{name}" for error in ERRORS]


def objectives_of(name: str, objectives: Sequence[str]) -> list[str]:
    """What the run of one data set minimises, of the objectives of all: its errors, then counts, three at most."""
    split = [objective.partition("@") for objective in objectives]
    return [*(base for base, _, of in split if of == name), *(base for base, _, of in split if not of)][:3]


def joint_settings(
    data: Mapping[str, Any],
    budget: str | None,
    iterations: int | None,
    epochs: int | None,
    *,
    objectives: str | Sequence[str] | None = None,
    recipe: str | None = None,
    **options: Any,
) -> Settings:
    """The settings of a joint run. Raises `UserError` for bad values.

    Args:
        data: by name of the data set.
        budget, iterations, epochs, objectives, recipe, options: as of `api.transfer`.
    """
    if not isinstance(data, Mapping) or not all(isinstance(name, str) for name in data):
        raise UserError("the data sets of a joint run are a dictionary of them by name, as {'pets': 'photos/', ...}")
    if len(data) < 2:
        raise UserError("a joint run is of two data sets or more: give one as it is, without a name")
    if wrong := [name for name in data if not NAME.fullmatch(name) or name in OURS]:
        raise UserError(f"a data set cannot be called {wrong[0]!r}: take letters, digits, _ and -")
    if options.get("classes"):
        raise UserError("--classes names the classes of one data set, and these are several: leave it out")
    if recipe in RECIPES and RECIPES[recipe].finetunes:
        raise UserError(f"--recipe {recipe} fine-tunes a run of one data set in the end: take nat for several")
    asked = parse_joint_objectives(as_list(objectives or ()), list(data))
    if all("@" in name for name in asked):
        raise UserError(f"without a count the largest network wins: add one, as -o {COST}")
    if wrong := [text for text in as_list(options.get("require") or ()) if "@" in text]:
        raise UserError(f"{wrong[0]!r}: of several data sets, limits are on counts, as 'madds<5M'")
    own = objectives_of(next(iter(data)), asked)
    first = make_settings("", budget, iterations, epochs, objectives=own, recipe=recipe, **options)
    for limit in map(parse_requirement, first.requirements):
        if objective_of(limit.objective).kind != "exact":
            raise UserError(f"{limit.text!r}: of several data sets, limits are on counts, as 'madds<5M'")
    if first.budget_s is not None:
        check_share(first.budget_s, len(data))
    return replace(first, data=", ".join(data), objectives=asked)


def check_share(budget_s: float, n: int) -> None:
    """Raise `UserError` for a budget of which n data sets have too little each."""
    if budget_s / n < MINIMUM_BUDGET_S:
        raise UserError(
            f"a budget of {duration(budget_s)} gives each of {n} data sets {duration(budget_s / n)}, and "
            f"{duration(MINIMUM_BUDGET_S)} is the least: give at least --budget {n * MINIMUM_BUDGET_S:.0f}s"
        )


def settings_of(joint: Settings, directory: Path, sets: Sequence[str], name: str) -> Settings:
    """The settings of the run of one data set: it has an equal share of the budget.

    Args:
        joint, directory: settings and directory of the joint run.
        sets: names of its data sets.
        name: of the one.
    """
    paths = {
        key: kept if is_name(kept) else source_to(source_from(str(kept), directory), directory / name)
        for key, kept in (("weights", joint.weights), ("archive", joint.archive))
    }
    return replace(
        joint,
        data=name,
        objectives=tuple(objectives_of(name, joint.objectives)),
        budget_s=None if joint.budget_s is None else joint.budget_s / len(sets),
        weights=paths["weights"],
        archive=paths["archive"],
    )
