import base64
import html
import json
import os
import re
import shlex
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_up import NAMES, made_up_front, stopped, write_run, write_whole_run
from PIL import Image

from naturalize.cli import show
from naturalize.errors import UserError
from naturalize.numbers import count, duration, percent
from naturalize.objectives import OBJECTIVES, Objective
from naturalize.objectives.requirement import parse_requirement
from naturalize.report import front_svg, write_report
from naturalize.report.report import best_network, headline, requirements
from naturalize.run import Run
from naturalize.run.front import best, networks_of


def data_of(page: str) -> dict[str, Any]:
    """What the page's script reads."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, flags=re.S)
    assert found is not None
    data: dict[str, Any] = json.loads(found[1])
    return data


def own(page: str) -> str:
    """The page without Plotly's script."""
    return page[: page.index("plotly.js v")] + page[page.rindex("</script>\n<script>") :]


def test_P01_page_needs_nothing_from_outside(tmp_path: Path) -> None:
    page = write_report(write_run(tmp_path / "run", made_up_front())).read_text(encoding="utf-8")
    assert not re.search(r"""(src|href)=\\?["']?https?:""", page)
    assert not re.search(r"https?://|@import|url\(", own(page))


def test_P02_page_of_300_networks_and_100_classes_is_below_8_MB_with_one_library(tmp_path: Path) -> None:
    front = made_up_front(300, [f"class {i}" for i in range(100)], per_class=50)
    run = write_run(tmp_path / "run", front)
    noise = np.random.default_rng(0)
    for n in range(16):  # pictures that PNG cannot make smaller: 16 of 1 MB each
        large = Image.fromarray(noise.integers(0, 255, (600, 600, 3), dtype=np.uint8))
        large.save(run / "pictures" / f"{n}.png", compress_level=0)
    page = write_report(run).read_bytes()
    assert len(page) < 8_000_000
    assert page.count(b"plotly.js v") == 1
    data = data_of(page.decode())
    assert data["allPairs"]
    assert data["pictures"]
    packed = json.loads(zlib.decompress(base64.b64decode(data["confusions"])))
    assert len(packed) == 300
    for kept, network in zip(packed, front["networks"], strict=True):
        confusion = np.diag(kept["right"])
        confusion[kept["true"], kept["predicted"]] = kept["count"]
        assert (confusion == network["test_confusion"]).all()


