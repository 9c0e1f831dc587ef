"""Stopping and going on: real processes, real signals. Rows T06, T08 and R01 to R13 of the cases."""

import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from scipy.stats import kendalltau

import runs
from naturalize.archive import Context
from naturalize.preparing import peak_rate
from naturalize.run import Run
from runs import SMALL, command, left_by, start


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return runs.grey_pictures(tmp_path_factory.mktemp("data") / "bands")


@pytest.fixture(scope="module")
def unbroken(data, tmp_path_factory):
    """A finished run that was never interrupted."""
    run = tmp_path_factory.mktemp("unbroken") / "run"
    command("transfer", data, *SMALL, "--out", run)
    return run


def test_predictions_of_unseen_networks_are_kept_with_what_they_are_worth(unbroken):
    run = Run(unbroken)
    fits = runs.events(unbroken, "predictor")
    assert len(fits) == 2
    with closing(run.archive()) as archive:
        for t, fitted in enumerate(fits):
            kept = archive.decision(f"predicted {t}")
            measured = {arch.text: m.value for arch, m in archive.measurements(run.context("error", t)).items()}
            assert set(kept["architectures"]) == set(measured)
            values = [measured[text] for text in kept["architectures"]]
            assert kendalltau(values, kept["predicted"]).statistic == pytest.approx(fitted["rank_correlation"])


def test_R09_killed_again_and_again_a_run_ends_as_an_unbroken_one(data, unbroken, tmp_path):
    """R01: goes on where it was. R03: same rates. R04: each epoch once. R05: same directory. R08: redone once."""
    run = tmp_path / "run"
    kills = ["prepare:2", "measure:6", "adapt:4"]
    for number, point in enumerate(kills):
        arguments = ("resume", run) if number else ("transfer", data, *SMALL, "--out", run)
        before = runs.measured(run)
        command(*arguments, signals=f"{point}:SIGKILL", code=-signal.SIGKILL)
        assert (run / "lock.json").exists(), "R13: what a killed process leaves is taken over"
        assert before <= runs.measured(run), "a finished measurement was lost"
    command("resume", run)
    runs.assert_same(left_by(unbroken), left_by(run))
    assert runs.rates(run) == runs.rates(unbroken)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert not list(run.rglob(".*.new")), "left over from a kill"


def test_S01_S09_the_front_is_measured_with_the_weights_it_is_delivered_with(unbroken):
    """One weights version for errors of the front and for pairs of a predictor; the last one is no worse."""
    front = json.loads((unbroken / "front.json").read_text(encoding="utf-8"))
    version = front["weights_version"]
    archive = Run(unbroken).archive()
    measured = archive.measurements(Context("error", "default", "val", version))
    tested = archive.measurements(Context("error", "default", "test", version))
    by_text = {str(arch): measurement for arch, measurement in measured.items()}
    for network in front["networks"]:
        measured_error = by_text[network["architecture"]].value
        if network["own_classifier"]:  # validation found it better than the shared one, by which all were measured
            assert network["val_error_views"] < measured_error
        else:
            assert network["val_error_views"] == measured_error
        card = json.loads((unbroken / network["weights"]).with_suffix(".json").read_text(encoding="utf-8"))
        assert card["weights_version"] == version
    assert {str(arch) for arch in tested} == {network["architecture"] for network in front["networks"]}
    iterations = archive.iterations()
    assert [facts["weights_version"] for facts in iterations] == list(range(version + 1))
    for number, facts in enumerate(iterations):  # what a predictor of this iteration could be fitted on
        known = archive.measurements(Context("error", "default", "val", facts["weights_version"]))
        assert set(known) == set(archive.members(number))
    assert front["hypervolume"][-1]["weights_version"] == version
    assert front["hypervolume"][-1]["hypervolume"] > front["hypervolume"][-2]["hypervolume"] - 0.02


STOPS = [
    ("prepare:2", "SIGINT"),
    ("measure:6", "SIGTERM"),
    ("adapt:2", "SIGTERM"),
    ("test:1", "SIGINT"),
]
MORE_STOPS = [
    ("scan:1", "SIGINT"),
    ("pixels:1", "SIGTERM"),
    ("phase:1", "SIGTERM"),  # the end of the scan
    ("start:1", "SIGINT"),
    ("evaluate:3", "SIGTERM"),
    ("iteration:1", "SIGINT"),  # that is, before the predictor is fitted
    ("predictor:1", "SIGTERM"),
    ("search:3", "SIGINT"),
    ("adapt:1", "SIGINT"),
    ("epoch:3", "SIGTERM"),
    ("measure:2", "SIGINT"),
    ("evaluate:40", "SIGTERM"),
    ("finished:1", "SIGINT"),  # that is, before the report
]


