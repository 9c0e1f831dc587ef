"""Commands, and one finished run that many tests share."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import ASCII, Done, Finished, Quick, naturalize

from naturalize.cli import main


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Quick:
    """A command in this process, by the same entry point: without the seconds that it takes to import torch."""

    def run(*arguments: str | Path) -> Done:
        monkeypatch.setattr(sys, "argv", ["naturalize", *map(str, arguments)])
        capfd.readouterr()
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        return Done(code, *capfd.readouterr())

    return run


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, picture_maker: Callable[..., Path]) -> Finished:
    """One iteration on three classes of tiny pictures, with names and a locale that break careless programs."""
    root = tmp_path_factory.mktemp("finished")
    picture_maker(root / "photos", 30, "café", "a b", "<i>", size=(16, 12))
    arguments = ["photos", "--iterations", "1", "--epochs", "1", "--out", "läufe/x,y"]
    done = naturalize("transfer", *arguments, cwd=root, env=os.environ | ASCII, small=True)
    assert done.code == 0, done.err
    return Finished(root / "photos", root / "läufe/x,y", arguments, done)
