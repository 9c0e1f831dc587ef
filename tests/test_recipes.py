"""Recipes are values of options: those of the paper, where nothing else is asked for."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import naturalize
from naturalize import api, schedule
from naturalize.errors import UserError
from naturalize.options import RECIPES, make_settings
from naturalize.run import Settings
from naturalize.search.nsga3 import POPULATION, Variation

DOCUMENTED = {
    "iterations": 30,
    "epochs": 5,
    "objectives": ("error", "madds"),
    "search": "nat",
    "predictor": "rbf-ensemble",
    "supernet": "ofa-mbv3",
}
OTHERS: dict[str, Any] = {
    "iterations": 2,
    "epochs": 1,
    "objectives": ("error", "params"),
    "search": "auto",
    "predictor": "cart",
    "supernet": "mini",
    "require": ("madds<5M",),
}


def settings_of(recipe: str | None, **asked: Any) -> Settings:
    """The settings of a transfer with these options."""
    return make_settings(
        "photos", None, asked.pop("iterations", None), asked.pop("epochs", None), recipe=recipe, **asked
    )


@pytest.mark.parametrize(("recipe", "require"), [("nat", ()), ("nat-imagenet", ("200M<=madds<=600M",))])
def test_a_recipe_gives_what_is_documented(recipe: str, require: tuple[str, ...]) -> None:
    found = settings_of(recipe)
    assert {name: getattr(found, name) for name in DOCUMENTED} == DOCUMENTED
    assert (found.requirements, found.budget_s, found.weights) == (require, None, "published")
    assert found.recipe == (recipe, *DOCUMENTED, *(["require"] if require else []))
    page = (Path(__file__).parents[1] / "docs" / "recipe.md").read_text(encoding="utf-8")
    for name, value in RECIPES[recipe].options.items():
        told = " and ".join(value) if isinstance(value, tuple) else value
        assert f"| `{name}` | `{told}` |" in page, f"docs/recipe.md tells {name}"


def test_what_no_option_says_is_the_papers_all_the_same() -> None:
    assert (schedule.INITIAL, schedule.KEPT, POPULATION) == (100, 300, 100)
    assert Variation() == Variation(crossover=0.9, mutation=0.1, eta=1.0)


@pytest.mark.parametrize("option", OTHERS)
def test_what_is_asked_for_wins(option: str) -> None:
    found = settings_of("nat-imagenet", **{option: OTHERS[option]})
    name = "requirements" if option == "require" else option
    assert getattr(found, name) == OTHERS[option]
    assert option not in found.recipe
    assert set(found.recipe) == {"nat-imagenet", *DOCUMENTED, "require"} - {option}


def test_without_a_recipe_nothing_changes() -> None:
    found = make_settings("photos", "20m", None, None)
    assert (found.search, found.predictor, found.objectives, found.recipe) == (
        "nat", "gaussian-process", ("error", "madds"), ()
    )  # fmt: skip


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            {"recipe": "nat", "budget": "20m"},
            "--recipe nat is by number, 30 iterations of 5 epochs: leave --budget out",
        ),
        ({"recipe": "gnat"}, "unknown recipe 'gnat': did you mean nat"),
        ({"recipe": "nat", "iterations": 0}, "--iterations 0: give 1 or more"),
    ],
)
def test_what_does_not_go_together_is_told_before_any_work(tmp_path: Path, options: Any, told: str) -> None:
    with pytest.raises(UserError, match=told):
        naturalize.transfer("digits", tmp_path / "run", **options)
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("one_cpu")
def test_a_recipe_that_ends_with_fine_tuning_does_it_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.arange(48) % 3
    images = (40 + 80 * labels[:, None, None] + np.random.default_rng(0).integers(0, 30, (48, 8, 8))).astype(np.uint8)
    monkeypatch.setattr(schedule, "INITIAL", 12)
    monkeypatch.setattr(schedule, "NEW", 4)
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(api, "finetune", lambda directory, **options: asked.append(options))
    events: list[dict[str, Any]] = []
    options = {"recipe": "nat-imagenet", "supernet": "mini", "iterations": 1, "epochs": 1, "predictor": "rbf"}
    for _ in range(2):
        run = naturalize.transfer(
            (images, labels), tmp_path / "run", **options, require="300K<=madds<2M", listeners=[events.append]
        )
    (told,) = (event["settings"] for event in events if event["event"] == "start")
    assert told.endswith("; by the recipe nat-imagenet: objectives, search")
    networks = [network.architecture for network in run.front()]
    assert all(300_000 <= network.madds < 2_000_000 for network in run.front())
    (finished,) = (event for event in events if event["event"] == "finished")
    assert not any("on the clock" in sentence for sentence in finished["verdict"]), "limits on counts are no clock's"
    (once,) = asked
    assert (once["architectures"], once["budget"]) == (networks, "30.0s")
