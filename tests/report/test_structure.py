"""What the page says of structures and distances, against the layer table and by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_up import write_whole_run

from naturalize.errors import UserError
from naturalize.report.compare import distances, write_comparison
from naturalize.report.insides import Insides
from naturalize.report.structure import structures

SUPERNETS = ["mini", "efficientnet-lite0", "ofa-mbv3", "ofa-proxyless-w1.3", "ofa-resnet50"]


@pytest.mark.parametrize("supernet", SUPERNETS)
def test_structures_hold_every_convolution_of_the_layer_table(supernet: str, tmp_path: Path) -> None:
    run = Insides(write_whole_run(tmp_path / "run", measured=12, supernet=supernet, iterations=1))
    codes = run.family.space.sample(6, np.random.default_rng(3))
    drawn = structures(run, run.family.space.architectures(codes))
    table = run.layers(codes)
    madds = table.madds()
    for row, network in enumerate(drawn["networks"]):
        there = table.present[row] & (table.kind == "conv")
        body = [name for name in table.name[there].tolist() if "." in name or name in ("stem", "final")]
        blocks = [drawn["blocks"][number] for stage in network["stages"] for number in stage["blocks"]]
        strided = [kernel for kernel in table.kernel[row][there].tolist() if kernel > 1]
        assert sorted(block[1] for block in blocks if block[0] != "max_pool" and block[1] > 1) == sorted(strided)
        assert len(blocks) <= len(body) + 1
        last = run.family.maps(codes[[row]])[-1]
        sides = last.side[0], last.channels[0]
        assert (network["stages"][-1]["side"], network["stages"][-1]["channels"]) == sides
        assert network["rest"] + sum(stage["share"] for stage in network["stages"]) == pytest.approx(100, abs=0.5)
        stage = network["stages"][2]
        named = [name.startswith("stage2.") for name in table.name.tolist()]
        assert stage["share"] == pytest.approx(100 * madds[row, named].sum() / madds[row].sum(), abs=0.06)


def test_distances_are_those_by_hand(tmp_path: Path) -> None:
    run = Insides(write_whole_run(tmp_path / "run", measured=12, iterations=1))
    # mini at 20, 24, 28, 32 px; 13 of its 14 variables have a choice
    assert run.family.resolutions == (20, 24, 28, 32)
    texts = ["00100010001000", "30660042122000", "00100010001000"]
    differing, mean, free = distances([run] * 3, run.archs(texts))
    assert free == 13
    assert differing.tolist() == [[0, 8, 0], [8, 0, 8], [0, 8, 0]]
    # resolution 12 of 12 px; codes 1 to 6 have five steps where a block is always there, and six elsewhere
    by_hand = 12 / 12 + (5 / 5 + 6 / 6) + (3 / 5 + 2 / 6 + 1 / 6 + 2 / 6) + 1 / 5
    assert mean[0, 1] == pytest.approx(by_hand / 13)


def test_comparison_of_runs_is_one_small_page(tmp_path: Path) -> None:
    runs = [write_whole_run(tmp_path / name, measured=n, iterations=1) for name, n in (("a <i>", 30), ("b", 60))]
    path = write_comparison(runs, "madds=2M")
    page = path.read_text(encoding="utf-8")
    assert path == runs[0] / "comparison.html"
    assert len(page) < 100_000
    assert "2 networks nearest to madds=2M" in page
    assert "a &lt;i&gt;" in page
    assert "Lu et al." in page


def test_comparisons_that_cannot_be_made_say_why_in_one_line(tmp_path: Path) -> None:
    small = write_whole_run(tmp_path / "small", measured=12, iterations=1)
    large = write_whole_run(tmp_path / "large", measured=12, iterations=1, supernet="ofa-resnet50")
    for runs, at, why in (
        ([small, large], "madds=2M", "is of mini and .* of ofa-resnet50"),
        ([small, small], "error=2", "error is no cost"),
        ([small, small], "latency:cpu=2ms", "this run knows no latency:cpu"),
        ([small, tmp_path / "none"], "madds=2M", "does not exist"),
    ):
        with pytest.raises(UserError, match=why) as raised:
            write_comparison(runs, at)
        assert "\n" not in str(raised.value)
    assert not list(tmp_path.glob("*/comparison.html"))


def test_a_comparison_names_the_run_that_lacks_a_cost_and_tells_runs_of_one_name_apart(tmp_path: Path) -> None:
    runs = [write_whole_run(tmp_path / name / "run", measured=12, iterations=1) for name in ("a", "b")]
    timed = write_whole_run(tmp_path / "timed", measured=12, iterations=1, objectives=("error", "latency:cpu"))
    with pytest.raises(UserError, match=r"/b/run: this run knows no latency:cpu"):
        write_comparison([timed, runs[1]], "latency:cpu=1ms")
    page = write_comparison([*runs, timed], "madds=2M").read_text(encoding="utf-8")
    for name in ("1: run", "2: run", "timed"):
        assert f"<h3>{name}</h3>" in page


def test_comparison_draws_all_structures_on_one_scale(opened: Any, tmp_path: Path) -> None:
    runs = [write_whole_run(tmp_path / name, measured=n, iterations=1) for name, n in (("a", 30), ("b", 60))]
    page = opened(write_comparison(runs, "madds=2M"), width=390)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    boxes = page.evaluate(
        "() => [...document.querySelectorAll('.blocks li:not(.absent)')].map("
        "e => [e.querySelector('.box').offsetWidth, Number(e.textContent.match(/→ (\\d+) →/)[1])])"
    )
    scales = {round(width / inner, 2) for width, inner in boxes if inner >= 64}
    assert len(page.locator(".stages").all()) == 2
    assert max(scales) - min(scales) < 0.02
