"""Help, terminals, logs, missing networks, and runs that were killed before anything was measured."""

import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import Finished, Quick, content_of, naturalize

from naturalize.run.run import prepared_directory
from naturalize.terminal import Terminal, front_table
from runs import COMMAND

COMMANDS = ("transfer", "resume", "finish", "front", "export", "predict", "check", "prepare", "report")


def test_I02_help_is_quick_and_does_without_torch() -> None:
    program = "import sys; sys.argv = ['naturalize', '--help']; from naturalize.cli import main\n"
    program += "try: main()\nfinally: assert 'torch' not in sys.modules"
    seconds = []
    for _ in range(3):
        start = time.monotonic()
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
        seconds.append(time.monotonic() - start)
        assert done.returncode == 0, done.stderr
    assert min(seconds) < 0.5
    for command in COMMANDS:
        assert f"\n  {command} " in done.stdout
    assert "..." not in done.stdout.split("Commands:")[1]
    assert "naturalize transfer photos/" in done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_help_holds_an_example(quick: Quick, command: str) -> None:
    done = quick(command, "--help")
    assert done.code == 0
    assert f"    naturalize {command} " in done.out
    assert done.err == ""


def on_a_terminal(columns: int, program: str, **env: str) -> str:
    """What a Python program writes to a terminal of that width."""
    ours, theirs = pty.openpty()
    size = {"COLUMNS": str(columns), "LINES": "40", "TERM": "xterm"}
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=theirs, stderr=theirs, stdin=theirs, env=os.environ | size | env
    )
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 65536):
            shown += chunk
    except OSError:  # so a terminal says that nobody is left to write
        pass
    os.close(ours)
    assert process.wait(60) == 0, shown
    return shown.decode()


PROGRAM = """
import time
from naturalize import terminal
terminal.FIRST_S = terminal.PLAIN_S = 0.0
with terminal.Terminal() as shows:
    said = "a line that is longer than forty columns, with runs/some/path/that/must/not/be/broken in it"
    shows({"event": "start", "summary": [said], "settings": "mini"})
    for done in range(3):
        shows({"event": "progress", "phase": "adapt", "done": done, "total": 2, "used_s": 1.0})
        time.sleep(0.2)
"""


def test_P03_on_a_terminal_there_is_a_live_line_and_no_broken_path() -> None:
    shown = on_a_terminal(40, PROGRAM, CI="", TERM="xterm")
    assert "\x1b" in shown
    assert "adapting the supernet" in shown
    assert "runs/some/path/that/must/not/be/broken" in shown


@pytest.mark.parametrize("env", [{"CI": "1"}, {"TERM": "dumb"}])
def test_P03_elsewhere_there_are_plain_lines(env: dict[str, str]) -> None:
    shown = on_a_terminal(40, PROGRAM, **env).replace("\r\n", "\n")  # the terminal's own
    assert "\x1b" not in shown
    assert "\r" not in shown
    assert shown.count("  adapting the supernet: ") == 2  # the first only begins the pace


