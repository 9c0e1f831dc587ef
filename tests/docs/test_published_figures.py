"""What docs/published.md quotes of ours is what the results say."""

import json
import re

import pytest
from pages import ROOT

PAGE = (ROOT / "docs" / "published.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["flowers102", "oxford_pets", "dtd10", "food101_6"])
def test_photographs_are_quoted_from_their_results(name: str) -> None:
    (row,) = (line for line in PAGE.splitlines() if line.startswith(f"| `{name}` |"))
    quoted = [tuple(map(float, pair)) for pair in re.findall(r"([\d.]+) at ([\d.]+) (?=\|)", row)]
    found = json.loads((ROOT / "benchmarks" / "results" / f"rivals-{name}-30m-one-cpu.json").read_text())
    (cell,) = found["cells"]["nat"]
    least = [min(point for point in cell["points"] if point[1] <= limit) for limit in (77e6, 8.4e6)]
    for (accuracy, madds), (error, counted, *_) in zip(
        quoted, [cell["facts"]["lowest on validation"], *least], strict=True
    ):
        assert accuracy == round(100 - error, 1)
        assert madds == pytest.approx(counted / 1e6, abs=0.5)


@pytest.mark.parametrize(("file", "words"), [("transfers-cifar10", "83.9"), ("transfers-cifar10-scratch", "76.2")])
def test_cifar10_is_quoted_from_its_results(file: str, words: str) -> None:
    found = json.loads((ROOT / "benchmarks" / "results" / f"{file}.json").read_text())
    assert f"| {words} " in PAGE
    assert found["rows"][0]["accuracy %"] == pytest.approx(float(words), abs=0.051)
