"""What a run was asked to do, and how budgets are written."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from naturalize.errors import UserError
from naturalize.numbers import duration
from naturalize.run import Settings, parse_budget
from naturalize.run.settings import PUBLISHED, read_settings, write_settings

FACTS = {"data": {"side": 8}, "pixels": {"views": 1}, "machine": {"cpus": 2}}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30), ("90s", 90), ("20m", 1200), ("1h30m", 5400), ("2d", 172800), ("1.5h", 5400), (" 2M ", 120)],
)
def test_C02_documented_forms_of_a_budget(text: str, seconds: float) -> None:
    assert parse_budget(text) == seconds


@pytest.mark.parametrize("text", ["0", "-1m", "20", "20 min", "1e9h", "", "m", "1h-30m", "30m1h", "nan", "inf", "20mm"])
def test_C02_other_forms_are_refused_with_an_example(text: str) -> None:
    with pytest.raises(UserError, match="20m"):
        parse_budget(text)


@pytest.mark.parametrize("text", ["5s", "0m", "29s"])
def test_C02_too_small_a_budget_names_the_least(text: str) -> None:
    with pytest.raises(UserError, match="the minimum is 30s"):
        parse_budget(text)


@given(st.text())
def test_any_text_is_a_budget_or_a_user_error(text: str) -> None:
    try:
        seconds = parse_budget(text)
    except UserError:
        return
    assert 30 <= seconds <= 366 * 86400


@given(st.integers(60, 10**6))
def test_durations_are_read_back_but_for_what_they_leave_out(seconds: int) -> None:
    back = parse_budget(duration(seconds).replace(" ", ""))
    assert abs(back - seconds) < (60 if seconds >= 3600 else 1)


def test_settings_are_read_back(tmp_path: Path) -> None:
    asked = Settings(
        data="x", objectives=("error", "params"), requirements=("madds<5M",), iterations=2, epochs=1, seed=3
    )
    write_settings(tmp_path / "run.toml", asked, FACTS)
    assert read_settings(tmp_path / "run.toml") == (asked, FACTS)
    assert tomllib.loads((tmp_path / "run.toml").read_text(encoding="utf-8"))["format"] == 1


def test_R15_differences_are_named_but_for_the_path_of_the_data() -> None:
    mine = Settings(data="a", budget_s=120.0)
    assert mine.differences(Settings(data="b", budget_s=120.0)) == []
    found = mine.differences(Settings(data="a", iterations=2, epochs=1, seed=4, classes=("dog", "cat")))
    assert len(found) == 5
    assert "seed (0 there, 4 here)" in found
    assert "budget (2m 00s there, none here)" in found


def test_a_start_says_which_weights() -> None:
    said = [Settings(data="a", supernet="mini", weights=weights).start for weights in (None, PUBLISHED, "runs/first")]
    assert said == ["mini from nothing", "mini with its published weights", "mini with the weights of runs/first"]
