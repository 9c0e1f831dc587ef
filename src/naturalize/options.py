"""The options of a user as the settings of a run: defaults filled in, names resolved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from naturalize.data import Dataset
from naturalize.errors import UserError, unknown
from naturalize.objectives import BALANCED_ERROR, DEFAULT, ERROR, objective_of, parse_objectives
from naturalize.objectives.latency import check_measurable
from naturalize.objectives.requirement import parse_requirement
from naturalize.rng import check_seed
from naturalize.run import Run, Settings, parse_budget, source_from
from naturalize.run.settings import PUBLISHED
from naturalize.supernet import FAMILIES
from naturalize.weights import LARGEST, family_of_file, has_published

AUTO = "auto"  # a supernet that is yet to be chosen
LARGE_SIDE = 64  # side of pictures in pixels, from which on a supernet for large pictures is chosen
DEFAULT_BUDGET = "20m"
DEFAULT_EPOCHS = 5
DEFAULT_SEARCH, DEFAULT_PREDICTOR = "nat", "gaussian-process"


@dataclass(frozen=True)
class Recipe:
    """Values for options that are not given, and whether the front is fine-tuned after the run (docs/recipe.md)."""

    options: Mapping[str, Any]
    finetunes: bool = False


NAT = {
    "iterations": 30,
    "epochs": DEFAULT_EPOCHS,
    "objectives": DEFAULT,
    "search": "nat",
    "predictor": "rbf-ensemble",
    "supernet": "ofa-mbv3",
}
RECIPES = {
    "nat": Recipe(NAT),  # the paper's transfers to ten data sets
    "nat-imagenet": Recipe({**NAT, "require": ("200M<=madds<=600M",)}, finetunes=True),  # its networks on ImageNet
}


def make_settings(
    data: Any,
    budget: str | None,
    iterations: int | None,
    epochs: int | None,
    *,
    recipe: str | None = None,
    objectives: str | Sequence[str] | None = None,
    require: str | Sequence[str] = (),
    supernet: str | Path | None = None,
    scratch: bool = False,
    search: str | None = None,
    predictor: str | None = None,
    archive: str | Path | None = None,
    classes: Sequence[str] = (),
    seed: int = 0,
    strict: bool = False,
    balanced: bool = False,
    ignore: Sequence[int] = (),
) -> Settings:
    """Settings with every default filled in; arguments as of `api.transfer`. Raises `UserError` for bad values."""
    from naturalize.search import check_guided

    by_recipe: tuple[str, ...] = ()
    if recipe is not None:
        asked = {
            "iterations": iterations, "epochs": epochs, "objectives": objectives, "require": require,
            "search": search, "predictor": predictor, "supernet": supernet,
        }  # fmt: skip
        taken = taken_from(recipe, asked, budget)
        iterations, epochs, objectives, require, search, predictor, supernet = (asked | taken).values()
        by_recipe = (recipe, *taken)
    if budget is not None and iterations is not None:
        raise UserError("give --budget or --iterations, not both")
    if epochs is not None and iterations is None:
        raise UserError("--epochs goes with --iterations: a budget finds its own number")
    for name, value in (("iterations", iterations), ("epochs", epochs)):
        if value is not None and value < 1:
            raise UserError(f"--{name} {value}: give 1 or more")
    check_seed(seed)
    name, weights = named_supernet(supernet, scratch)
    search, predictor = search or DEFAULT_SEARCH, predictor or DEFAULT_PREDICTOR
    parsed = parse_objectives(as_list(objectives or DEFAULT))
    requirements = tuple(as_list(require))
    limited = [parse_requirement(text).objective for text in requirements]
    check_measurable([cost for cost in dict.fromkeys([*parsed, *limited]) if objective_of(cost).kind == "modelled"])
    check_guided(search, predictor)
    timed = iterations is None
    return Settings(
        data=data if isinstance(data, str) else str(data) if isinstance(data, Path) else "arrays",
        supernet=name,
        objectives=parsed,
        requirements=requirements,
        budget_s=parse_budget(DEFAULT_BUDGET if budget is None else budget) if timed else None,
        iterations=iterations,
        epochs=None if timed else epochs or DEFAULT_EPOCHS,
        weights=weights,
        search=search,
        predictor=predictor,
        archive=None if archive is None else str(archive),
        seed=seed,
        classes=tuple(classes),
        strict=strict,
        balanced=balanced,
        ignore=tuple(ignore),
        recipe=by_recipe,
    )


def taken_from(recipe: str, asked: Mapping[str, Any], budget: str | None) -> dict[str, Any]:
    """The options that a recipe gives: those that were not asked for. Raises `UserError`.

    Args:
        recipe: its name.
        asked: options by name; None or empty where they were left out.
        budget: a recipe runs by number, so it goes with none.
    """
    if recipe not in RECIPES:
        raise unknown("recipe", recipe, RECIPES)
    options = RECIPES[recipe].options
    if budget is not None:
        number = f"{options['iterations']} iterations of {options['epochs']} epochs"
        raise UserError(f"--recipe {recipe} is by number, {number}: leave --budget out, or the recipe")
    return {name: value for name, value in options.items() if asked[name] in (None, (), [])}


def named_supernet(supernet: str | Path | None, scratch: bool) -> tuple[str, str | None]:
    """The name of a supernet and the source of its weights, both as in `Settings`. Raises `UserError`.

    Args:
        supernet: a name, a file of weights, the directory of a run, or None for what suits the data (`AUTO`).
        scratch: start from nothing although there are published weights.
    """
    if supernet is None:
        return AUTO, None if scratch else PUBLISHED
    if str(supernet) in FAMILIES:
        return str(supernet), PUBLISHED if has_published(str(supernet)) and not scratch else None
    path, largest = Path(supernet), LARGEST.get(str(supernet))
    if largest is None and not path.exists():
        named = unknown("supernet", str(supernet), [*FAMILIES, *LARGEST])
        raise UserError(f"{named}; nor is there a file or directory of that name")
    if scratch:
        raise UserError(f"--scratch starts from nothing, --supernet {path} from its weights: give one of them")
    if largest is not None:
        return largest[0], str(supernet)
    return Run(path).settings.supernet if path.is_dir() else family_of_file(path), str(path)


def chosen_supernet(settings: Settings, dataset: Dataset) -> Settings:
    """The settings with a supernet chosen by the size of the pictures, unless one was given."""
    if settings.supernet != AUTO:
        return settings
    name = "efficientnet-lite0" if dataset.side >= LARGE_SIDE else "mini"
    return replace(settings, supernet=name, weights=settings.weights if has_published(name) else None)


def check_task(settings: Settings, dataset: Dataset) -> None:
    """Raise `UserError` for objectives that the labels of a data set have not."""
    if (dataset.meaning or dataset.several) and BALANCED_ERROR in settings.objectives:
        kind = "masks" if dataset.meaning else "several labels"
        raise UserError(
            f"{BALANCED_ERROR} is of pictures that have one class each: of {kind}, {ERROR} weighs every class the same "
            "already"
        )


def check_archive(settings: Settings, directory: Path) -> None:
    """Raise `UserError` where the run that seeds the archive is of another supernet, or has measured nothing."""
    if settings.archive is None:
        return
    other = Run(source_from(settings.archive, directory))
    if other.settings.supernet != settings.supernet:
        raise UserError(
            f"--archive {other.directory} is a run of {other.settings.supernet}, not of {settings.supernet}: its "
            "architectures mean nothing here"
        )
    other.front()


def as_list(texts: str | Sequence[str]) -> list[str]:
    """A list of texts, from one text or several."""
    return [texts] if isinstance(texts, str) else list(texts)
