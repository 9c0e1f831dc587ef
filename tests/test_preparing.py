"""Preparation: the phases of progressive shrinking, by real processes."""

import json
import signal

import pytest
from safetensors.numpy import load_file

import runs
from naturalize.preparing import RATE, RATE_OF_TRAINED, peak_rate, phases_of
from naturalize.run import Settings
from naturalize.supernet import make_family
from naturalize.supernet.family import Opened
from runs import command

SHRINK = ["--method", "shrink", "--epochs", "12", "--seed", "1"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return runs.grey_pictures(tmp_path_factory.mktemp("data") / "bands")


def weights_of(run):
    latest = (run / "supernet" / "latest").read_text().split()[0]
    return load_file(run / "supernet" / latest / "weights.safetensors")


def test_the_phases_are_those_of_once_for_all():
    phases = phases_of(make_family("ofa-mbv3-w1.0", 224))
    assert [phase.name for phase in phases] == ["full", "kernel", "depth 1", "depth 2", "expansion 1", "expansion 2"]
    assert [phase.epochs for phase in phases] == [180, 120, 25, 120, 25, 120]
    assert [phase.subnets for phase in phases] == [1, 1, 2, 2, 4, 4]
    assert [phase.opened for phase in phases] == [
        Opened(1, 1, 1), Opened(3, 1, 1), Opened(3, 2, 1), Opened(3, 3, 1), Opened(3, 3, 2), Opened(3, 3, 3),
    ]  # fmt: skip


def test_weights_that_know_much_learn_slowly():
    def rate(supernet, weights):
        return peak_rate(Settings(data="photos", supernet=supernet, weights=weights))

    assert rate("mini", None) == rate("efficientnet-lite0", None) == RATE
    assert rate("efficientnet-lite0", "published") == rate("ofa-mbv3", "runs/first") == RATE_OF_TRAINED
    assert RATE_OF_TRAINED < rate("mini", "published") < RATE


def test_phases_that_open_nothing_are_left_out():
    names = [phase.name for phase in phases_of(make_family("ofa-resnet50", 224))]
    assert names == ["full", "depth 1", "depth 2", "expansion 1", "expansion 2", "width"]


@pytest.fixture(scope="module")
def shrunk(data, tmp_path_factory):
    run = tmp_path_factory.mktemp("shrunk") / "run"
    said = command("prepare", data, *SHRINK, "--out", run)
    assert "validation error: largest" in said
    return run


def test_every_phase_trains_at_its_rate_and_for_its_share(shrunk):
    epochs = runs.events(shrunk, "epoch")
    versions = sorted({event["version"] for event in epochs})
    assert versions == [-5, -4, -3, -2, -1, 0]
    peak = {version: max(e["rate"] for e in epochs if e["version"] == version) for version in versions}
    assert peak[-5] > peak[-4] > peak[-3]
    steps = {v: max(e["step"] for e in epochs if e["version"] == v) for v in versions}
    assert sum(steps.values()) == max(1, 48 // 48) * 12
    assert steps[-5] > steps[-3]


@pytest.mark.parametrize(
    "point", ["prepare:6", *(pytest.param(p, marks=pytest.mark.slow) for p in ("prepare:2", "prepare:9"))]
)
def test_killed_in_any_phase_it_ends_as_an_unbroken_one(data, shrunk, tmp_path, point):
    run = tmp_path / "run"
    command("prepare", data, *SHRINK, "--out", run, signals=f"{point}:SIGKILL", code=-signal.SIGKILL)
    command("resume", run)
    expected, found = weights_of(shrunk), weights_of(run)
    assert expected.keys() == found.keys()
    for name, tensor in expected.items():
        assert (found[name] == tensor).all(), name


def test_a_method_that_is_not_known(data, tmp_path):
    said = command("prepare", data, "--method", "shrinking", "--out", tmp_path / "run", code=2)
    assert "did you mean shrink" in said
    assert not (tmp_path / "run").exists()


def test_a_transfer_goes_on_from_a_shrunk_supernet(data, shrunk, tmp_path):
    command("transfer", data, "--supernet", shrunk, *runs.SMALL, "--out", tmp_path / "run")
    front = json.loads((tmp_path / "run" / "front.json").read_text(encoding="utf-8"))
    assert front["state"] == "finished"
