"""Latencies that are measured elsewhere: the directory that is written, its script, its page, and the table of both."""

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import onnx
import pytest

import naturalize
from naturalize.errors import UserError
from naturalize.exporting.onnx_model import make_session
from naturalize.latency import elsewhere
from naturalize.latency.bench import bare
from naturalize.latency.elsewhere import even_out, hollow, write_models
from naturalize.latency.table import model_of_table, read_table
from naturalize.objectives.exact import whole_layers
from naturalize.objectives.latency import Latency
from naturalize.supernet import Supernet, make_family
from naturalize.tasks import Classification

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
TASK = Classification(3)


@pytest.fixture(scope="module")
def supernet():
    """`mini` for tiny grey pictures, with random weights."""
    family = make_family("mini", 16)
    return Supernet(family, {"default": TASK.heads(family)}, [0.0], [1.0]).eval()


@pytest.fixture(scope="module")
def layers(supernet):
    """Its layer table, head included."""
    return whole_layers(supernet.family, TASK, 1)


@pytest.fixture(scope="module")
def directory(tmp_path_factory, supernet, layers):
    """The directory, with few networks; the page's runtime is fetched once from npm, where that can be."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(elsewhere, "NETWORKS", 12)
        patch.setattr(elsewhere, "JUDGES", 6)
        found = write_models(tmp_path_factory.mktemp("latency") / "phone", supernet, layers)
    assert found.networks == 18
    return found


def run_script(directory, *arguments):
    """Run a script of the directory as its user does: naturalize is not on its path."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return subprocess.run(
        [sys.executable, "-E", directory.path / "measure.py", *arguments],
        cwd=directory.path.parent, env=environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


@pytest.fixture(scope="module")
def table(directory):
    """The table that the script made."""
    done = run_script(directory)
    assert done.returncode == 0, done.stderr
    assert "18 of 18 networks" in done.stderr
    return directory.path / "table.json"


def test_a_file_without_weights_is_the_same_network(supernet):
    network = bare(supernet, supernet.family.space.largest)
    from naturalize.exporting import FORMATS, Asked

    even_out(network.subnet)
    whole = FORMATS["onnx"].files(network, "a.onnx", Asked())["a.onnx"]
    small = hollow(whole)
    assert len(small) < len(whole) / 10
    pixels = np.random.default_rng(0).integers(0, 256, (2, 1, network.card["resolution"], network.card["resolution"]))
    logits = [
        make_session(content, 1, {}).run(None, {"pixels": pixels.astype(np.uint8)})[0] for content in (whole, small)
    ]
    np.testing.assert_array_equal(*logits)
    assert np.isfinite(logits[0]).all()
    kinds = [node.op_type for node in onnx.load_from_string(small).graph.node]
    assert [kind for kind in kinds if kind != "ConstantOfShape"] == [
        node.op_type for node in onnx.load_from_string(whole).graph.node
    ]


def test_a_real_network_keeps_its_weights(supernet):
    from naturalize.exporting import FORMATS, Asked

    network = bare(supernet, supernet.family.space.largest)
    whole = FORMATS["onnx"].files(network, "a.onnx", Asked())["a.onnx"]
    small, names = (
        onnx.load_from_string(hollow(whole)),
        {w.name for w in onnx.load_from_string(whole).graph.initializer},
    )
    varied = {name for name in names if name.endswith("conv.weight")}
    assert varied <= {weight.name for weight in small.graph.initializer}


def test_the_script_makes_a_table_that_a_model_is_fitted_to(table, supernet, layers):
    space = supernet.family.space
    model, facts = model_of_table(str(table), space, layers)
    assert facts["fitted_to"] == 18  # those that judged too, once they had
    assert facts["networks"] == 6
    assert facts["machine"]["runtime"].startswith("onnxruntime ")
    told = Latency(model, supernet.family, TASK, 1)(space.corners())
    assert 0 < told[0] < told[1]
    content = json.loads(table.read_text())
    measured = {network["architecture"]: network["milliseconds"] for network in content["networks"]}
    codes = space.codes([space.parse(text) for text in measured])
    assert np.corrcoef(Latency(model, supernet.family, TASK, 1)(codes), list(measured.values()))[0, 1] > 0.8


