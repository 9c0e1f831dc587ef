"""Every block of code of every page runs as a reader would run it, page by page, in an empty directory.

The pages say what a reader types. What stands for a reader's pictures here, and for an hour, is in the two tables
below; nothing else is replaced. A block that cannot be run says why, in its page.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import datasets
import pytest
import typer.main
from pages import PAGES, ROOT, RUN, Block, code_of
from sklearn.datasets import load_digits
from sklearn.utils import Bunch

from naturalize import predictor, schedule, workbench
from naturalize.cli import app, main
from naturalize.data import open_data
from naturalize.exporting import FORMATS
from naturalize.objectives import OBJECTIVES
from naturalize.predictor.making import MAKERS
from naturalize.search import guided
from naturalize.supernet import FAMILIES, RESOLUTIONS
from naturalize.supernet.layers import LayerTable


def make_photos(to: Path) -> None:
    """A folder of class folders: 72 photographs of three kinds of clothes, 40 x 32 px."""
    dataset = open_data("clothing")
    rows = dataset.splits["train"].tolist()
    for label in (0, 1, 6):
        folder = to / dataset.class_names[label]
        folder.mkdir(parents=True)
        for row in [row for row in rows if dataset.labels[row] == label][:24]:
            dataset.picture(row).convert("RGB").resize((32, 40)).save(folder / f"{row:03d}.jpg")


def make_holiday(to: Path) -> None:
    """A folder of four photographs without classes."""
    dataset = open_data("clothing")
    to.mkdir(parents=True)
    for name, row in zip(("beach", "dinner", "hike", "party"), dataset.splits["test"].tolist(), strict=False):
        dataset.picture(row).convert("RGB").save(to / f"{name}.jpg")


def make_table(to: Path) -> None:
    """A parquet file of 60 photographs of three kinds of clothes, 32 x 32 px."""
    dataset = open_data("clothing")
    rows = [row for row in dataset.splits["train"].tolist() if dataset.labels[row] < 3][:60]
    pictures = [dataset.picture(row).convert("RGB").resize((32, 32)) for row in rows]
    names = [dataset.class_names[dataset.labels[row]] for row in rows]
    datasets.Dataset.from_dict({"image": pictures, "label": names}).to_parquet(to)


DATA = {"photos": make_photos, "holiday": make_holiday, "cifar10-train.parquet": make_table}
BEFORE = {  # what a reader has done who comes to a page
    "docs/studies.md": "naturalize transfer digits --budget 3m --out runs/digits\n"
    "naturalize transfer photos/ --budget 3m --out runs/cifar10\n"
}
SHORTER = (  # in commands, and in Python
    (r"(naturalize transfer .*)--budget \w+", r"\1--iterations 1 --epochs 1"),
    (r"(naturalize resume .*)--budget \w+", r"\1--iterations 2"),
    (r"naturalize study predictors", r"\g<0> --drawn 100 --seeds 1 --jobs 1"),
    (r"(naturalize study search .*)--seeds 3", r"\1--seeds 1 --evaluations 20 --jobs 1"),
    (r"naturalize study operators", r"\g<0> --seeds 1 --evaluations 20 --jobs 1"),
    (r"(naturalize study (?:adaptation|training) .*)--budget 5m", r"\1--budget 30s --seeds 1"),
    (r'budget="\w+"', "iterations=1, epochs=1"),
)
ELSEWHERE = {"docs/search.md": "tests/search/test_documentation.py"}  # runs it, and looks at what it gives
SLOW = {"docs/studies.md": "five studies, of runs of their own"}
# blocks that say that they are not run, by page; a new one is counted here
NOT_RUN = {
    "README.md": 1,
    "CONTRIBUTING.md": 1,
    "docs/formats.md": 1,
    "docs/index.md": 1,
    "docs/objectives.md": 2,
    "docs/tutorial.md": 2,
}


def test_blocks_that_are_not_run_are_known_and_say_why() -> None:
    marked = [block for page in PAGES for block in code_of(page) if block.reason is not None]
    print("\n".join(f"{block.place}: {block.reason}" for block in marked))
    assert Counter(block.page for block in marked) == NOT_RUN
    assert all(len(block.reason or "") > 12 for block in marked)


def test_every_block_says_in_which_language_it_is() -> None:
    blocks = [block for page in PAGES for block in code_of(page) if block.reason is None]
    others = [block.place for block in blocks if block.language not in RUN]
    assert not others, "blocks of a language that nothing here runs: mark them"


@pytest.fixture(scope="session")
def finished_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of finished runs, named by the command that made them: one that pages share is made once."""
    return tmp_path_factory.mktemp("finished")


