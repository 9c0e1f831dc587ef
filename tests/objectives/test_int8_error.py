"""The error as int8: what a search measures, and what is measured of the files that a front is exported as."""

import json
from contextlib import closing
from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
import torch

import naturalize
from naturalize import schedule
from naturalize.data import Pixels, open_data
from naturalize.errors import UserError
from naturalize.objectives import int8, parse_objectives
from naturalize.objectives.int8 import Int8Error
from naturalize.quantizing import not_exported
from naturalize.report.insides import Insides
from naturalize.report.live import front_under_way
from naturalize.training.subnets import Given, Subnets

OBJECTIVES = ("error", "error:int8", "madds")


@pytest.fixture(scope="module")
def data():
    """Pictures of three classes with a band that noise nearly hides: networks make mistakes."""
    draw, labels = np.random.default_rng(0), np.arange(120) % 3
    images = draw.integers(0, 200, (120, 8, 8))
    for image, label in zip(images, labels, strict=True):
        image[2 * label : 2 * label + 2] += 55
    return images.astype(np.uint8), labels


@pytest.fixture(scope="module")
def run(data, tmp_path_factory, short_transfer):
    """A short transfer of one iteration."""
    return short_transfer(data, tmp_path_factory.mktemp("runs") / "run", OBJECTIVES)


@pytest.fixture(scope="module")
def val(run, data):
    """The validation pictures."""
    dataset = open_data(data, seed=run.settings.seed)
    return Pixels(dataset, dataset.splits["val"], run.family.resolutions)


def front_of(run):
    """The content of front.json."""
    return json.loads((run.directory / "front.json").read_text(encoding="utf-8"))


def wrong_of(path, pixels, labels):
    """Wrong answers of a file, by onnxruntime alone, a picture at a time."""
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.x64quantprecision", "1")
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    answers = [int(session.run(None, {"pixels": picture[None]})[0].argmax()) for picture in pixels]
    return sum(answer != label for answer, label in zip(answers, labels.tolist(), strict=True))


def test_the_measured_error_is_that_of_the_exported_file(run, val, tmp_path):
    networks = front_of(run)["networks"]
    assert networks
    for number, network in enumerate(networks[:2]):
        path = tmp_path / f"{number}.onnx"
        naturalize.export(run, path, format="onnx-int8", architecture=network["architecture"])
        pixels = val(np.arange(len(val)), network["resolution"])
        told = network["measured"]["error:int8"]
        assert told["value"] == pytest.approx(100 * wrong_of(str(path), pixels, val.labels) / len(val))
        assert told["spread"] > 0


def test_the_front_is_of_the_errors_that_the_search_measured(run):
    front = front_of(run)
    assert front["objectives"] == list(OBJECTIVES)
    assert front["reference"][0] == front["reference"][1], "both are errors: what one class alone gets wrong"
    with closing(run.archive()) as archive:
        of = run.context("error:int8", front["val_weights_version"])
        found = {arch.text: measurement for arch, measurement in archive.measurements(of).items()}
        exported = archive.measurements(replace(of, machine="transfer as exported"))
        errors = archive.measurements(run.context("error", front["val_weights_version"]))
    assert found.keys() == {arch.text for arch in errors}
    for network in front["networks"]:
        measurement = found[network["architecture"]]
        assert network["objectives"]["error:int8"] == measurement.value
        assert measurement.status == "ok"
        detail = measurement.detail
        assert measurement.value == pytest.approx(100 * detail["wrong"] / detail["images"])
        assert (detail["method"], detail["pictures"]) == ("MinMax", 32)
    assert all(measurement.detail["method"] in ("MinMax", "Percentile") for measurement in exported.values())
    assert {network["architecture"] for network in front["networks"]} <= {arch.text for arch in exported}


def test_people_see_it_in_the_report_and_in_tables(run):
    page = (run.directory / "report.html").read_text(encoding="utf-8")
    assert "error as int8" in page
    assert "error as int8 as exported" in page
    seconds = [
        event["seconds"]
        for event in map(json.loads, (run.directory / "events.jsonl").read_text(encoding="utf-8").splitlines())
        if event["event"] == "iteration"
    ]
    assert len(seconds) == 2
    assert all(each["error:int8"] > 0 for each in seconds)
    from naturalize.run.choosing import ordered
    from naturalize.terminal import front_table

    table = front_table(run.front(), OBJECTIVES)
    assert "error:int8" in table[0]
    values = [network.value("error:int8") for network in ordered(run.front(), "error:int8")]
    assert values == sorted(values)