@pytest.mark.parametrize("stops", [STOPS, pytest.param(MORE_STOPS, marks=pytest.mark.slow)], ids=["phases", "more"])
def test_T08_R11_stopped_in_every_phase_a_run_ends_as_an_unbroken_one(data, unbroken, tmp_path, stops):
    """One line and the signal's code each time; a validation front; the test split is read at the end only."""
    run = tmp_path / "run"
    for point, name in stops:
        arguments = ("resume", run) if (run / "run.toml").exists() else ("transfer", data, *SMALL, "--out", run)
        said = command(*arguments, signals=f"{point}:{name}", code=128 + getattr(signal, name))
        lines = [line for line in said.splitlines() if line.startswith("naturalize:")]
        assert len(lines) == 1, said
        what = point.split(":")[0]
        if what not in ("test", "finished", "final", "done"):
            assert not [row for row in runs.measured(run) if row[3] == "test"], "the test split was read"
        if (run / "archive.sqlite").exists() and runs.rows(run, "SELECT number FROM iterations"):
            front = front_of(run)
            assert front["state"] == ("finished" if what in ("finished", "done") else "stopped")
            assert front["networks"]
            assert front["weights_version"] == front["hypervolume"][-1]["weights_version"]
            assert all(
                (network["test_error"] is None) == (front["state"] == "stopped") for network in front["networks"]
            )
    command("resume", run)
    runs.assert_same(left_by(unbroken), left_by(run))


def check_finish(stopped):
    """`finish` measures the front of a stopped run on test; done on a copy beside it."""
    run = stopped.with_name("finished")
    if run.exists():
        return
    shutil.copytree(stopped, run)
    command("finish", run)
    front = front_of(run)
    assert (front["state"], front["weights_version"]) == ("finished", front_of(stopped)["weights_version"])
    assert all(network["test_images"] == 12 for network in front["networks"])
    assert all((run / network["weights"]).exists() for network in front["networks"])


def front_of(run):
    return json.loads((run / "front.json").read_text(encoding="utf-8"))


def test_R02_a_finished_run_says_so_and_more_iterations_go_on_with_a_new_cosine(unbroken):
    run = unbroken.with_name("longer")
    shutil.copytree(unbroken, run)
    before = left_by(run)
    assert "finished" in command("resume", run)
    runs.assert_same(before, left_by(run))
    command("resume", run, "--iterations", "3")
    more = runs.rates(run)[len(before["rates"]) :]
    assert [rate[0] for rate in more] == ["adapt"] * 6
    peak = peak_rate(Run(run).settings)
    assert more[0][4] == pytest.approx(peak)
    assert more[-1][4] < 0.1 * peak
    assert set(before["measurements"]) <= runs.measured(run)
    assert dict(runs.rows(run, "SELECT name, value FROM decisions"))["adapt 2"].startswith('{"start": 0.0, "end": 1.0')
    front = front_of(run)
    assert (front["state"], front["weights_version"]) == ("finished", 3)
    assert "has done 3 iterations already: give --iterations 3 or more" in command(
        "resume", run, "--iterations", 2, code=2
    )
    assert front_of(run) == front


@pytest.mark.slow
def test_a_stopped_run_can_be_finished_and_still_goes_on(data, unbroken, tmp_path):
    run = tmp_path / "run"
    command("transfer", data, *SMALL, "--out", run, signals="adapt:3:SIGTERM", code=143)
    command("finish", run)
    front = front_of(run)
    assert (front["state"], front["weights_version"]) == ("finished", 0)
    assert all(network["test_images"] == 12 for network in front["networks"])
    assert all((run / network["weights"]).exists() for network in front["networks"])
    command("resume", run, signals="adapt:2:SIGTERM", code=143)
    assert front_of(run) == front, "a finished front gives way to a later one only"
    command("resume", run)
    whole, broken = left_by(unbroken), left_by(run)
    del whole["measurements"], broken["measurements"]  # those of finish are there too
    runs.assert_same(whole, broken)


