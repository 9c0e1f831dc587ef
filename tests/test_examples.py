"""The examples in docstrings give what they say."""

import doctest
import importlib

import pytest
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.utils import Bunch

import naturalize
from naturalize import schedule

STEPS = (
    "transfer",
    "check",
    "prepare",
    "open_run",
    "finetune",
    "export",
    "predict",
    "finish",
    "resume",
    "joint_transfer",
)
SEARCH = ("evaluations", "hypervolume", "loop", "methods", "nsga3", "problem", "survival")


def failures(tests):
    """What the examples of the tests gave that they should not have."""
    runner, told = doctest.DocTestRunner(), []
    for test in tests:
        runner.run(test, out=told.append)
    assert runner.tries
    return "".join(told)


def test_the_public_functions_examples_run_one_after_the_other(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(schedule, "INITIAL", 12)
    monkeypatch.setattr(schedule, "NEW", 6)
    digits = load_digits()
    few = Bunch(images=digits.images[:500], target=digits.target[:500])
    monkeypatch.setattr("sklearn.datasets.load_digits", lambda: few)  # they take what time there is
    (tmp_path / "pictures").mkdir()
    zero = 16 * digits.images[0]
    Image.fromarray(zero.clip(0, 255).astype("uint8")).save(tmp_path / "pictures" / "zero.png")
    for name in STEPS:
        of = doctest.DocTestFinder(recurse=False).find(
            getattr(naturalize, name), name, globs={"naturalize": naturalize}
        )
        assert not failures(of)


@pytest.mark.parametrize("module", ["space", *(f"search.{name}" for name in SEARCH)])
def test_examples_of_the_search(module):
    found = importlib.import_module(f"naturalize.{module}")
    tests = doctest.DocTestFinder(exclude_empty=True).find(found)
    assert not failures(tests)
