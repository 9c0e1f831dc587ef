"""The page of a run that goes on."""

import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from made_up import write_whole_run

from naturalize.archive import Measurement
from naturalize.errors import Interrupted, UserError
from naturalize.report import live
from naturalize.report.insides import Insides
from naturalize.report.live import front_under_way, report_once, watch_report
from naturalize.run import read_front
from naturalize.run.lock import is_held, locked
from runs import refreshes, waited


def test_a_front_under_way_is_that_of_the_last_pass_that_is_over(tmp_path: Path) -> None:
    run = write_whole_run(tmp_path / "run", measured=60, iterations=2)
    found = front_under_way(Insides(run))
    assert found is not None
    assert found["val_weights_version"] == 2
    values = {network["architecture"]: (network["val_error_views"], network["madds"]) for network in found["networks"]}
    insides = Insides(run)
    everything = [(m.value, insides.costs(["madds", "params"]), m.architecture) for m in insides.measured[2]]
    points = np.array(
        [
            [value, *(float(cost(np.array([arch.code]))[0]) for cost in costs.values())]
            for value, costs, arch in everything
        ]
    )
    beaten = (points[:, None] >= points[None]).all(axis=2) & (points[:, None] > points[None]).any(axis=2)
    wanted = {arch.text for (_, _, arch), lost in zip(everything, beaten.any(axis=1), strict=True) if not lost}
    assert set(values) == wanted


def test_requirements_hold_for_a_front_under_way(tmp_path: Path) -> None:
    run = write_whole_run(tmp_path / "run", measured=60, iterations=1)
    settings = (run / "run.toml").read_text(encoding="utf-8")
    limit = sorted(network["madds"] for network in read_front(run)["networks"])[3]
    lines = [line for line in settings.splitlines() if not line.startswith("checksum")]
    text = "\n".join(lines).replace("requirements = []", f'requirements = ["madds<={limit}"]')
    (run / "run.toml").write_text(text, encoding="utf-8")
    found = front_under_way(Insides(run))
    assert found is not None
    assert max(network["madds"] for network in found["networks"]) <= limit


def test_the_page_grows_with_the_archive_and_ends_with_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "LOOK_S", 0.3)
    run = write_whole_run(tmp_path / "run", measured=40, iterations=1)
    told: list[str] = []
    written: list[Path] = []
    with locked(run):
        watcher = threading.Thread(target=lambda: written.append(watch_report(run, lambda: None, told.append)))
        watcher.start()
        waited(lambda: told)
        assert is_held(run)
        assert refreshes(run)
        assert "This run goes on" in (run / "report.html").read_text(encoding="utf-8")
        archive = Insides(run).run.archive(read_only=False)
        arch = archive.space.largest
        context = Insides(run).run.context("error", 1)
        archive.record(context, Measurement(arch, 0.5, 0.0, "ok", 0.1, {"wrong": 1, "images": 200}))
        archive.close()
        waited(lambda: len(told) > 1)
        assert f'"architecture":"{arch.text}"' in (run / "report.html").read_text(encoding="utf-8")
    watcher.join(60)
    assert written == [run / "report.html"]
    assert not refreshes(run)
    assert not is_held(run)
    assert told[0].split(",")[0] == "60 measurements"
    assert told[1].split(",")[0] == "61 measurements"


def test_a_run_that_was_killed_before_its_first_result_has_a_page(tmp_path: Path) -> None:
    run = write_whole_run(tmp_path / "run", measured=40, iterations=1)
    (run / "front.json").unlink()
    watch_report(run, lambda: None, print)
    assert "This run was stopped before its end." in (run / "report.html").read_text(encoding="utf-8")
    (run / "archive.sqlite").unlink()
    with pytest.raises(UserError, match="nothing measured yet"):
        watch_report(run, lambda: None, print)


def test_a_page_asked_for_once_shows_a_run_without_a_result_and_no_damaged_one(tmp_path: Path) -> None:
    run = write_whole_run(tmp_path / "run", measured=40, iterations=1)
    content = (run / "front.json").read_text(encoding="utf-8")
    (run / "front.json").unlink()
    with locked(run):
        assert "This run goes on" in report_once(run).read_text(encoding="utf-8")
    assert not refreshes(run)
    assert "This run was stopped before its end." in report_once(run).read_text(encoding="utf-8")
    (run / "front.json").write_text(content[:-100], encoding="utf-8")
    for write in (report_once, lambda of: watch_report(of, lambda: None, print)):
        with pytest.raises(UserError, match=r"front\.json is damaged"):
            write(run)


def test_a_stop_leaves_a_page_that_waits_for_nothing(tmp_path: Path) -> None:
    run = write_whole_run(tmp_path / "run", measured=40, iterations=1)
    told: list[str] = []

    def stop() -> None:
        raise Interrupted(signal.SIGINT)

    with locked(run), pytest.raises(Interrupted):
        watch_report(run, stop, told.append)
    assert len(told) == 1
    assert not refreshes(run)
    assert "This run goes on" in (run / "report.html").read_text(encoding="utf-8")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no SIGINT to one process")
def test_ctrl_c_ends_the_command_and_not_the_run(tmp_path: Path) -> None:
    run = write_whole_run(tmp_path / "run", measured=40, iterations=1)
    with locked(run):
        command = [sys.executable, "-m", "naturalize", "report", str(run), "--watch"]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        waited(lambda: refreshes(run))
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 130
        assert err.splitlines()[-1] == "naturalize: stopped"
        assert "Traceback" not in err
        assert out == ""
        assert is_held(run)
    assert not refreshes(run)
    assert not list(run.glob(".*.new"))