def test_T08_R13_a_second_process_is_refused_and_two_signals_within_a_second_stop_the_first(data, tmp_path):
    run = tmp_path / "run"
    process = start("transfer", data, *SMALL, "--out", run)
    runs.wait_until(lambda: (run / "events.jsonl").exists() and "epoch" in (run / "events.jsonl").read_text())
    assert f"process {process.pid} on {socket.gethostname()}" in command("resume", run, code=2)
    begin = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    time.sleep(0.3)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert time.monotonic() - begin < 20
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert not runs.session_of(process.pid)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 30 MB; a checkpoint takes 4.5, and three are there at most."""
    mount = tmp_path / "disk"
    mount.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=30m", "tmpfs", str(mount)], capture_output=True)
    if done.returncode:
        pytest.skip("mounting a tmpfs is not permitted here")
    yield mount
    subprocess.run(["umount", "-l", str(mount)], check=True)


@pytest.mark.parametrize(
    "spares", [[500_000], pytest.param([100_000, 40_000, 4_000, 0], marks=pytest.mark.slow)], ids=["some", "ever less"]
)
def test_R07_a_full_disk_is_named_and_the_run_goes_on_when_there_is_space(data, unbroken, small_disk, spares):
    """Space ends while checkpoints are written, or before."""
    run = small_disk / "run"
    command("transfer", data, *SMALL, "--out", run, signals="adapt:1:SIGTERM", code=143)
    for spare in spares:
        free = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
        (small_disk / "other").write_bytes(bytes(max(0, free - spare)))
        said = command("resume", run, code=2)
        assert re.search(rf"the disk of {small_disk}\S* is full", said)
        assert "free some space" in said
        (small_disk / "other").unlink()
    command("resume", run)
    runs.assert_same(left_by(unbroken), left_by(run))


def test_T06_R12_another_process_that_holds_the_archive_for_a_while_is_waited_for(data, unbroken, tmp_path):
    """The same run twice is also T06."""
    run = tmp_path / "again"
    process = start("transfer", data, *SMALL, "--out", run)
    runs.wait_until(lambda: len(runs.measured(run)) > 3)
    other = sqlite3.connect(run / "archive.sqlite", isolation_level=None, timeout=30)
    other.execute("BEGIN IMMEDIATE")
    time.sleep(3)
    other.execute("ROLLBACK")
    other.close()
    _, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    runs.assert_same(left_by(unbroken), left_by(run))


def test_R01_a_preparation_that_was_stopped_goes_on_and_a_transfer_starts_from_it(data, tmp_path):
    prepare = ["prepare", data, "--epochs", "4", "--seed", "1", "--out"]
    assert "start a transfer from it" in command(*prepare, tmp_path / "unbroken")
    supernet = tmp_path / "supernet"
    command(*prepare, supernet, signals="prepare:2:SIGKILL", code=-signal.SIGKILL)
    assert "start a transfer from it" in command("resume", supernet)
    latest, other = (
        run / "supernet" / (run / "supernet" / "latest").read_text().split()[0] / "weights.safetensors"
        for run in (supernet, tmp_path / "unbroken")
    )
    assert latest.read_bytes() == other.read_bytes()
    command("transfer", data, *SMALL, "--supernet", supernet, "--out", tmp_path / "run")
    assert front_of(tmp_path / "run")["state"] == "finished"


@pytest.mark.slow
def test_R10_time_used_survives_a_kill_and_the_pause_does_not_count(data, tmp_path):
    run = tmp_path / "run"
    begin = time.monotonic()
    command("transfer", data, "--budget", "40s", "--out", run, signals="adapt:40:SIGKILL", code=-signal.SIGKILL)
    first = time.monotonic() - begin
    time.sleep(20)
    begin = time.monotonic()
    command("resume", run)
    assert first + time.monotonic() - begin < 55
    assert runs.events(run, "done")[0]["used_s"] < 55
    assert runs.rates(run)[-1][4] < 0.05 * peak_rate(Run(run).settings)


@pytest.mark.slow
def test_R11_timeout_of_a_scheduler(data, tmp_path):
    run = tmp_path / "run"
    for seconds in (1, 3, 5, 8, 11, 14):
        what = ["resume", run] if (run / "run.toml").exists() else ["transfer", data, *SMALL, "--out", run]
        begin = time.monotonic()
        done = subprocess.run(
            ["timeout", "-s", "TERM", str(seconds), *runs.COMMAND, *map(str, what)], capture_output=True, text=True
        )
        assert time.monotonic() - begin < seconds + 20
        if done.returncode == 0:
            break
        assert done.returncode == 124, done.stderr  # what timeout says of a command that it had to stop
        assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_R06_killed_at_random_twenty_times(tmp_path):
    script = Path(__file__).parents[1] / "benchmarks" / "kill.py"
    done = subprocess.run([sys.executable, script, "--to", tmp_path / "kill.json"], check=False)
    assert done.returncode == 0
    summary = json.loads((tmp_path / "kill.json").read_text())["summary"]
    assert (summary["as_unbroken"], summary["measurements_lost"]) == (20, 0)