def test_a_transfer_goes_by_a_table(table, tmp_path):
    labels = np.arange(48) % 3
    images = (40 + 80 * labels[:, None, None] + np.random.default_rng(0).integers(0, 30, (48, 16, 16))).astype(np.uint8)
    name = f"latency:{table}"
    options = {"objectives": ("error", name), "require": f"{name}<1s", "listeners": ()}
    run = naturalize.transfer((images, labels), tmp_path / "run", iterations=1, epochs=1, **options)
    front = json.loads((run.directory / "front.json").read_text())
    assert all(0 < network["objectives"][name] < 1000 for network in front["networks"])
    assert not any("measured" in network for network in front["networks"])  # its device is not here
    assert "latency (table.json)" in (run.directory / "report.html").read_text(encoding="utf-8")
    gone = table.rename(table.with_name("gone.json"))  # the run has kept its model
    try:
        again = naturalize.resume(run.directory, data=(images, labels), iterations=2, listeners=())
    finally:
        gone.rename(table)
    assert json.loads((again.directory / "front.json").read_text())["objectives"] == ["error", name]


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")
def test_the_page_makes_a_table_in_a_browser(directory, supernet, layers, tmp_path):
    if directory.without_page:
        pytest.skip(directory.without_page)
    serving = subprocess.Popen(
        [sys.executable, directory.path / "serve.py", "--port", "8741"], stdout=subprocess.PIPE, text=True
    )
    assert serving.stdout is not None
    told = serving.stdout.readline()
    url = told.split("or ")[1].split(" ")[0]
    browser = subprocess.Popen(
        [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}", f"{url}/#start"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    found, until = directory.path / "table-1.json", time.monotonic() + 120
    try:
        while not found.exists() and time.monotonic() < until:
            time.sleep(0.5)
        assert found.exists(), "the page gave no table back"
        with pytest.raises(urllib.error.HTTPError, match="400"):
            urllib.request.urlopen(f"{url}/table", data=b"no table", timeout=10)
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"{url}/..%2f..%2fetc%2fpasswd", timeout=10)
    finally:
        browser.kill()
        serving.kill()  # earlier tests may have made this process, and so its children, ignore gentler signals
        browser.wait()
        serving.wait()
    content = json.loads(found.read_text())
    assert "onnxruntime-web" in content["runtime"]
    assert "Chrome" in content["device"]
    model, _ = model_of_table(str(found), supernet.family.space, layers)
    told_ms = Latency(model, supernet.family, TASK, 1)(supernet.family.space.corners())
    assert 0 < told_ms[0] < told_ms[1]


def changed(table: Path, to: Path, change) -> Path:
    """A copy of a table with a change."""
    content = json.loads(table.read_text())
    change(content)
    to.write_text(json.dumps(content))
    return to


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.clear(), "is no table of latencies: make one with `naturalize latency"),
        (lambda t: t.update(format=99), "is of another version of naturalize"),
        (lambda t: t["fields"].reverse(), "is of another version of naturalize"),
        (lambda t: t.pop("keys"), "is damaged"),
        (lambda t: t["networks"][3].update(layers=[10**6]), "models/003.onnx has a layer that is not in the table"),
        (lambda t: t["networks"][3].update(milliseconds=-1), "models/003.onnx takes -1 ms"),
        (lambda t: t["networks"][3].update(milliseconds="fast"), "is damaged"),
        (
            lambda t: [network.pop("milliseconds") for network in t["networks"][2:9]],
            "has times of 11 networks, fewer than 16; it lacks models/002.onnx, models/003.onnx, models/004.onnx",
        ),
    ],
)
def test_a_table_that_cannot_be_used(table, tmp_path, change, words):
    with pytest.raises(UserError) as raised:
        read_table(str(changed(table, tmp_path / "phone.json", change)))
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_table_of_other_networks_is_told(table):
    family, task = make_family("efficientnet-lite0", 128), Classification(10)
    with pytest.raises(UserError, match=r"is a table of other networks: it has none with \d+ of the \d+ layers"):
        model_of_table(str(table), family.space, whole_layers(family, task, 3))


def test_a_directory_with_files_is_left_as_it_is(tmp_path, supernet, layers):
    (tmp_path / "diary.txt").write_text("mine")
    with pytest.raises(UserError, match="is there already"):
        write_models(tmp_path, supernet, layers)
    assert [path.name for path in tmp_path.iterdir()] == ["diary.txt"]


def test_the_script_says_before_it_measures_that_its_table_cannot_be_written(tmp_path):
    script = Path(elsewhere.__file__).parent / "measure.py"
    asked = [sys.executable, script, "--to", tmp_path / "nowhere" / "table.json"]
    done = subprocess.run(asked, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith("cannot be written: name a file in a directory that is there")


def test_a_directory_below_a_file_is_told_before_any_work(tmp_path, supernet, layers):
    (tmp_path / "diary.txt").write_text("mine")
    with pytest.raises(UserError, match=r"diary\.txt is no directory, so nothing can be written in it"):
        write_models(tmp_path / "diary.txt" / "phone", supernet, layers)


def test_a_link_to_an_empty_directory_is_filled(tmp_path, supernet, layers, monkeypatch):
    monkeypatch.setattr(elsewhere, "NETWORKS", 2)
    monkeypatch.setattr(elsewhere, "JUDGES", 1)
    monkeypatch.setattr(elsewhere, "add_page", lambda directory, progress: "not asked for")
    (tmp_path / "card").mkdir()
    (tmp_path / "phone").symlink_to(tmp_path / "card")
    write_models(tmp_path / "phone", supernet, layers)
    assert (tmp_path / "card" / "networks.json").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["card", "phone"]


def test_without_a_network_there_is_a_script_and_a_reason(tmp_path, supernet, layers, monkeypatch):
    monkeypatch.setenv("NATURALIZE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(elsewhere, "WEB_SOURCES", ("http://127.0.0.1:9/nowhere",))
    monkeypatch.setattr(elsewhere, "NETWORKS", 2)
    monkeypatch.setattr(elsewhere, "JUDGES", 1)
    done = write_models(tmp_path / "phone", supernet, layers)
    assert "could not be fetched" in done.without_page
    names = {path.name for path in (tmp_path / "phone").iterdir()}
    assert names == {"clock.py", "measure.py", "models", "networks.json", "reference.onnx", "serve.py"}
