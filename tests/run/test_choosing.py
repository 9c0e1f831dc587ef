"""Which network of a front is picked, by limits, by its knee, by a cost; and in what order networks are listed."""

import csv
import os
import subprocess
from dataclasses import replace

import numpy as np
import pytest

from naturalize.errors import UserError, command
from naturalize.objectives.requirement import parse_requirement
from naturalize.run.choosing import Choice, choose, knee, nearest, ordered
from naturalize.run.front import FrontNetwork
from naturalize.terminal import front_csv


def network(number: int, error: float, madds: int, size: int, test: float | None = None) -> FrontNetwork:
    counts = {"madds": float(madds), "params": 4.0, "size": float(size)}
    return FrontNetwork(str(number), 96, error, error, 10_000, test, None, madds, 4, None, objectives=counts)


FRONT = [
    network(0, 60.0, 5_000_000, 900_000, 61.0),
    network(1, 30.0, 12_000_000, 1_900_000),
    network(2, 25.0, 60_000_000, 2_100_000, 24.0),
    network(3, 24.0, 105_000_000, 7_000_000, 26.0),
]


def test_the_knee_is_the_farthest_below_the_line_through_the_ends() -> None:
    points = np.array([[n.val_error, n.madds] for n in FRONT])
    scaled = (points - points.min(0)) / np.ptp(points, axis=0)
    distance = (1 - scaled.sum(1)) / np.sqrt(2)  # from the line x + y = 1, by geometry
    assert FRONT[int(distance.argmax())] is knee(FRONT, ("error", "madds"))
    assert knee(FRONT, ("error", "madds")).architecture == "1"
    assert knee(FRONT[3:], ("error", "madds")).architecture == "3"


@pytest.mark.parametrize(
    ("at", "found"), [("madds=20M", "1"), ("madds=27M", "2"), ("size = 0.1MB", "0"), ("size=1950k", "1")]
)
def test_the_nearest_is_so_by_its_factor(at: str, found: str) -> None:
    assert nearest(FRONT, at).architecture == found


@pytest.mark.parametrize(
    ("require", "knee", "at", "found", "why"),
    [
        ([], False, None, "3", "the most accurate of 4 networks"),
        (["size<2.5MB"], False, None, "2", "the most accurate of 3 networks with size<2.5MB"),
        (["size<1MB"], True, None, "0", "the knee of 1 network with size<1MB"),
        ([], False, "madds=20M", "1", "nearest to madds=20M of 4 networks: 12 M"),
    ],
)
def test_a_choice_says_why(require: list[str], knee: bool, at: str | None, found: str, why: str) -> None:
    rule = Choice([parse_requirement(text) for text in require], knee, at)
    chosen, told = choose(FRONT, rule, ("error", "madds"))
    assert (chosen.architecture, told) == (found, why)


def test_order_is_ascending_and_what_was_not_tested_comes_last() -> None:
    assert [n.architecture for n in ordered(FRONT[::-1], "size")] == ["0", "1", "2", "3"]
    assert [n.architecture for n in ordered(FRONT, "test_error")] == ["2", "3", "0", "1"]


def test_a_limit_on_a_table_whose_name_has_spaces_is_understood() -> None:
    limit = parse_requirement("latency:my phone (2).json <= 5.5ms")
    assert (limit.objective, limit.limit, limit.exclusive) == ("latency:my phone (2).json", 5.5, False)


@pytest.mark.skipif(os.name != "posix", reason="the shell is a POSIX one")
@pytest.mark.parametrize("name", ["run", "my run", "a \"b\" 'c'", "$HOME", "`id`", "<i>&amp;", "hm!", "a\\b", "😀"])
def test_commands_to_copy_name_the_run_in_a_shell(name: str) -> None:
    told = subprocess.run(
        ["sh", "-c", command("front", name).replace("naturalize", r"printf '%s\n'")], capture_output=True
    )
    assert told.stdout.decode() == f"front\n{name}\n"


def test_csv_has_what_was_measured_beside_what_the_search_went_by() -> None:
    timed = replace(FRONT[0], measured={"latency:cpu": {"value": 1.25, "spread": 0.1}})
    rows = list(csv.DictReader(front_csv([timed, FRONT[1]])))
    assert [row["latency:cpu measured"] for row in rows] == ["1.25", ""]


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda: Choice((), True, "madds=3"), "not by both"),
        (lambda: nearest(FRONT, "madds"), "as madds=20M"),
        (lambda: nearest(FRONT, "error=3"), "error is no cost"),
        (lambda: nearest(FRONT, "madds=3MB"), "'3MB' is no number of madds"),
        (lambda: nearest(FRONT, "madds=-3"), "'-3' is no number of madds"),
        (lambda: nearest(FRONT, "madds=٥M"), "is no number of madds"),
        (lambda: nearest(FRONT, "madds=1e300G"), "not beyond what a computer can hold"),
        (lambda: parse_requirement("latency:cpu>5ms"), "'latency:cpu<5ms'"),
        (lambda: ordered(FRONT, "errors"), "unknown column 'errors'"),
        (lambda: ordered(FRONT, "activations"), "older naturalize"),
    ],
)
def test_what_makes_no_sense_is_refused(ask, words: str) -> None:
    with pytest.raises(UserError, match=words):
        ask()
