"""A dry run: its numbers are those of the run that follows, and nothing is left of it."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import naturalize
from naturalize import api, forecast, schedule
from naturalize.errors import UserError
from naturalize.forecast import Step, files, foreseen
from naturalize.lifecycle import work
from naturalize.options import make_settings
from naturalize.workbench import Workbench
from runs import events

LABELS = np.arange(60) % 3
DRAWN = np.random.default_rng(0).integers(0, 30, (60, 8, 8))
IMAGES = (40 + 80 * LABELS[:, None, None] + DRAWN).astype(np.uint8)
PHOTOGRAPHS = np.repeat(np.repeat(IMAGES, 8, axis=1), 8, axis=2)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch, one_cpu: None) -> None:
    monkeypatch.setattr(schedule, "INITIAL", 10)
    monkeypatch.setattr(schedule, "NEW", 4)
    monkeypatch.setattr(schedule, "KEPT", 12)  # reached within the run


def steps_of(data: Any, place: Path, settings: Any) -> list[Step]:
    """The steps that are foreseen for a transfer."""
    found: list[Step] = []
    work(data, place, settings, [], None, do=lambda bench: found.extend(foreseen(bench, settings)))
    return found


def names_of(data: Any, place: Path, settings: Any) -> list[str]:
    """The files that are foreseen for a transfer."""
    found: list[str] = []
    work(data, place, settings, [], None, do=lambda bench: found.extend(files(bench, settings)))
    return found


@pytest.mark.parametrize(
    ("images", "options"),
    [
        (IMAGES, {"iterations": 2, "epochs": 1}),
        pytest.param(IMAGES, {"iterations": 2, "epochs": 3, "scratch": True}, marks=pytest.mark.slow),
        pytest.param(PHOTOGRAPHS, {"iterations": 1, "epochs": 16}, marks=pytest.mark.slow),
    ],
    ids=["prepared", "scratch", "photographs"],
)
def test_a_run_by_number_does_what_was_foreseen(tmp_path: Path, images: Any, options: dict[str, Any]) -> None:
    number, epochs = options["iterations"], options["epochs"]
    rest = {name: value for name, value in options.items() if name not in ("iterations", "epochs")}
    settings = make_settings("", None, number, epochs, **rest)
    steps = steps_of((images, LABELS), tmp_path / "dry", settings)
    assert all(step.seconds >= 0 for step in steps)
    passes = [step.networks for step in steps for _ in range(step.times) if step.networks]
    trained = [step.steps for step in steps for _ in range(step.times) if step.steps]

    run = naturalize.transfer((images, LABELS), tmp_path / "run", **options, listeners=())
    there = {path.name + "/" * path.is_dir() for path in run.directory.iterdir()}
    names = set(names_of((images, LABELS), tmp_path / "names", settings))
    assert there - {"lock"} <= names
    assert names - there <= {"pictures/"}, "of what networks get wrong, where there is any of that"
    with closing(run.archive()) as archive:
        assert [facts["measured"] for facts in archive.iterations()] == passes
    by_training: dict[Any, int] = {}
    for event in events(run.directory, "epoch"):
        by_training[event["phase"], event["version"]] = event["step"]
    assert list(by_training.values()) == trained


@pytest.mark.parametrize(
    "asked", [{"iterations": 2, "epochs": 1, "recipe": "nat", "supernet": "mini"}, {"budget": "3m"}]
)
def test_nothing_is_left_of_a_dry_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: dict[str, Any]) -> None:
    for name in ("home", "temporary"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "home")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    lines = api.dry_run((IMAGES, LABELS), "runs/x", **asked, require="200K<madds<2M", listeners=())
    assert [path.name for path in sorted(tmp_path.rglob("*"))] == ["home", "temporary"]
    assert lines[0].startswith("arrays: 3 classes (0, 1, 2), grey pictures")
    (settings,) = (line for line in lines if line.startswith("mini with its published weights, minimise error, madds "))
    assert " with 200K<madds<2M, " in settings
    assert settings.endswith("; by the recipe nat: objectives, search, predictor") == ("recipe" in asked)
    assert [line for line in lines if line.startswith("prepare the supernet: uniform draws  ")]
    assert lines[-1].startswith("writes runs/x: run.toml, ")
    assert lines[-2].startswith("in all about " + ("3m 00s on" if "budget" in asked else ""))


def test_a_dictionary_of_arrays_by_split_is_one_data_set(tmp_path: Path) -> None:
    by_split = {"train": (IMAGES[:40], LABELS[:40]), "test": (IMAGES[40:], LABELS[40:])}
    lines = api.dry_run(by_split, tmp_path / "x", iterations=1, epochs=1, listeners=())
    assert lines[0].startswith("arrays: 3 classes (0, 1, 2), grey pictures")
    assert "train 40, test 20 as given" in lines[1]


def test_a_budget_is_divided_to_the_second(tmp_path: Path) -> None:
    settings = make_settings("", "2m", None, None)
    steps = steps_of((IMAGES, LABELS), tmp_path / "dry", settings)
    assert sum(step.seconds for step in steps) == pytest.approx(120.0)
    assert [step.words.split()[0] for step in steps][-4:] == ["prepare", "iterations", "select", "classifiers,"]


def test_latencies_are_not_modelled_but_told(tmp_path: Path) -> None:
    lines = api.dry_run(
        (IMAGES, LABELS), tmp_path / "x", budget="3m", objectives=("error", "latency:cpu"), require="latency:cpu<9ms",
        listeners=(),
    )  # fmt: skip
    (model,) = (line for line in lines if line.startswith("model latency:cpu, at most "))
    assert model.endswith(" 18s"), "a tenth of the budget"
    assert any("minimise error, latency:cpu with latency:cpu<9ms" in line for line in lines)


def test_fine_tuning_after_the_run_is_a_step_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forecast, "foreseen", lambda bench, settings: [Step("all", 400.0)])
    options = {"supernet": "mini", "iterations": 1, "require": "madds<2M", "listeners": ()}
    told = {
        recipe: api.dry_run((IMAGES, LABELS), tmp_path / "x", recipe=recipe, **options)[-3].split()
        for recipe in ("nat", "nat-imagenet")
    }
    assert told["nat"] == ["all", "6m", "40s"]
    assert told["nat-imagenet"] == ["fine-tune", "each", "network", "of", "the", "front", "1m", "40s"]


def test_an_existing_run_is_left_alone(tmp_path: Path) -> None:
    settings = make_settings("", None, 1, 1)

    def nothing(bench: Workbench) -> None:
        pass

    work((IMAGES, LABELS), tmp_path / "run", replace(settings, seed=3), [], None, do=nothing)
    before = (tmp_path / "run" / "run.toml").read_bytes()
    with pytest.raises(UserError, match="is a run already, and --dry-run plans a new one: choose another --out"):
        api.dry_run((IMAGES, LABELS), tmp_path / "run", iterations=1, epochs=1, listeners=())
    assert (tmp_path / "run" / "run.toml").read_bytes() == before
