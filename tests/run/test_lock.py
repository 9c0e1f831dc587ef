"""One process at a time works on a run. Row R13 of the cases."""

import json
import os
import signal
import socket
import subprocess
import sys

import pytest

from naturalize.errors import UserError
from naturalize.run import lock
from naturalize.run.lock import locked

HOLD = """
import sys, time
from pathlib import Path
from naturalize.run.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """A process that holds the run `tmp_path`."""
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_R13_a_second_process_is_refused_with_pid_and_host(tmp_path, holder):
    with pytest.raises(UserError, match=f"process {holder.pid} on {socket.gethostname()}"), locked(tmp_path):
        pass


def test_R13_the_lock_of_a_killed_process_is_taken_over(tmp_path, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert json.loads((tmp_path / "lock.json").read_text())["pid"] == holder.pid
    with locked(tmp_path):
        assert json.loads((tmp_path / "lock.json").read_text())["pid"] == os.getpid()
    assert not (tmp_path / "lock.json").exists()


def test_C9_the_lock_that_a_machine_left_which_is_gone_is_taken_over(tmp_path):
    (tmp_path / "lock.json").write_text(json.dumps({"pid": 7, "host": "trainer-5d9c7-xk2"}))
    with locked(tmp_path):
        assert json.loads((tmp_path / "lock.json").read_text())["host"] == socket.gethostname()
    assert not (tmp_path / "lock.json").exists()


def test_C9_another_host_that_holds_the_lock_still_keeps_it(tmp_path, holder):
    (tmp_path / "lock.json").write_text(json.dumps({"pid": 7, "host": "elsewhere"}))
    with pytest.raises(UserError, match="in use by process 7 on elsewhere"), locked(tmp_path):
        pass


def test_R13_on_a_network_drive_the_lock_of_another_host_is_refused_with_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "on_network_drive", lambda path: True)
    (tmp_path / "lock.json").write_text(json.dumps({"pid": 7, "host": "elsewhere"}))
    with pytest.raises(UserError, match=r"process 7 on elsewhere.*delete .*lock\.json"), locked(tmp_path):
        pass
    assert (tmp_path / "lock.json").exists()


def test_a_damaged_card_does_not_stand_in_the_way(tmp_path):
    (tmp_path / "lock.json").write_text("{")
    with locked(tmp_path):
        pass


@pytest.mark.parametrize("content", ["null", "5", "[1]", "\x00"])
def test_X11_a_damaged_card_of_a_process_that_is_gone_is_taken_over(tmp_path, content):
    (tmp_path / "lock.json").write_text(content)
    with locked(tmp_path):
        assert json.loads((tmp_path / "lock.json").read_text())["pid"] == os.getpid()
