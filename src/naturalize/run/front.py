"""front.json: the result of a run, read back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from naturalize.errors import UserError, command, word
from naturalize.files import check_content
from naturalize.numbers import standard_error
from naturalize.objectives import ERROR, objective_of
from naturalize.objectives.requirement import Requirement
from naturalize.run.settings import of_several, read_settings

FORMAT = 1
STATES = ("finished", "stopped")
# origin of a network's weights: trained together, as published, or the whole network trained by itself
TRANSFER, PUBLISHED, WHOLE = "transfer", "published", "whole"
BESIDE = "beside"  # marks a network that is dominated here, and on the front of the joint run that this run is part of


@dataclass(frozen=True)
class FrontNetwork:
    """One network of a front; the fields are those of docs/formats.md."""

    architecture: str
    resolution: int
    val_error: float
    val_error_views: float
    val_images: int
    test_error: float | None
    test_images: int | None
    madds: int
    params: int
    weights: str | None
    origin: str = TRANSFER
    val_balanced_error: float | None = None
    test_balanced_error: float | None = None
    val_images_balanced: int | None = None
    before_finetuning: dict[str, float | None] | None = None
    objectives: dict[str, float] = field(default_factory=dict)
    measured: dict[str, dict[str, float | None]] = field(default_factory=dict)
    val_spread: float | None = None

    def value(self, objective: str) -> float:
        """Value of an objective; for error, the one that selection went by.

        Raises `UserError` where the run did not ask for it.
        """
        if objective == ERROR:
            return self.val_error_views
        found = self.objectives.get(objective, getattr(self, objective, None))
        if found is None and objective_of(objective).kind != "exact":
            known = [name for name in self.objectives if objective_of(name).kind == objective_of(objective).kind]
            told = f"it knows {', '.join(known)}; " if known else ""
            raise UserError(f"this run knows no {objective}: {told}a transfer with `-o {word(objective)}` does")
        if found is None:
            raise UserError(f"this front was written by an older naturalize, which knew no {objective}")
        return float(found)


def read_front(directory: Path) -> dict[str, Any]:
    """The content of front.json. Raises `UserError` where nothing was measured yet, or a newer version wrote it."""
    path = directory / "front.json"
    try:
        front = dict(json.loads(path.read_text(encoding="utf-8")))
        version = front["format"]
        if version > FORMAT:
            raise UserError(
                f"{path} was written by a newer naturalize (format {version}, known is {FORMAT}): update it"
            )
        front = check_content(front)
        if "sets" in front:
            raise of_several(directory, list(front["sets"]))
        if front["state"] not in STATES or not networks_of(front):
            raise ValueError("no networks")
    except (FileNotFoundError, NotADirectoryError) as error:
        if not directory.is_dir():
            what = "is a file" if directory.exists() else "does not exist"
            raise UserError(f"{directory} {what}: give the directory of a run") from error
        if not any((directory / name).exists() for name in ("run.toml", "lock")):
            raise UserError(f"{directory} is no run: it has no run.toml") from error
        raise nothing_measured(directory) from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error}): write it anew with `{command('finish', directory)}`") from error
    return front


def nothing_measured(directory: Path) -> UserError:
    """The error for a run without a front: it has yet to come to one, or it is a preparation, which has none."""
    try:
        goal = read_settings(directory / "run.toml")[0].goal
    except (UserError, OSError):
        goal = "transfer"
    if goal == "prepare":
        return UserError(
            f"{directory} is a prepared supernet, which has no front: transfer from it, with --supernet {directory}"
        )
    return UserError(f"nothing measured yet in {directory}: let it go on with `{command('resume', directory)}`")


def val_version(front: dict[str, Any]) -> int:
    """The weights version of the validation errors; a front of an older naturalize has only one version."""
    return int(front["val_weights_version"] if "val_weights_version" in front else front["weights_version"])


def finished_under(directory: Path) -> tuple[int, bool] | None:
    """The weights version that a finished result was selected under, and whether a last adaptation came after it.

    None where there is no finished result, or a damaged one. front.json alone decides: a kill leaves one or the other.
    """
    try:
        front = read_front(directory)
    except UserError:
        return None
    if front["state"] != "finished":
        return None
    return val_version(front), bool(front.get("last_adaptation", True))


def networks_of(front: dict[str, Any], beside: bool = False) -> list[FrontNetwork]:
    """The networks of a front, ascending in multiply-adds.

    Args:
        front: content of front.json.
        beside: take those too that are dominated here, and on the front of a joint run.
    """
    names = {field.name for field in fields(FrontNetwork)}
    return [
        FrontNetwork(**{name: network[name] for name in names & network.keys()})
        for network in front["networks"]
        if beside or not network.get(BESIDE)
    ]


def best(networks: Sequence[FrontNetwork], requirements: Sequence[Requirement] = (), by: str = ERROR) -> FrontNetwork:
    """The most accurate of the networks that meet the requirements, as `most_accurate` tells.

    Args:
        networks, requirements: of a front; limits.
        by: the error that tells it, as of `objectives.deciding_error`.

    Raises `UserError` where none meets them, with the nearest.
    """
    left = meeting(networks, requirements)
    errors, madds = [n.value(by) for n in left], [n.madds for n in left]
    images = [n.val_images if by == ERROR else n.val_images_balanced or n.val_images for n in left]
    return left[most_accurate(errors, madds, images, [n.val_spread for n in left])]


def meeting(networks: Sequence[FrontNetwork], requirements: Sequence[Requirement]) -> list[FrontNetwork]:
    """The networks that meet all requirements. Raises `UserError` where none does, with the nearest."""
    found = [n for n in networks if all(r.met(n.value(r.objective)) for r in requirements)]
    if not found:
        nearest = min(networks, key=lambda n: max(r.excess(n.value(r.objective)) for r in requirements))
        text = " and ".join(r.text for r in requirements)
        has = ", ".join(
            f"{r.objective} {objective_of(r.objective).told(nearest.value(r.objective))}" for r in requirements
        )
        raise UserError(f"no network of the front meets {text}: the nearest is {nearest.architecture} with {has}")
    return found


def most_accurate(
    errors: Sequence[float],
    madds: Sequence[float],
    images: Sequence[int],
    spreads: Sequence[float | None] = (),
) -> int:
    """Position of the network to take where accuracy alone counts.

    It is the largest one within a standard error of the lowest validation error, the better of equals: where pictures
    are too few to tell networks apart, the lowest error is luck, and larger networks are more often right.

    Args:
        errors: on validation, in percent, `(n,)`.
        madds: multiply-adds of each.
        images: number of images of each error, at least 1.
        spreads: standard error of each; that of a share of its images where it is None, or not given.
    """
    lowest, n, spread = min(
        zip(errors, images, spreads or [None] * len(errors), strict=True), key=lambda each: each[:2]
    )
    bound = lowest + (float(standard_error(lowest, n)) if spread is None else spread)
    near = [position for position, error in enumerate(errors) if error <= bound]
    return max(near, key=lambda position: (madds[position], -errors[position]))