def test_P05_run_without_a_front_says_nothing_measured_yet(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is no run"):
        write_report(tmp_path)
    (tmp_path / "run.toml").touch()
    with pytest.raises(UserError, match="nothing measured yet"):
        write_report(tmp_path)
    write_run(tmp_path / "empty", made_up_front() | {"networks": []})
    with pytest.raises(UserError, match="no networks"):
        write_report(tmp_path / "empty")
    with pytest.raises(UserError, match="does not exist"):
        write_report(tmp_path / "absent")


def test_P06_T04_page_shows_where_a_network_fails_and_what_a_majority_hides(tmp_path: Path) -> None:
    front = made_up_front(2, ["cat", "dog"])
    front["majority_error"] = {"val": 3.0, "test": 100 * 6 / 206}
    for network, confusion in zip(front["networks"], ([[200, 0], [6, 0]], [[200, 0], [0, 6]]), strict=True):
        network["test_confusion"] = confusion
        network["test_images"] = 206
        network["test_error"] = 100 * (1 - np.trace(confusion) / 206)
    page = write_report(write_run(tmp_path / "run", front)).read_text(encoding="utf-8")
    for heading in ("Error by class", "Confusion matrix", "Worst test images", '<select id="choice">'):
        assert heading in page
    assert re.search(r"always answering the most frequent class is 2\.9% wrong", page)
    blind, seeing = data_of(page)["networks"]
    assert blind["balanced"] == percent(50)
    assert any("explains the accuracy" in warning for warning in blind["warnings"])
    assert any("hides rare classes" in warning for warning in blind["warnings"])
    assert "Never recognised: dog." in blind["warnings"]
    assert seeing["warnings"] == []
    assert len(seeing["worst"]) == 12
    uris = data_of(page)["pictures"]
    picture = base64.b64decode(uris[seeing["worst"][0]["picture"]].removeprefix("data:image/png;base64,"))
    assert picture == (tmp_path / "run" / seeing["worst"][0]["picture"]).read_bytes()


def test_P07_report_is_made_from_what_is_whole(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", made_up_front())
    events = run / "events.jsonl"
    events.write_bytes(
        events.read_bytes()[:-9] + b'\n\xff\n[1]\n{"event": "phase", "phase": "scan", "seconds": "x"}\n{"ev'
    )
    page = write_report(run).read_text(encoding="utf-8")
    assert "reading the data" in page
    assert "6m 41s" in page  # prepare
    assert "final networks" not in page  # the line that was cut
    assert "fitted on 140 measurements; rank correlation on held-out networks 0.83." in page
    for lost in ("events.jsonl", "run.toml", "report.html", "pictures/0.png"):
        (run / lost).unlink()
    flipped = bytearray((run / "pictures" / "1.png").read_bytes())
    flipped[len(flipped) // 2] ^= 1
    (run / "pictures" / "1.png").write_bytes(flipped)
    page = write_report(run).read_text(encoding="utf-8")
    assert data_of(page)["pictures"].keys() & {"pictures/0.png", "pictures/1.png"} == set()
    assert "Not recorded." in page
    assert "No readable run.toml." in page


def test_I05_names_are_escaped_and_the_page_is_utf_8_in_an_ascii_locale(tmp_path: Path) -> None:
    run = write_run(tmp_path / "猫 <i>", made_up_front())
    code = "import sys, pathlib; from naturalize.report import write_report; write_report(pathlib.Path(sys.argv[1]))"
    ascii_only = {
        **os.environ,
        "LC_ALL": "C",
        "PYTHONUTF8": "0",
        "PYTHONIOENCODING": "ascii",
        "PYTHONCOERCECLOCALE": "0",
    }
    subprocess.run([sys.executable, "-c", code, run.name], cwd=tmp_path, env=ascii_only, check=True)
    page = (run / "report.html").read_text(encoding="utf-8")
    assert data_of(page)["classes"] == NAMES
    for name in ("café", "猫", "a b", "x,y", "&quot;q&quot;", "&lt;i&gt;"):
        assert f'<th scope="row">{name}</th>' in page
    assert "<i>" not in own(page)
    assert "<b>.gif" not in own(page)
    assert list(run.glob(".*.new")) == []


def test_no_name_can_end_the_script_that_holds_it(tmp_path: Path) -> None:
    evil = "</script><script>alert(1)</script><!--"
    front = made_up_front(2, [evil, "b"])
    front["networks"][0]["test_worst"][0]["picture"] = "pictures/../../secret.png"
    (tmp_path / "secret.png").write_bytes(b"secret")
    page = write_report(write_run(tmp_path / "run", front)).read_text(encoding="utf-8")
    assert "alert(1)</script>" not in page
    assert data_of(page)["classes"][0] == evil
    assert "pictures/../../secret.png" not in data_of(page)["pictures"]


def test_stopped_run_says_so_and_shows_validation_numbers(tmp_path: Path) -> None:
    page = write_report(write_run(tmp_path / "run", stopped(made_up_front()))).read_text(encoding="utf-8")
    assert "This run was stopped before its end." in page
    assert "validation error 5.0% to 22.0%" in page
    assert [trace["name"] for trace in data_of(page)["front"]["data"]] == ["validation", "chosen below"]
    assert "balanced test error" not in page


@pytest.mark.parametrize(
    ("objectives", "across", "colour"),
    [
        (["error"], "multiply-adds", None),
        (["error", "params"], "parameters", None),
        (["error", "madds", "latency"], "multiply-adds", "latency in ms"),
    ],
)
def test_front_is_drawn_for_one_two_and_three_objectives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, objectives: list[str], across: str, colour: str | None
) -> None:
    latency = Objective("latency", "ms", "measured", "latency in ms", lambda number: f"{number:.3g} ms")
    monkeypatch.setitem(OBJECTIVES, "latency", latency)
    front = made_up_front(1 if len(objectives) == 1 else 9) | {"objectives": objectives}
    page = write_report(write_run(tmp_path / "run", front)).read_text(encoding="utf-8")
    figure = data_of(page)["front"]
    validation = figure["data"][0]
    assert figure["layout"]["xaxis"]["title"]["text"].startswith(across)
    assert validation["marker"].get("colorbar", {}).get("title", {}).get("text") == colour
    assert validation["y"] == [network["val_error"] for network in front["networks"]]
    assert ("latency in ms</th>" in page) == (colour is not None)
    assert ("0.31 ms" in page) == (colour is not None)


def test_a_thousand_classes_keep_the_most_frequent_confusions(tmp_path: Path) -> None:
    front = made_up_front(2, [f"class {i}" for i in range(1000)], per_class=12)
    page = write_report(write_run(tmp_path / "run", front)).read_text(encoding="utf-8")
    packed = json.loads(zlib.decompress(base64.b64decode(data_of(page)["confusions"])))
    confusion = np.asarray(front["networks"][0]["test_confusion"])
    largest = (confusion - np.diag(np.diag(confusion))).max()
    assert not data_of(page)["allPairs"]
    assert max(packed[0]["count"]) == largest
    assert packed[0]["right"] == np.diag(confusion).tolist()


def test_export_commands_single_out_their_network() -> None:
    front = made_up_front(4)
    assert requirements(front, front["networks"][3]) == []
    assert requirements(front, front["networks"][1]) == [f"madds<={front['networks'][1]['madds']}"]
    front["networks"][2]["val_error_views"] = 50.0  # better networks are smaller: no limit can name this one
    assert requirements(front, front["networks"][2]) is None
    front["objectives"] = ["error", "latency"]  # no limit can be on what is measured
    assert requirements(front, front["networks"][0]) == [f"madds<={front['networks'][0]['madds']}"]


def test_export_commands_go_by_the_costs_of_the_run() -> None:
    front = made_up_front(4)
    for network in front["networks"]:
        network["objectives"] = {"latency:cpu": network["objectives"]["latency"]}
    for cost in ("params", "latency:cpu"):
        front["objectives"] = ["error", cost]
        network = front["networks"][1]
        limit = network.get(cost, network["objectives"].get(cost))
        assert requirements(front, network) == [f"{cost}<={limit!r}"]
        assert (
            best(networks_of(front), list(map(parse_requirement, requirements(front, network) or ()))).madds
            == network["madds"]
        )


def test_export_commands_of_the_table_are_whole(tmp_path: Path) -> None:
    front = made_up_front(4)
    page = write_report(write_run(tmp_path / "run", front)).read_text(encoding="utf-8")
    commands = re.findall(r'<td class="command"><code>(.*?)</code>', page)
    assert len(commands) == 4
    for text in commands:
        words = shlex.split(html.unescape(re.sub("<[^>]*>", "", text)))
        assert words[:3] == ["naturalize", "export", "run"]
        assert words[-2:] == ["--to", "model.onnx"]


def test_the_last_line_of_a_transfer_limits_no_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_whole_run(tmp_path / "run", measured=12, iterations=1)
    front = json.loads((run / "front.json").read_text(encoding="utf-8"))
    front["objectives"] = ["error", "error:int8", "params"]
    for network in front["networks"]:
        network["objectives"]["error:int8"] = 30.0
    (run / "front.json").write_text(json.dumps(front), encoding="utf-8")
    show(Run(run))
    assert '--require "params<..."' in capsys.readouterr().out.splitlines()[-1]


def test_page_says_what_could_not_be_measured(tmp_path: Path) -> None:
    front = made_up_front(2) | {"unmeasured": {"latency:cpu": "the board <b> is gone"}}
    page = write_report(write_run(tmp_path / "run", front)).read_text(encoding="utf-8")
    assert "latency (cpu) could not be measured on the front: the board &lt;b&gt; is gone" in page
    assert "3 notes on the data and the run" in page


def test_page_opens_with_what_less_than_a_transfer_reaches(tmp_path: Path) -> None:
    front = made_up_front()
    told = "a linear probe of the published network 35.3%, that network fine-tuned by itself for a while 19.6%"
    for known, expected in (({}, False), ({"probe_error": 35.3, "whole_error": 19.6}, True)):
        page = write_report(write_run(tmp_path / str(expected), front | known)).read_text(encoding="utf-8")
        assert (told in page) == expected
        best = percent(front["networks"][best_network(front)]["val_error_views"])
        assert (f"19.6%, the front&#x27;s most accurate {best}" in page) == expected


def test_headline_says_it_in_plain_words() -> None:
    front = made_up_front()
    assert re.fullmatch(
        r"9 networks from 0\.2 M to 6 M multiply-adds; test error \d+\.\d% to \d+\.\d%", headline(front)
    )
    assert re.fullmatch(r"1 network of 0\.2 M multiply-adds; test error \d+\.\d%", headline(made_up_front(1)))
    assert best_network(front) == 8


def test_svg_of_a_front_is_whole_and_escaped() -> None:
    from xml.etree import ElementTree

    for front in (made_up_front(), made_up_front(1), stopped(made_up_front()) | {"objectives": ["error", "<b>"]}):
        for network in front["networks"]:
            network["<b>"] = network["params"]
        root = ElementTree.fromstring(front_svg(front))
        assert len(root.findall("{http://www.w3.org/2000/svg}circle")) == len(front["networks"])


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (count(212_000), "0.212 M"),
        (count(6_104_560), "6.1 M"),
        (count(61_045_600), "61 M"),
        (count(999_960_000), "1 G"),
        (count(34_200), "34.2 k"),
        (count(870), "870"),
        (percent(12.345), "12.3%"),
        (percent(0.254), "0.25%"),
        (percent(0.0), "0.0%"),
        (percent(None), "–"),
        (duration(3.21), "3.2s"),
        (duration(59.7), "1m 00s"),
        (duration(185), "3m 05s"),
        (duration(7620), "2h 07m"),
    ],
)
def test_numbers_read_as_people_write_them(text: str, wanted: str) -> None:
    assert text == wanted


@pytest.mark.parametrize("seed", range(5))
def test_C18_the_report_and_the_run_choose_the_same_network(seed: int) -> None:
    front = made_up_front()
    draw = np.random.default_rng(seed)
    for network in front["networks"]:
        network["val_error_views"] = network["val_error"] + float(draw.uniform(-4, 4))
    chosen = best(networks_of(front))
    assert front["networks"][best_network(front)]["architecture"] == chosen.architecture