class Reader:
    """Someone who runs the blocks of a page, one after the other, in the present directory.

    Args:
        patch, capture: pytest's.
        finished: directory of finished runs.
    """

    def __init__(self, patch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str], finished: Path) -> None:
        self.patch = patch
        self.capture = capture
        self.finished = finished
        self.names: dict[str, object] = {"__name__": "page"}

    def run(self, block: Block) -> None:
        """Run a block."""
        if block.language == "python":
            exec(compile("\n" * block.line + shorter(block.text), block.page, "exec"), self.names)
            return
        for line in block.text.replace("\\\n", " ").splitlines():
            line = shorter(line.removeprefix("$ "))
            words = shlex.split(line, comments=True)
            if words[:1] == ["naturalize"]:
                self.command(f"{block.place}: {line}", words[1:])
            elif words:
                done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=120)
                assert done.returncode == 0, f"{block.place}: {line}\n{done.stderr[-3000:]}"

    def command(self, place: str, words: list[str]) -> None:
        """Run a command in this process, by its own entry point; a transfer that another page made finds its run."""
        words, to = (words[: words.index(">")], words[words.index(">") + 1]) if ">" in words else (words, None)
        run = Path(words[words.index("--out") + 1] if "--out" in words else "runs/photos")
        kept = self.finished / re.sub(r"\W+", "-", " ".join(words))
        if kept.exists() and not run.exists():
            shutil.copytree(kept, run)
        self.patch.setattr(sys, "argv", ["naturalize", *words])
        self.capture.readouterr()
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        printed, said = self.capture.readouterr()
        assert code == 0, f"{place}\n{said[-3000:]}"
        assert printed, f"{place} printed nothing"
        if to is not None:
            Path(to).write_text(printed)
        if words[0] == "transfer" and not kept.exists():
            shutil.copytree(run, kept)


def shorter(text: str) -> str:
    """A text with the replacements of `SHORTER`."""
    for pattern, replacement in SHORTER:
        text = re.sub(pattern, replacement, text)
    return text


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with what stands for a reader's data."""
    to = tmp_path_factory.mktemp("data")
    for name, make in DATA.items():
        make(to / name)
    return to


@pytest.fixture
def reader(
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    finished_runs: Path,
) -> Iterator[Reader]:
    """A reader in a directory with data, whose naturalize measures few networks and searches for a short time.

    What a page registers is gone after it.
    """
    shutil.copytree(data, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NATURALIZE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    monkeypatch.setattr(schedule, "INITIAL", 8)
    monkeypatch.setattr(schedule, "NEW", 4)
    monkeypatch.setattr(guided, "propose", partial(guided.propose, generations=5))
    monkeypatch.setattr(workbench, "MODEL_S", 2.0)
    digits = load_digits()
    few = Bunch(images=digits.images[:200], target=digits.target[:200])
    monkeypatch.setattr("sklearn.datasets.load_digits", lambda: few)
    monkeypatch.setattr(predictor, "PREDICTORS", predictor.PREDICTORS)
    monkeypatch.setattr(LayerTable, "kernels", None, raising=False)
    with ExitStack() as stack:
        for registry in (FAMILIES, FORMATS, MAKERS, OBJECTIVES, RESOLUTIONS):
            stack.enter_context(patch.dict(registry))
        yield Reader(monkeypatch, capfd, finished_runs)


def page_cases() -> list[object]:
    """The pages with blocks to run; some are slow."""
    names = {block.page for page in PAGES for block in code_of(page) if block.reason is None} - ELSEWHERE.keys()
    return [pytest.param(ROOT / name, id=name, marks=[pytest.mark.slow] * (name in SLOW)) for name in sorted(names)]


@pytest.mark.timeout(900)  # of all that a page shows, beside other tests
@pytest.mark.parametrize("page", page_cases())
def test_the_blocks_run(page: Path, reader: Reader) -> None:
    name = page.relative_to(ROOT).as_posix()
    reader.run(Block(name, 0, "sh", BEFORE.get(name, ""), None))
    for block in code_of(page):
        if block.reason is None:
            reader.run(block)


def commands_below(group: object, *above: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command of the command line by its words."""
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        if hasattr(command, "commands"):
            yield from commands_below(command, *above, name)
        else:
            yield (*above, name), command


COMMANDS = dict(commands_below(typer.main.get_command(app)))


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_the_examples_of_the_help_are_understood(words: tuple[str, ...]) -> None:
    """The page of commands shows them. They need others' data, so they are parsed, and not run."""
    examples = re.findall(r"^\s+naturalize (.*)$", COMMANDS[words].help, re.MULTILINE)
    assert examples
    for example in examples:
        given = shlex.split(example.partition(" > ")[0])
        called = next(known for known in COMMANDS if given[: len(known)] == list(known))
        assert COMMANDS[called].make_context("naturalize", given[len(called) :]).params
