"""What the field reports on a data set is said and shown; a small set is decoded once in all of a transfer."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import naturalize
from naturalize import api, schedule
from naturalize.data.decode import Opened
from naturalize.data.readers import listed
from naturalize.run import Run
from naturalize.tasks import balanced_error_of
from naturalize.terminal import front_table

BREEDS = {"Abyssinian": (9, 6), "Bengal": (9, 3), "Birman": (9, 1)}  # training and test pictures
FIELD = "the field reports mean per class accuracy on it"


def pets(root: Path) -> Path:
    """Oxford-IIIT Pets' layout, its test pictures unequally many by class."""
    draw, lines = np.random.default_rng(0), {"trainval": "", "test": ""}
    (root / "images").mkdir(parents=True)
    (root / "annotations").mkdir()
    for number, (name, counts) in enumerate(BREEDS.items(), 1):
        for picture in range(sum(counts)):
            pixels = draw.integers(60 * number, 60 * number + 90, (12, 12, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / "images" / f"{name}_{picture}.jpg")
            lines["trainval" if picture < counts[0] else "test"] += f"{name}_{picture} {number} 1 1\n"
    for split, text in lines.items():
        (root / "annotations" / f"{split}.txt").write_text(text)
    return root


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pets(tmp_path_factory.mktemp("data") / "pets")


@pytest.fixture(scope="module")
def decoded() -> Counter[str]:
    """How often each picture was decoded."""
    return Counter()


@pytest.fixture(scope="module")
def run(data: Path, decoded: Counter[str], tmp_path_factory: pytest.TempPathFactory) -> Run:
    decode = listed.open_picture

    def counting(source: Any, name: str, jpeg_side: int | None) -> Opened:
        decoded[name] += 1
        return decode(source, name, jpeg_side)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schedule, "INITIAL", 8)
        patch.setattr(schedule, "NEW", 4)
        patch.setattr(listed, "open_picture", counting)
        return naturalize.transfer(data, tmp_path_factory.mktemp("runs") / "x", iterations=1, epochs=1, listeners=())


def test_a_small_set_is_decoded_once_in_a_whole_transfer(run: Run, decoded: Counter[str], data: Path) -> None:
    assert decoded == {f"images/{path.name}": 1 for path in (data / "images").iterdir()}


def test_the_mean_over_classes_stands_beside_the_error(run: Run) -> None:
    front = json.loads((run.directory / "front.json").read_text(encoding="utf-8"))
    assert front["metric"] == "mean per class"
    table = front_table(run.front(), front["objectives"], front["metric"])
    assert table[0].split()[-4:] == ["val", "balanced", "test", "balanced"]
    for line, network in zip(table[1:], front["networks"], strict=True):
        confusion = np.array(network["test_confusion"])
        assert confusion.sum(1).tolist() == [6, 3, 1]
        assert network["test_balanced_error"] == balanced_error_of(confusion)
        assert line.split()[-1] == f"{network['test_balanced_error']:.1f}%"
    page = (run.directory / "report.html").read_text(encoding="utf-8")
    assert "The field reports the mean over classes of these data" in page


def test_it_is_said_before_a_transfer(data: Path, tmp_path: Path) -> None:
    assert FIELD in naturalize.check(data, listeners=())
    lines = api.dry_run(data, tmp_path / "x", iterations=1, epochs=1, listeners=())
    assert lines[lines.index(FIELD) + 1].startswith("the balanced error, which is 100% less that, is shown beside")


def test_of_other_data_it_is_not_said(tmp_path: Path) -> None:
    assert not any("the field" in line for line in naturalize.check("digits", listeners=()))
    assert "balanced" not in front_table([], ("error", "madds"), "top-1")[0]