def test_a_front_under_way_has_it_too(run):
    found = front_under_way(Insides(run.directory))
    assert found is not None
    assert all(network["objectives"]["error:int8"] > 0 for network in found["networks"])


def measures(run, val, given=None):
    """The objective on the largest network of a run, and its code."""
    subnets = Subnets(run.trained_supernet(), run.stored("calibration"), torch.device("cpu"))
    return Int8Error(subnets if given is None else Given(subnets, given), run.task, val), run.family.space.corners()[1:]


def test_it_is_a_pure_function_that_changes_nothing(run, val):
    objective, code = measures(run, val)
    before = {name: tensor.clone() for name, tensor in objective.subnets.supernet.state_dict().items()}
    one, two = objective.measure(code), objective.measure(code)
    assert one.status == ["ok"]
    assert one.values.tolist() == two.values.tolist()
    assert all(torch.equal(tensor, before[name]) for name, tensor in objective.subnets.supernet.state_dict().items())


def test_networks_that_stand_by_themselves_are_measured_in_place_of_the_supernets(run, val):
    space = run.family.space
    (arch,) = space.architectures(space.corners()[1:])
    subnet = run.trained_supernet().extract(arch).eval()
    torch.nn.init.zeros_(subnet.head.classifier.weight)
    with torch.no_grad():
        subnet.head.classifier.bias.copy_(torch.tensor([0.0, 9.0, 0.0]))  # answers class 1, whatever it is shown
    objective, code = measures(run, val, {arch: subnet})
    assert objective.measure(code).values[0] == pytest.approx(100 * np.mean(val.labels != 1))


def test_what_cannot_be_quantised_has_a_status_and_no_value(run, val, monkeypatch):
    def fail(*arguments):
        raise RuntimeError("no QLinearConv\nand more")

    monkeypatch.setattr(int8, "quantized", fail)
    objective, code = measures(run, val)
    found = objective.measure(np.concatenate([code, code]))
    assert found.status == ["no int8: RuntimeError: no QLinearConv"] * 2
    assert np.isnan(found.values).all()


def test_a_full_disk_is_no_property_of_a_network(run, val, monkeypatch):
    def fail(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(int8, "quantized", fail)
    objective, code = measures(run, val)
    with pytest.raises(OSError, match="No space left"):
        objective.measure(code)


def test_a_run_goes_on_where_some_networks_cannot_be_quantised(data, tmp_path, monkeypatch):
    quantized, asked = int8.quantized, []

    def sometimes(*arguments):
        asked.append(arguments)
        if len(asked) % 3 == 0:
            raise RuntimeError("no QLinearConv")
        return quantized(*arguments)

    monkeypatch.setattr(int8, "quantized", sometimes)
    monkeypatch.setattr(int8, "int8_files", lambda *arguments: sometimes("never a file", None, None))
    monkeypatch.setattr(schedule, "INITIAL", 5)
    monkeypatch.setattr(schedule, "NEW", 2)
    options = {"objectives": OBJECTIVES, "iterations": 1, "epochs": 1, "listeners": ()}
    run = naturalize.transfer(data, tmp_path / "run", **options)
    front = front_of(run)
    assert front["state"] == "finished"
    assert all(np.isfinite(network["objectives"]["error:int8"]) for network in front["networks"])
    assert all("measured" not in network for network in front["networks"]), "as exported none could be"
    with closing(run.archive()) as archive:
        assert archive.failed(run.task_name)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["error", "error:int4"], r"unknown objective 'error:int4': did you mean error:int8"),
        (["error:int8", "madds"], r"error:int8 goes beside error, .* write -o error -o error:int8 -o madds"),
        (["error", "error:int8@other"], r"one task"),
    ],
)
def test_what_makes_no_sense_is_told_in_one_line(names, words):
    with pytest.raises(UserError, match=words):
        parse_objectives(names)


def test_a_limit_on_it_is_refused(run):
    with pytest.raises(UserError, match="error:int8 is measured, so a limit on it cannot be kept"):
        run.best("error:int8<5")


def test_networks_that_were_not_measured_as_they_are_exported_are_a_note():
    some = [{"measured": {"error:int8": {"value": 1.0, "spread": 0.1}}}, {"measured": {}}, {}]
    (note,) = not_exported({"objectives": ["error", "error:int8"], "networks": some})
    assert note.startswith("2 networks of the front not measured as int8 files")
    assert not_exported({"objectives": ["error", "error:int8"], "networks": some[:1]}) == []
    assert not_exported({"objectives": ["error", "madds"], "networks": some}) == []
