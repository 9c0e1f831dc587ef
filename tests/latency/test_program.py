"""Programs of users that measure networks: real processes that answer, hang, die, print junk or leave others behind."""

import json
import os
import signal
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import psutil
import pytest

import naturalize
from naturalize import workbench
from naturalize.errors import Interrupted, UserError
from naturalize.latency import program
from naturalize.latency.bench import ProgramBench
from naturalize.latency.program import answer, find_program
from naturalize.latency.setting import COMMAND, Setting
from naturalize.latency.store import Store
from naturalize.objectives.requirement import parse_requirement
from naturalize.supernet import Supernet, make_family
from naturalize.tasks import Classification

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the programs are shell scripts")

BY_SIZE = 'echo "pushing $1"; wc -c < "$1"'  # a millisecond a byte: the sum of what layers weigh


def script(path: Path, text: str) -> Path:
    """A program of its text, by the shell unless its first line names another."""
    path.write_text(text if text.startswith("#!") else f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def model(tmp_path):
    """A file that stands for a model."""
    path = tmp_path / "model.onnx"
    path.write_bytes(b"x" * 1000)
    return path


def test_the_last_line_is_the_number(tmp_path, model):
    asked = script(tmp_path / "board", 'echo "1 file pushed: $1"; echo; echo " 4.25 "; echo; echo odd >&2')
    assert answer(asked, model, "ms") == 4.25


def test_what_it_leaves_in_the_background_is_not_waited_for(tmp_path, model):
    asked = script(tmp_path / "board", "sleep 20 & echo $! > pid; echo 3")
    started = time.monotonic()
    os.chdir(tmp_path)
    assert answer(asked, model, "ms") == 3
    assert time.monotonic() - started < 10
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)  # it was left alone, as a server of adb has to be


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("exit 3", "ended with exit code 3: it said nothing"),
        ("echo no device >&2; exit 1", "ended with exit code 1: no device"),
        ("kill -9 $$", "ended with exit code -9"),
        ("true", "printed nothing, where a number of ms is wanted"),
        ("echo 4 ms", "printed '4 ms' last, where a number of ms is wanted"),
        ("echo nan", "printed 'nan' last"),
        ("echo inf", "printed 'inf' last"),
        ("echo -3", "printed '-3' last"),
        ("echo 0", "printed '0' last"),
        ("printf '\\377\\376\\n'", "where a number of ms is wanted"),
        ("yes | head -c 300000; echo junk", "printed 'junk' last"),
        ("#!/nowhere/python\n", "cannot be run (No such file or directory)"),
    ],
)
def test_a_program_that_gives_no_number(tmp_path, model, text, words):
    with pytest.raises(UserError) as raised:
        answer(script(tmp_path / "board.sh", text), model, "ms")
    assert words in str(raised.value)
    assert "board.sh" in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("text", ["sleep 60", "exec >&- 2>&-; sleep 60", "trap '' TERM; while true; do sleep 1; done"])
def test_a_program_that_hangs_is_killed_with_its_children(tmp_path, model, monkeypatch, text):
    monkeypatch.setattr(program, "ANSWER_S", 1.0)
    started = time.monotonic()
    with pytest.raises(UserError, match=r"board\.sh, asked about model\.onnx, printed no number within 1 s"):
        answer(script(tmp_path / "board.sh", f"echo $$ > {tmp_path}/pid; {text}"), model, "ms")
    assert time.monotonic() - started < 15
    assert ended(int((tmp_path / "pid").read_text()))


