"""`naturalize study` as a user runs it."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from commands import Quick


def test_a_study_prints_its_conclusion_and_writes_page_and_table(quick: Quick, tmp_path: Path) -> None:
    arguments = ["study", "search", "dtlz2", "--method", "random", "--method", "local", "--evaluations", "40"]
    done = quick(*arguments, "--seeds", "2", "--jobs", "1", "--out", tmp_path / "s")
    assert done.code == 0, done
    first, last = done.lines
    assert first.startswith("On dtlz2, after 40 evaluations, ")
    assert last == f"page: {tmp_path / 's' / 'study.html'}, table: {tmp_path / 's' / 'results.csv'}"
    with (tmp_path / "s" / "results.csv").open(newline="") as file:
        assert {row["method"] for row in csv.DictReader(file)} == {"random", "local"}


def test_what_is_no_source_is_refused_in_a_line(quick: Quick, tmp_path: Path) -> None:
    for arguments, words in (
        (["predictors", "nothing.csv", "--supernet", "ofa-mbv3-w1.0"], "is no run, no table"),
        (["predictors", "nothing.csv"], "--supernet"),
        (["search", "dtlz2", "--method", "rondom"], "did you mean random"),
        (["search", "dtlz2", "--jobs", "0"], "--jobs 0"),
        (["adaptation", "digits", "--budget", "5"], "budget '5'"),
    ):
        done = quick("study", *arguments, "--out", tmp_path / "s")
        assert done.code == 2, done
        (line,) = done.err.splitlines()
        assert line.startswith("naturalize: ")
        assert words in line
        assert not (tmp_path / "s").exists()


def test_an_interrupted_study_says_how_it_goes_on(tmp_path: Path) -> None:
    out = tmp_path / "s"
    program = [sys.executable, "-m", "naturalize", "study", "search", "dtlz2", "--method", "auto", "--seeds", "40"]
    process = subprocess.Popen(
        [*program, "--jobs", "1", "--evaluations", "40", "--out", str(out)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while len(list((out / "cells").glob("*.json") if (out / "cells").exists() else [])) < 1:
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "go on with the same command" in err
    assert "Traceback" not in err
    assert len(list((out / "cells").glob("*.json"))) < 40
