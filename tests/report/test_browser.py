"""The page in headless Chromium: each control is used, and what it changes is looked at."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_up import made_up_front, write_run, write_whole_run

from naturalize.objectives.requirement import parse_requirement
from naturalize.report import write_report
from naturalize.run.front import best, networks_of, read_front

Opened = Callable[..., Any]
DRAWN = "() => document.querySelector('#front')._fullLayout !== undefined"
TRACES = (
    "() => document.querySelector('#front').data.map("
    "({name, x, y, marker, visible}) => ({name, x, y, opacity: marker?.opacity, visible}))"
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = write_whole_run(tmp_path_factory.mktemp("whole") / "run", objectives=("error", "params", "latency:cpu"))
    write_report(directory)
    return directory


@pytest.fixture(scope="module")
def first(run: Path, opened: Opened) -> Any:
    """The page that most tests share."""
    found = opened(run / "report.html")
    found.wait_for_function(DRAWN)
    return found


@pytest.fixture
def page(first: Any) -> Any:
    """That page as it opened: another one would take seconds."""
    first.evaluate(
        "() => { Object.assign(view, { ...opened, limits: objectives.map(() => null) }); choose(data.chosen); limit(); "
        "look(); scrollTo(0, 0); }"
    )
    see(first, "front")
    return first


def see(page: Any, part: str) -> None:
    """Scroll to a part of the page, and wait until it is drawn."""
    page.locator(f"#{part}").scroll_into_view_if_needed()
    page.wait_for_function(f"() => !parts.get('{part}').stale")


def traces(page: Any) -> dict[str, Any]:
    """The traces of the picture of the front, by name."""
    return {trace["name"]: trace for trace in page.evaluate(TRACES)}


def slide(page: Any, number: int, value: int) -> None:
    """Move a slider as a reader does."""
    page.locator(f"input[data-objective='{number}']").fill(str(value))


def values(front: dict[str, Any], name: str) -> list[float]:
    return [network["val_error"] if name == "error" else network["objectives"][name] for network in front["networks"]]


def test_menus_put_any_objectives_on_the_axes(run: Path, page: Any) -> None:
    front = read_front(run)
    assert [option.get_attribute("value") for option in page.locator("#across option").all()][:3] == [
        "error", "params", "latency:cpu",
    ]  # fmt: skip
    for across, up in (("params", "error"), ("latency:cpu", "size"), ("error", "latency:cpu clock")):
        page.select_option("#across", across)
        page.select_option("#up", up)
        drawn = traces(page)
        points = zip(drawn["validation"]["x"], drawn["validation"]["y"], strict=True)
        by_network = dict(zip(page.evaluate("order"), points, strict=True))
        for index, network in enumerate(front["networks"]):
            clock = network["measured"]["latency:cpu"]["value"]
            wanted = [clock if name.endswith("clock") else values(front, name)[index] for name in (across, up)]
            assert by_network[index] == pytest.approx(wanted)
        assert drawn["test"]["visible"] == ("error" in (across, up))
        title = page.evaluate("document.querySelector('#front').layout.xaxis.title.text")
        assert title.startswith({"params": "parameters", "latency:cpu": "latency (cpu)", "error": "error"}[across])


def test_colour_follows_its_menu(run: Path, page: Any) -> None:
    page.select_option("#colour", "madds")
    order, colours = page.evaluate("order"), page.evaluate("document.querySelector('#front').data[0].marker.color")
    assert colours == [values(read_front(run), "madds")[index] for index in order]
    assert page.evaluate("document.querySelector('#front').data[0].marker.colorbar.title.text") == "multiply-adds"
    page.select_option("#colour", "")
    assert isinstance(page.evaluate("document.querySelector('#front').data[0].marker.color"), str)


def test_everything_measured_is_drawn_behind_the_front(run: Path, page: Any) -> None:
    front = read_front(run)
    paths = page.locator("#front .shapelayer path").all()
    dots = sum(path.get_attribute("d").count("M") for path in paths)
    told = page.locator("#drawn").inner_text()
    beyond = int((re.search(r"([\d,]+) of them lie beyond", told) or [0, "0"])[1])
    assert dots == 200 - len(front["networks"]) - beyond
    assert dots > 50
    assert f"{200 - len(front['networks'])} measured under the same weights" in told


def test_before_fine_tuning_is_a_point_of_its_own(page: Any) -> None:
    points = traces(page)["validation, before fine-tuning"]
    assert [value for value in points["y"] if value is not None] == [70.0]


def test_limits_dim_count_and_give_a_command_that_chooses_the_same(run: Path, page: Any) -> None:
    front = read_front(run)
    params = sorted(set(values(front, "params")))
    latency = sorted(set(values(front, "latency:cpu")))
    assert "No limits" in page.locator("#left").inner_text()
    slide(page, 1, len(params) // 2)
    slide(page, 2, len(latency) // 2)
    limits = {"params": params[len(params) // 2], "latency:cpu": latency[len(latency) // 2]}
    left = [
        n
        for n, network in enumerate(front["networks"])
        if all(network["objectives"][k] <= v for k, v in limits.items())
    ]
    assert 0 < len(left) < len(front["networks"])
    assert page.locator("#left").inner_text().startswith(f"{len(left)} of {len(front['networks'])} networks are within")
    opacity = dict(zip(page.evaluate("order"), traces(page)["validation"]["opacity"], strict=True))
    assert {index for index, shade in opacity.items() if shade == 1} == set(left)
    assert page.locator("#networks tr.beyond").count() == len(front["networks"]) - len(left)
    command = page.locator("#within code").inner_text()
    required = [parse_requirement(text) for text in re.findall(r'--require "([^"]+)"', command)]
    assert [requirement.objective for requirement in required] == ["params", "latency:cpu"]
    assert "madds" not in command
    wanted = best(networks_of(front), required).architecture
    page.click("#take")
    see(page, "network")
    assert f"architecture {wanted}" in page.locator("#facts").inner_text()
    assert page.locator("input[data-objective='1']").get_attribute("aria-valuetext").startswith("at most ")
    page.click("#clear")
    assert page.locator("#networks tr.beyond").count() == 0
    assert "No limits" in page.locator("#left").inner_text()


def test_a_limit_that_export_does_not_take_names_the_network(run: Path, page: Any) -> None:
    clock = page.evaluate("objectives.length") - 1
    slide(page, clock, 3)
    front = read_front(run)
    assert page.locator("#left").inner_text().startswith(f"4 of {len(front['networks'])} networks are within")
    assert re.search(r"--architecture \d+ --to", page.locator("#within code").inner_text())
    slide(page, 0, 0)  # the lowest error: no network has both
    assert page.locator("#left").inner_text().endswith("raise one.")
    assert page.locator("#take").is_disabled()
    assert not page.locator("#within").is_visible()


def test_a_network_is_chosen_by_click_table_menu_and_keyboard_and_marked_in_every_picture(run: Path, page: Any) -> None:
    front = read_front(run)

    def check(index: int) -> None:
        assert page.locator("#choice").input_value() == str(index)
        assert page.locator("#networks tr.chosen").get_attribute("data-network") == str(index)
        assert page.locator("#networks button[aria-pressed=true]").inner_text() == str(index + 1)
        see(page, "front")
        ring = traces(page)["chosen below"]
        assert (ring["x"], ring["y"]) == ([values(front, "params")[index]], [values(front, "error")[index]])
        clock = front["networks"][index]["measured"]["latency:cpu"]["value"]
        see(page, "clock0")
        assert page.evaluate("document.querySelector('#clock0').data.at(-1).y[0]") == pytest.approx(clock)
        see(page, "network")
        assert front["networks"][index]["architecture"] in page.locator("#facts").inner_text()
        see(page, "mistakes")
        assert f"Network {index + 1}," in page.locator("#whose").inner_text()

    page.click("#networks button[data-network='2']")
    check(2)
    page.select_option("#choice", "5")
    check(5)
    order = page.evaluate("order")
    page.focus("#front")
    page.keyboard.press("ArrowRight")
    check(order[order.index(5) + 1])
    page.keyboard.press("Home")
    check(order[0])
    page.keyboard.press("ArrowLeft")
    check(order[0])
    page.keyboard.press("End")
    check(order[-1])
    see(page, "front")
    at = page.evaluate(
        """() => { const gd = document.querySelector('#front'), box = gd.getBoundingClientRect(), n = 3;
        const [xa, ya] = [gd._fullLayout.xaxis, gd._fullLayout.yaxis];
        return [box.left + xa._offset + xa.d2p(gd.data[0].x[n]), box.top + ya._offset + ya.d2p(gd.data[0].y[n])]; }"""
    )
    page.mouse.move(*at)
    page.mouse.click(*at)
    check(order[3])


def test_three_objectives_have_a_picture_in_space_and_three_projections(run: Path, page: Any) -> None:
    front = read_front(run)
    page.check("input[value=space]")
    figure = page.evaluate("document.querySelector('#front').data.map(({x, y, xaxis, mode}) => ({x, y, xaxis, mode}))")
    order = page.evaluate("order")
    wanted = {"x2": ("params", "error"), "x3": ("latency:cpu", "error"), "x4": ("params", "latency:cpu")}
    for axis, (across, up) in wanted.items():
        (points,) = [trace for trace in figure if trace["xaxis"] == axis and len(trace["x"]) == len(order)]
        assert points["x"] == [values(front, across)[index] for index in order]
        assert points["y"] == [values(front, up)[index] for index in order]
        (mark,) = [trace for trace in figure if trace["xaxis"] == axis and len(trace["x"]) == 1]
        chosen = int(page.locator("#choice").input_value())
        assert (mark["x"], mark["y"]) == ([values(front, across)[chosen]], [values(front, up)[chosen]])
    from_above = "document.querySelector('#front').data[2]"
    page.locator("#tilt").fill("90")
    page.locator("#turn").fill("0")
    seen = page.evaluate(f"[{from_above}.x, {from_above}.y]")
    params = [
        np.log(value) if page.evaluate("byName('params').axis.type") == "log" else value
        for value in values(front, "params")
    ]
    low, high = min(params), max(params)
    assert seen[0] == pytest.approx([(params[index] - low) / (high - low) - 0.5 for index in order])
    page.locator("#turn").fill("90")  # then it is what was to the right that points away
    turned = page.evaluate(f"[{from_above}.x, {from_above}.y]")
    assert turned[1] == pytest.approx(seen[0])


def test_parallel_coordinates_have_a_line_a_network(run: Path, page: Any) -> None:
    page.check("input[value=parallel]")
    front = read_front(run)
    data = page.evaluate("document.querySelector('#front').data")
    lines = [index for trace in data[:-1] for index in trace["customdata"] if index is not None]
    names = [text["text"] for text in page.evaluate("document.querySelector('#front').layout.annotations")]
    axes = [
        name for name in ("error", "parameters", "latency<br>(cpu)", "latency<br>(cpu) on the clock") if name in names
    ]
    assert len(axes) == 4
    assert sorted(lines) == sorted([*range(len(front["networks"]))] * 4)
    chosen = int(page.locator("#choice").input_value())
    column = values(front, "error")
    low, high = min(column), max(column)
    assert data[-1]["y"][0] == pytest.approx((column[chosen] - low) / (high - low) - 0.5)
    slide(page, 1, 2)
    dimmed = page.evaluate("document.querySelector('#front').data")[0]
    assert dimmed["opacity"] < 0.2
    assert len({index for index in dimmed["customdata"] if index is not None}) == len(front["networks"]) - 3


def test_structure_of_the_chosen_network_is_drawn_with_sizes_that_mean_something(run: Path, page: Any) -> None:
    front = read_front(run)
    for index in (0, len(front["networks"]) - 1):
        page.select_option("#choice", str(index))
        see(page, "network")
        code = [int(digit) for digit in front["networks"][index]["architecture"]]
        stages = page.locator("#structure .stage").all()
        assert len(stages) == 5  # stem, three stages, last convolution
        for stage in range(3):
            layers = code[2 + 4 * stage : 6 + 4 * stage]
            items = stages[1 + stage].locator(".blocks li")
            labels = [text.split(":")[0] for text in items.all_text_contents()]
            wanted = [
                f"{(3, 5)[(n - 1) % 2]}×{(3, 5)[(n - 1) % 2]} ×{2 + (n - 1) // 2}" if n else "absent" for n in layers
            ]
            assert labels == wanted
            boxes = [box.bounding_box() for box in stages[1 + stage].locator("li:not(.absent) .box").all()]
            heights = {label[0]: box["height"] for label, box in zip(labels, boxes, strict=False)}
            if len(heights) == 2:
                assert heights["5"] > heights["3"]
            inner = [int(re.findall(r"→ (\d+) →", text)[0]) for text in items.all_text_contents() if "→" in text]
            if len(set(inner)) > 1:
                ratio = boxes[inner.index(max(inner))]["width"] / boxes[inner.index(min(inner))]["width"]
                assert ratio == pytest.approx(max(inner) / min(inner), rel=0.05)


def test_predictions_clock_and_p_follow_their_controls(page: Any) -> None:
    see(page, "predicted")
    read = "document.querySelector('#predicted').data[1]"
    last = page.evaluate(f"[{read}.x, {read}.y]")
    assert np.array(last[1]) - np.array(last[0]) == pytest.approx(1.0)
    page.locator("#iteration").fill("0")
    first = page.evaluate(f"[{read}.x, {read}.y]")
    assert min(first[0]) > min(last[0])
    assert page.locator("#iteration-number").inner_text() == "0"
    assert page.locator("#predicted-lead").inner_text().endswith("rank correlation (Kendall) 1.")
    see(page, "shares")
    share = "document.querySelector('#shares').data[0]"
    for variable in (0, 3):
        page.select_option("#variable", str(variable))
        z = np.array(page.evaluate(f"{share}.z"))
        assert z.sum(axis=0) == pytest.approx(100, abs=0.6)
        assert len(page.evaluate(f"{share}.x")) == z.shape[1] == 4
    assert page.evaluate(f"{share}.y")[0] == "absent"


def test_what_the_reader_chose_stays_over_a_reload(page: Any) -> None:
    page.check("input[value=space]")
    page.select_option("#across", "size")
    page.locator("#turn").fill("40")
    slide(page, 2, 4)
    page.select_option("#choice", "3")
    told = page.locator("#left").inner_text()
    page.reload()
    page.wait_for_function(DRAWN)
    assert page.locator("input[value=space]").is_checked()
    assert page.locator("#across").input_value() == "size"
    assert page.locator("#turn").input_value() == "40"
    assert page.locator("#left").inner_text() == told
    assert page.locator("#choice").input_value() == "3"


def test_an_address_of_another_run_is_harmless(run: Path, opened: Opened) -> None:
    page = opened(run / "report.html", hash="#kind=none&across=%3Cb%3E&turn=x&max+params=-4&max+nothing=1&network=0")
    page.wait_for_function(DRAWN)
    assert page.locator("input[value=plane]").is_checked()
    assert page.locator("#across").input_value() == "params"
    assert page.locator("#left").inner_text().startswith("1 of ")


def test_a_page_of_a_run_that_goes_on_reads_itself_anew(
    opened: Opened, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    directory = write_whole_run(tmp_path / "run", measured=40)
    monkeypatch.setattr("naturalize.report.report.REFRESH_S", 1)
    front = read_front(directory) | {"state": "running"}
    write_report(directory, front, refresh=True)
    page = opened(directory / "report.html")
    page.wait_for_function(DRAWN)
    assert "This run goes on" in page.locator(".banner").first.inner_text()
    page.select_option("#across", "params")
    write_report(directory)
    page.wait_for_function("() => document.querySelector('.banner') === null", timeout=90_000)
    page.wait_for_function(DRAWN)
    assert page.locator("#across").input_value() == "params"


def test_on_a_phone_in_the_dark_nothing_is_wider_than_the_screen(run: Path, opened: Opened) -> None:
    page = opened(run / "report.html", width=390, height=9000, color_scheme="dark")
    page.wait_for_function(DRAWN)
    for view in ("plane", "space", "parallel"):
        page.check(f"input[value={view}]")
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        wide = page.evaluate(
            "() => [...document.querySelectorAll('main *')].filter(e => e.getBoundingClientRect().right > 391 && "
            "!e.closest('.scroll, code, .spoken, svg, .plot')).map(e => e.outerHTML.slice(0, 80))"
        )
        assert wide == []
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(21, 25, 29)"
    assert page.evaluate("document.querySelector('#front').layout.font.color") == "#e4e8eb"


def test_every_control_has_a_name_and_can_be_reached_by_the_tab_key(page: Any) -> None:
    unnamed = page.evaluate(
        "() => [...document.querySelectorAll('main :is(button, select, input, [tabindex])')].filter(e => "
        "!(e.labels?.length || e.textContent.trim() || e.getAttribute('aria-label'))).map(e => e.outerHTML)"
    )
    assert unnamed == []
    reached: list[str] = []
    page.click("h1")
    while "choice" not in reached and len(reached) < 40:
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id"))
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    assert {"across", "up", "colour", "front", "slider-0", "slider-7", "take", "choice"} <= set(reached)


def test_a_front_without_anything_else_has_a_page_that_works(opened: Opened, tmp_path: Path) -> None:
    for networks in (1, 9):
        page = opened(write_report(write_run(tmp_path / str(networks), made_up_front(networks))))
        page.wait_for_function(DRAWN)
        for view in ("space", "parallel", "plane"):
            page.check(f"input[value={view}]")
        assert page.locator("#structure").inner_text() == ""
        assert page.locator("#drawn").inner_text() == ""
        assert page.locator("#facts").inner_text().startswith("architecture ")


def test_a_structure_of_bottlenecks_is_drawn_too(opened: Opened, tmp_path: Path) -> None:
    options: dict[str, Any] = {"supernet": "ofa-resnet50", "objectives": ("error", "madds"), "iterations": 1}
    page = opened(write_report(write_whole_run(tmp_path / "run", measured=30, **options)))
    page.wait_for_function(DRAWN)
    see(page, "network")
    drawn = page.locator("#structure .about span").all_text_contents()
    assert [text.split(",")[0].split()[-2:] for text in drawn[1:]] == [[most, "blocks"] for most in "4464"]
    assert re.match(
        r"3×3 →\d+: bottleneck, kernel 3×3, channels \d+ → \d+ → \d+", page.locator(".blocks li").nth(5).text_content()
    )


def test_a_run_that_minimises_balanced_error_opens_with_it(opened: Opened, tmp_path: Path) -> None:
    front = made_up_front(6, ["cat", "dog"]) | {"objectives": ["balanced-error", "params"]}
    for number, network in enumerate(front["networks"]):
        network |= {"val_balanced_error": 40.0 - number, "test_balanced_error": 42.0 - number}
        network |= {"val_images_balanced": 50, "objectives": {"balanced-error": 41.0 - 2 * number}}
    page = opened(write_report(write_run(tmp_path / "run", front)))
    page.wait_for_function(DRAWN)
    assert page.locator("#up").input_value() == "balanced-error"
    for up, split in (("balanced-error", "balanced_error"), ("error", "error")):
        page.select_option("#up", up)
        drawn, order = traces(page), page.evaluate("order")
        assert drawn["test"]["visible"] is not False
        for trace, key in (("validation", f"val_{split}"), ("test", f"test_{split}")):
            assert drawn[trace]["y"] == pytest.approx([front["networks"][index][key] for index in order])
    assert page.evaluate("networks[0].selected[0]") == 41.0
    assert "validation balanced error" in page.locator("#facts").text_content()


def test_what_a_threshold_refuses_is_told_of_the_chosen_network(opened: Opened, tmp_path: Path) -> None:
    front = made_up_front(2, ["cat", "dog"])
    for network in front["networks"]:
        network["test_confidence"] = {"images": [0] * 60 + [25] + [75] + [0] * 38, "wrong": [0] * 60 + [20] + [0] * 39}
    page = opened(write_report(write_run(tmp_path / "run", front)))
    see(page, "mistakes")
    page.wait_for_function("() => document.querySelector('#errors').textContent")
    assert "at 0.5: 0.0%, 20.0%; 0.7: 100.0%, –" in page.locator("#errors").text_content()


def test_labels_have_their_precisions_and_no_confusion(opened: Opened, tmp_path: Path) -> None:
    front = made_up_front(2, ["cat", "dog", "hat"]) | {"kind": "multi-label"}
    for number, network in enumerate(front["networks"]):
        labels = {"images": [40, 0, 7], "average_precision": [0.9, None, 0.5 + 0.1 * number]}
        network |= {"test_confusion": None, "test_labels": labels, "test_spread": 2.0, "val_spread": 2.5}
        for worst in network["test_worst"]:
            worst |= {"class": "cat, hat", "predicted": "none of these"}
            worst.pop("probability", None)
    page = opened(write_report(write_run(tmp_path / "run", front)))
    see(page, "mistakes")
    page.wait_for_function("() => document.querySelector('#errors').textContent")
    assert "the mean of the classes' average precision, over 47 test labels" in page.locator("#errors").text_content()
    chosen = page.evaluate("chosen")
    rows = page.locator("#classes tbody tr").all_text_contents()
    assert rows == [f"hat7{50 + 10 * chosen:.1f}%", "cat4090.0%", "dog0–"]
    assert page.locator("#pairs, #confusion, .taken").count() == 0
    assert page.locator("#worst strong").all_text_contents()[:1] in (["cat, hat → none of these"], [])