def test_plain_lines_come_at_a_steady_pace(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    with Terminal() as shows:
        for tenth in range(350):
            now = 100.0 + tenth / 10
            shows({"event": "progress", "phase": "scan", "done": tenth, "total": 350, "used_s": tenth / 10})
    assert [line.split(", ", 1)[1] for line in capfd.readouterr().err.splitlines()] == [
        "2.1s so far",
        "12s so far, about 23s to go",
        "22s so far, about 13s to go",
        "32s so far, about 2.7s to go",
    ]


def test_under_a_budget_it_says_what_is_left_of_it(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    with Terminal() as shows:
        shows.budget_s = 60.0
        for tenth in range(150):
            now = 100.0 + tenth / 10
            shows({"event": "progress", "phase": "adapt", "done": tenth, "total": 350, "used_s": tenth / 10})
    assert [line.split(", ", 1)[1] for line in capfd.readouterr().err.splitlines()] == ["58s left", "48s left"]


def test_a_front_without_networks_is_a_header() -> None:
    assert len(front_table([])) == 1


def test_P05_a_run_that_was_killed_at_its_start(
    picture_maker: Callable[..., Path], tmp_path: Path, quick: Quick, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    picture_maker(tmp_path / "photos", 12, "cat", "dog", size=(16, 12))
    process = subprocess.Popen(
        [sys.executable, "-m", "naturalize", "transfer", "photos", "--iterations", "1", "--out", "run"],
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while not Path("run/run.toml").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    for command in ("front", "report", "finish", "export", "predict"):
        more = {"export": ["--to", "m.onnx"], "predict": ["photos"]}.get(command, [])
        done = quick(command, "run", *more)
        assert done.code == 2, done
        (line,) = done.err.splitlines()
        assert "nothing measured yet in run" in line
        assert "naturalize resume run" in line
    assert not Path("m.onnx").exists()


@pytest.mark.parametrize(
    "left", [["lock"], ["lock", "lock.json"], ["lock", "splits.json", ".pixels.safetensors.9.new"]]
)
def test_a_directory_in_which_a_run_was_about_to_begin_is_taken(tmp_path: Path, left: list[str]) -> None:
    for name in left:
        (tmp_path / name).write_bytes(b"")
    with prepared_directory(tmp_path, None) as exists:
        assert not exists
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(shutil.which("unshare") is None, reason="a system without unshare")
def test_I04_without_a_network(picture_maker: Callable[..., Path], tmp_path: Path) -> None:
    if subprocess.run(["unshare", "-n", "true"], capture_output=True).returncode:
        pytest.skip("no permission to take the network away")
    picture_maker(tmp_path / "photos", 8, "cat", "dog", size=(16, 12))
    for command in (["check", "photos"], ["transfer", "photos", "--iterations", "1", "--epochs", "1"]):
        done = subprocess.run(
            ["unshare", "-n", *COMMAND, *command],
            capture_output=True, text=True, cwd=tmp_path, env={},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs" / "photos" / "report.html").exists()


def test_T10_of_the_processes_that_torchrun_starts_one_works(
    picture_maker: Callable[..., Path], tmp_path: Path
) -> None:
    picture_maker(tmp_path / "photos", 8, "cat", "dog", size=(16, 12))
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", COMMAND[1],
         "transfer", "photos", "--iterations", "1", "--epochs", "1"],
        capture_output=True, text=True, cwd=tmp_path, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("this one has nothing to do") == 1
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["photos"]
    assert (tmp_path / "runs" / "photos" / "report.html").exists()


def test_D01_D06_check_counts_every_split_and_names_what_is_missing(
    picture_maker: Callable[..., Path], tmp_path: Path, quick: Quick, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    picture_maker(tmp_path / "d" / "train", 20, "0", "90", "180", size=(16, 12))
    picture_maker(tmp_path / "d" / "test", 8, "0", "90", size=(16, 12))
    (tmp_path / "d" / "train" / "0" / "bad.jpg").write_bytes(b"\xff\xd8\xff")
    done = quick("check", "d")
    assert done.code == 0, done
    assert "3 classes (0, 90, 180)" in done.out
    assert "180: 0 images in test" in done.out
    assert "1 unreadable picture skipped: train/0/bad.jpg" in done.out
    assert "train 60, test 16 as given; val 9 cut from train" in done.out


def test_D08_classes_are_in_natural_order_with_their_zeros(
    picture_maker: Callable[..., Path], tmp_path: Path, quick: Quick
) -> None:
    picture_maker(tmp_path / "d", 6, "1", "2", "10", "100", "007", size=(16, 12))
    assert "5 classes (1, 2, 007, 10, 100)" in quick("check", tmp_path / "d").out


def test_T03_fewer_pictures_than_a_batch(picture_maker: Callable[..., Path], tmp_path: Path, quick: Quick) -> None:
    picture_maker(tmp_path / "d", 3, "cat", "dog", size=(16, 12))
    done = quick("check", tmp_path / "d")
    assert done.code == 0, done
    assert "in batches of about 2" in done.out or "in batches of about 4" in done.out


@pytest.mark.parametrize("command", ["check photos", "front run", "predict run photos", "export run --to m.onnx"])
def test_N04_nothing_is_written_to_the_users_home(finished: Finished, tmp_path: Path, command: str) -> None:
    home, work = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    work.mkdir()
    (work / "photos").symlink_to(finished.photos)
    finished.copy(work / "run")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("XDG_") and name != "CI"}
    env = kept | {"HOME": str(home)}  # under CI onnxruntime writes nothing in any case
    done = naturalize(*command.split(), cwd=work, env=env)
    assert done.code == 0, done.err
    assert content_of(home) == {}
    assert "\x1b" not in done.err