def ended(group: int) -> bool:
    """Whether no process of a group runs, some seconds later at most; nobody may have asked how a killed one ended."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        found = [process for process in psutil.process_iter(["status"]) if os.getpgid(process.pid) == group]
        if all(process.info["status"] == psutil.STATUS_ZOMBIE for process in found):
            return True
        time.sleep(0.1)
    return False


def test_a_signal_ends_it_at_once(tmp_path, model):
    asked, started = script(tmp_path / "board.sh", f"echo $$ > {tmp_path}/pid; sleep 60"), time.monotonic()

    def check() -> None:
        if time.monotonic() - started > 1:
            raise Interrupted(signal.SIGINT)

    with pytest.raises(Interrupted):
        answer(asked, model, "ms", check)
    assert time.monotonic() - started < 15
    assert ended(int((tmp_path / "pid").read_text()))


def test_a_program_that_is_not_there_or_may_not_be_run(tmp_path):
    with pytest.raises(UserError, match=r"the program .*nowhere\.sh is not there"):
        find_program(str(tmp_path / "nowhere.sh"))
    (tmp_path / "text.sh").write_text("echo 3")
    with pytest.raises(UserError, match=r"may not be run: chmod \+x makes it a program"):
        find_program(str(tmp_path / "text.sh"))


def test_copies_of_a_program_keep_their_own_numbers(tmp_path):
    stores = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        board = script(tmp_path / name / "board.sh", ". ${0%/*}/address; measure $1")
        stores.append(Store(Setting(COMMAND, path=str(board)), tmp_path))
    assert stores[0].machine == stores[1].machine
    assert stores[0].path != stores[1].path


def test_a_limit_names_a_program_with_spaces_in_its_path():
    found = parse_requirement(" latency:command=./my boards/pi one.sh <= 5 ms")
    assert (found.objective, found.limit) == ("latency:command=./my boards/pi one.sh", 5.0)


def transfer(tmp_path, monkeypatch, text):
    """A short transfer by error, latency and energy, both by a program."""
    monkeypatch.setattr(workbench, "MODEL_S", 1.0)
    labels = np.arange(48) % 3
    images = (40 + 80 * labels[:, None, None] + np.random.default_rng(0).integers(0, 30, (48, 8, 8))).astype(np.uint8)
    board = script(tmp_path / "board.py", text)
    objectives = ("error", f"latency:command={board}", f"energy:command={board}")
    out = tmp_path / "run"
    return board, naturalize.transfer(
        (images, labels), out, iterations=1, epochs=1, objectives=objectives, listeners=()
    )


def test_a_transfer_by_what_a_program_measures(tmp_path, monkeypatch):
    board, run = transfer(tmp_path, monkeypatch, BY_SIZE)
    front = json.loads((run.directory / "front.json").read_text())
    latency, energy = f"latency:command={board}", f"energy:command={board}"
    assert front["objectives"] == ["error", latency, energy]
    for network in front["networks"]:
        told, measured = network["objectives"][latency], network["measured"][latency]["value"]
        assert told == pytest.approx(measured, rel=0.1)  # bytes are the sum of layers, as the model takes times to be
        assert network["measured"][energy]["value"] == pytest.approx(measured)  # the program is the same
    with closing(run.archive()) as archive:
        assert not archive.failed(run.task_name)
    assert "energy (board.py)" in (run.directory / "report.html").read_text(encoding="utf-8")


def test_a_board_that_is_gone_by_the_end_costs_no_result(tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    from naturalize import timing

    clocked = timing.clocked

    def unplugged(*arguments):
        gone.touch()
        return clocked(*arguments)

    monkeypatch.setattr(timing, "clocked", unplugged)
    text = f"if [ -e '{gone}' ]; then echo no device >&2; exit 1; fi; {BY_SIZE}"
    _, run = transfer(tmp_path, monkeypatch, text)
    front = json.loads((run.directory / "front.json").read_text())
    assert front["state"] == "finished"
    assert all("measured" not in network for network in front["networks"])
    events = [json.loads(line) for line in (run.directory / "events.jsonl").read_text().splitlines()]
    reasons = [event["reason"] for event in events if event["event"] == "unmeasured"]
    assert len(reasons) == 2
    assert all("ended with exit code 1: no device" in reason for reason in reasons)
    assert list(front["unmeasured"].values()) == reasons
    with closing(run.archive()) as archive:
        assert not archive.failed(run.task_name)


def test_a_board_that_is_not_there_at_the_start_ends_a_transfer_in_a_line(tmp_path, monkeypatch):
    with pytest.raises(UserError, match="ended with exit code 1: no device"):
        transfer(tmp_path, monkeypatch, "echo no device >&2; exit 1")


def test_a_slow_program_is_asked_about_some_networks_alone(tmp_path):
    family, task = make_family("mini", 16), Classification(3)
    supernet = Supernet(family, {"default": task.heads(family)}, [0.0], [1.0]).eval()
    board = script(tmp_path / "board.sh", f"echo x >> {tmp_path}/asked; echo 4")
    archs = family.space.architectures(family.space.sample(4, np.random.default_rng(0)))
    with ProgramBench(supernet, Setting("command", path=str(board)), "ms") as bench:
        values, errors = bench.narrow(archs, 0.0)
    np.testing.assert_array_equal(values, [0.004, np.nan, np.nan, np.nan])
    assert errors[0] == 0
    assert len((tmp_path / "asked").read_text().split()) == 3
