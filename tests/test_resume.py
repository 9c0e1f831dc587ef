"""Stopping and going on: real processes, real signals. Rows T06, T08 and R01 to R13 of the cases."""

import json
import signal
import time

import pytest

import runs
from runs import SMALL, command, left_by


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return runs.grey_pictures(tmp_path_factory.mktemp("data") / "bands")


@pytest.fixture(scope="module")
def unbroken(data, tmp_path_factory):
    """A finished run that was never interrupted."""
    run = tmp_path_factory.mktemp("unbroken") / "run"
    command("transfer", data, *SMALL, "--out", run)
    return run


def test_T06_the_same_seed_gives_the_same_run_to_the_bit(data, unbroken, tmp_path):
    command("transfer", data, *SMALL, "--out", tmp_path / "again")
    runs.assert_same(left_by(unbroken), left_by(tmp_path / "again"))


def test_R09_killed_five_times_a_run_ends_as_an_unbroken_one(data, unbroken, tmp_path):
    """R01: goes on where it was. R03: same rates. R04: each epoch once. R05: same directory. R08: redone once."""
    run = tmp_path / "run"
    kills = ["prepare:2", "measure:6", "search:20", "adapt:2", "measure:12", "test:1"]
    for number, point in enumerate(kills):
        arguments = ("resume", run) if number else ("transfer", data, *SMALL, "--out", run)
        before = runs.measured(run)
        command(*arguments, signals=f"{point}:SIGKILL", code=-signal.SIGKILL)
        assert before <= runs.measured(run), "a finished measurement was lost"
    command("resume", run)
    runs.assert_same(left_by(unbroken), left_by(run))
    assert runs.rates(run) == runs.rates(unbroken)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert not list(run.rglob(".*.new")), "left over from a kill"


STOPS = [
    ("scan:2", "SIGINT"),
    ("pixels:3", "SIGTERM"),
    ("prepare:2", "SIGTERM"),
    ("measure:6", "SIGINT"),
    ("search:20", "SIGTERM"),
    ("adapt:2", "SIGINT"),
    ("evaluate:30", "SIGTERM"),
    ("test:1", "SIGINT"),
]


def test_T08_R11_stopped_in_every_phase_a_run_ends_as_an_unbroken_one(data, unbroken, tmp_path):
    run = tmp_path / "run"
    for point, name in STOPS:
        exists = (run / "run.toml").exists()
        arguments = ("resume", run) if exists else ("transfer", data, *SMALL, "--out", run)
        number = getattr(signal, name)
        before = time.monotonic()
        said = command(*arguments, signals=f"{point}:{name}", code=128 + number)
        assert time.monotonic() - before < 60
        lines = [line for line in said.splitlines() if line.startswith("naturalize:")]
        assert len(lines) == 1, said
        assert "resume" in lines[0]
        if point.startswith(("scan", "pixels")):
            continue
        assert not point.startswith("test") or (run / "front.json").exists()
        if (run / "front.json").exists():
            front = json.loads((run / "front.json").read_text(encoding="utf-8"))
            assert front["state"] == "stopped"
            assert front["networks"]
            assert all(network["test_error"] is None for network in front["networks"])
            assert front["weights_version"] == front["hypervolume"][-1]["weights_version"]
        if not point.startswith("test"):
            assert not [row for row in runs.measured(run) if row[3] == "test"], "the test split was read"
    command("resume", run)
    runs.assert_same(left_by(unbroken), left_by(run))
