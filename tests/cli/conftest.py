"""Commands, and one finished run that many tests share."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import Done, Finished, Quick, naturalize

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
    """One iteration on two classes of tiny pictures; made once."""
    root = tmp_path_factory.mktemp("finished")
    picture_maker(root / "photos", 60, "cat", "dog", size=(16, 12))
    arguments = ["photos", "--iterations", "1", "--epochs", "1", "--out", "run"]
    done = naturalize("transfer", *arguments, cwd=root)
    assert done.code == 0, done.err
    return Finished(root / "photos", root / "run", arguments, done)
