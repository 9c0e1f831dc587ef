import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pictures import SHARED, Fx, needs_shared, picture
from PIL import Image

from naturalize.data import (
    Dataset,
    Pixels,
    Preprocessing,
    UnreadablePicture,
    open_data,
    read_picture,
    statistics,
)
from naturalize.data import pixels as module
from naturalize.data.decode import Opened
from naturalize.data.readers import folder
from naturalize.errors import Interrupted

RESOLUTIONS = (8, 23, 48, 64, 100)


@pytest.fixture(params=["L", "RGB"])
def mixed(tmp_path: Path, request: pytest.FixtureRequest) -> Dataset:
    """Pictures of many sizes, several of each, grey or in colour."""
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for index, size in enumerate([(64, 48), (48, 64), (64, 48), (8, 8), (1, 1), (64, 48), (300, 5), (7, 260)]):
            image = picture(f"{name}{index}", index, size).convert(request.param)
            image.save(tmp_path / name / f"{index}.png")
    return open_data(tmp_path)


@pytest.mark.parametrize("limit", [None, 0, 40_000])
def test_pixels_are_what_preprocessing_makes_held_or_not(mixed: Dataset, limit: int | None) -> None:
    rows = np.arange(len(mixed.labels))[::-1]
    pixels = Pixels(mixed, rows, RESOLUTIONS, memory_limit=limit)
    assert pixels.labels.tolist() == mixed.labels[rows].tolist()
    for resolution in RESOLUTIONS:
        prepare = Preprocessing(mixed.channels, resolution)
        made = pixels(slice(None), resolution)
        assert made.dtype == np.uint8
        assert made.flags["C_CONTIGUOUS"]
        for row, index in enumerate(rows):
            assert np.array_equal(made[row], prepare(mixed.picture(index)))
        some = np.array([5, 0, 5])
        assert np.array_equal(pixels(some, resolution), made[some])


def test_deployment_sees_what_training_saw(fx: Fx) -> None:
    photos = fx("photos", 3, "cat", "dog")
    dataset = open_data(photos)
    pixels = Pixels(dataset, range(len(dataset.labels)), [24])
    prepare = Preprocessing(dataset.channels, 24)
    for index, name in enumerate(dataset.paths):
        assert np.array_equal(prepare(read_picture(photos / name)), pixels([index], 24)[0])


def test_D31_the_ends_of_a_long_picture_are_seen(tmp_path: Path) -> None:
    for name, colour in (("red", (255, 0, 0)), ("blue", (0, 0, 255))):
        (tmp_path / name).mkdir()
        for index in range(3):
            strip = Image.new("RGB", (400, 40), (index, 128, 128))
            strip.paste(colour, (0, 0, 20, 40))
            strip.save(tmp_path / name / f"{index}.png")
    dataset = open_data(tmp_path)
    left = Pixels(dataset, range(6), [32])(slice(None), 32)[:, :, :, 0].astype(int)
    reddish = left[:, 0].mean(-1) > left[:, 2].mean(-1)
    assert [dataset.class_names[label] == "red" for label in dataset.labels] == reddish.tolist()


def test_D32_pictures_of_one_pixel_get_through(mixed: Dataset) -> None:
    index = next(index for index in range(len(mixed.labels)) if mixed.picture(index).size == (1, 1))
    tiny = Pixels(mixed, [index], [16], views=9)
    for view in range(9):
        assert np.array_equal(tiny([0], 16, view), np.broadcast_to(tiny([0], 16)[:, :, :1, :1], tiny([0], 16).shape))


@pytest.mark.parametrize("limit", [None, 0])
def test_views_are_the_picture_moved_by_a_sixteenth(tmp_path: Path, limit: int | None) -> None:
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for index in range(3):
            values: NDArray[np.uint8] = np.zeros((32, 64), np.uint8)
            values[:] = np.arange(64) * 3 + index
            values += np.arange(32, dtype=np.uint8)[:, None]
            Image.fromarray(values if name == "cat" else values[:, ::-1].copy()).save(tmp_path / name / f"{index}.png")
    dataset = open_data(tmp_path)
    pixels = Pixels(dataset, range(6), [32], views=9, memory_limit=limit)
    plain = pixels([0], 32).astype(int)[0, 0]
    inner = slice(4, -4)
    right_of, below = 3 * 4, 2  # what a sixteenth of 64 columns, of 32 rows, adds to the ramp
    expected = {1: -right_of, 2: right_of, 3: -below, 4: below, 8: right_of + below}
    for view, step in expected.items():
        moved = pixels([0], 32, view).astype(int)[0, 0]
        assert abs((moved - plain)[inner, inner] - step).max() <= 1
    assert len({pixels([0], 32, view).tobytes() for view in range(9)}) == 9


def test_views_are_the_same_held_or_not(mixed: Dataset) -> None:
    held = Pixels(mixed, range(len(mixed.labels)), [20, 40], views=9)
    made = Pixels(mixed, range(len(mixed.labels)), [20, 40], views=9, memory_limit=0)
    for resolution in (20, 40):
        for view in range(9):
            assert np.array_equal(held(slice(3, 9), resolution, view), made(slice(3, 9), resolution, view))


@pytest.mark.parametrize("view", [0, 1, 8])
def test_pictures_are_resized_to_the_same_bit_one_by_one_and_in_stacks(
    mixed: Dataset, view: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    for large in (0, 10**9):
        monkeypatch.setattr(module, "LARGE", large)
        made.append(Pixels(mixed, range(16), [23, 64], views=9)(slice(None), 23, view))
    assert np.array_equal(*made)


@pytest.mark.parametrize("size", [(500, 375), (71, 400), (96, 64)])
def test_large_pictures_that_are_only_trained_on_may_differ_by_one_here_and_there(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for index in range(3):
            picture(name, index, size).save(tmp_path / name / f"{index}.png")
    data = open_data(tmp_path)
    for side in (48, 100, 224):
        exact = Pixels(data, range(6), [side])(slice(None), side).astype(int)
        quick = Pixels(data, range(6), [side], quickly=True)(slice(None), side)
        assert np.abs(exact - quick).max() <= 1
        assert (exact != quick).mean() < 0.02


def test_small_pictures_that_are_only_trained_on_are_the_same(mixed: Dataset) -> None:
    small = [row for row in range(len(mixed.labels)) if np.prod(mixed.pixels(row).shape[:2]) < module.LARGE]
    assert len(small) > 4
    for side in (23, 48):
        exact, quick = (Pixels(mixed, small, [side], quickly=quickly)(slice(None), side) for quickly in (False, True))
        assert np.array_equal(exact, quick)


def test_statistics_are_those_of_the_largest_resolution(mixed: Dataset) -> None:
    pixels = Pixels(mixed, mixed.splits["train"], [8, 24])
    calls: list[tuple[str, int, int]] = []
    mean, deviation = statistics(pixels, lambda *call: calls.append(call))
    assert calls == [("pixels", 0, len(pixels))]
    values = pixels(slice(None), 24).astype(float)
    assert np.allclose(mean, values.mean((0, 2, 3)))
    assert np.allclose(deviation, values.std((0, 2, 3)))


def test_statistics_of_one_colour_do_not_divide_by_zero() -> None:
    X: NDArray[np.uint8] = np.full((6, 8, 8), 7, np.uint8)
    X[:, 0, 0] = np.arange(6)
    _, deviation = statistics(Pixels(open_data((X, [0, 1] * 3)), range(6), [8]))
    assert deviation == (1.0,)


def test_a_card_is_json_and_gives_the_preprocessing_back() -> None:
    prepare = Preprocessing(3, 48, (1.0, 2.0, 3.0), (4.0, 5.0, 6.0))
    card = json.loads(json.dumps(prepare.card()))
    assert Preprocessing.from_card(card) == prepare
    assert (card["channels"], card["jpeg_side"]) == (3, 224)
    assert "Pillow's draft(None, (224, 224))" in card["steps"][0]


def test_a_card_of_before_jpegs_were_reduced_reduces_none() -> None:
    card = Preprocessing(3, 48).card()
    del card["jpeg_side"]
    old = Preprocessing.from_card(card)
    assert old.jpeg_side is None
    assert len(old.card()["steps"]) == len(card["steps"]) - 1


def test_making_pixels_reports_and_can_be_stopped_and_gone_on_with(mixed: Dataset) -> None:
    calls: list[tuple[str, int, int]] = []

    def progress(phase: str, done: int, total: int) -> None:
        calls.append((phase, done, total))
        if len(calls) == 2:
            raise Interrupted(2)

    pixels = Pixels(mixed, range(16), [8, 16], progress=progress)
    assert calls == []
    pixels(slice(3), 8)
    assert calls == [("pixels", 3, 3)]
    with pytest.raises(Interrupted):
        pixels(slice(None), 8)
    prepare = Preprocessing(mixed.channels, 8)
    assert np.array_equal(pixels(slice(None), 8), [prepare(mixed.picture(index)) for index in range(16)])
    assert calls[1:] == [("pixels", 13, 13)] * 2


class Counted:
    """Counts the pictures that are decoded, and those that are resized, by resolution."""

    def __init__(self, dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
        self.decoded: Counter[int] = Counter()
        self.resized: Counter[int] = Counter()
        self.wait: dict[int, threading.Event] = {}
        lock, decode, resize = threading.Lock(), dataset.pixels, module._resized

        def decoded(index: int) -> NDArray[np.uint8]:
            with lock:
                self.decoded[index] += 1
            return decode(index)

        def resized(planes: NDArray[np.uint8], side: int, *box: Any, **how: bool) -> NDArray[np.uint8]:
            assert self.wait.get(side, self.go).wait(60)
            with lock:
                self.resized[side] += len(planes)
            return resize(planes, side, *box, **how)

        self.go = threading.Event()
        self.go.set()
        monkeypatch.setattr(dataset, "pixels", decoded)
        monkeypatch.setattr(module, "_resized", resized)


@pytest.mark.parametrize("limit", [0, 10**9])
def test_threads_that_ask_at_once_get_the_same_and_nothing_is_made_twice(
    fx: Fx, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = open_data(fx("photos", 100, "cat", "dog"), memory_limit=limit)
    expected = Pixels(dataset, range(200), [16, 24], views=2)
    counted = Counted(dataset, monkeypatch)
    pixels = Pixels(dataset, range(200), [16, 24], views=2)

    def ask(seed: int) -> None:
        chance = np.random.default_rng(seed)
        for kind in chance.permutation(kinds).tolist():
            for rows in (chance.integers(0, 200, 90), np.arange(200)):
                assert np.array_equal(pixels(rows, *kind), expected(rows, *kind))

    kinds = [(side, view) for side in (16, 24) for view in (0, 1)]
    for kind in kinds:
        expected(slice(None), *kind)
    counted.decoded.clear()
    counted.resized.clear()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, range(8)))
    assert counted.resized == {16: 400, 24: 400}
    if limit == 0:
        assert counted.decoded == dict.fromkeys(range(200), 1)


def test_making_one_resolution_does_not_wait_for_another(fx: Fx, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = open_data(fx("photos", 4, "cat", "dog"))
    counted = Counted(dataset, monkeypatch)
    counted.wait[16] = threading.Event()
    pixels = Pixels(dataset, range(8), [16, 24])
    with ThreadPoolExecutor(2) as pool:
        first, second = (pool.submit(pixels, slice(None), 16) for _ in range(2))
        assert pixels(slice(None), 24).shape == (8, 3, 24, 24)
        assert not first.done()
        assert not second.done()
        counted.wait[16].set()
        assert np.array_equal(first.result(), second.result())
    assert counted.resized == {16: 8, 24: 8}


def test_rows_that_are_asked_for_twice_in_one_call_are_decoded_once(fx: Fx, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = open_data(fx("photos", 4, "cat", "dog"), memory_limit=0)
    counted = Counted(dataset, monkeypatch)
    asked = Pixels(dataset, range(8), [16], memory_limit=0)([5, 0, 5], 16)
    assert counted.decoded == {0: 1, 5: 1}
    assert np.array_equal(asked[0], asked[2])
    assert np.array_equal(asked[1], Preprocessing(3, 16)(dataset.picture(0)))


def test_a_small_set_is_decoded_once_whatever_is_asked_of_it(fx: Fx, monkeypatch: pytest.MonkeyPatch) -> None:
    root = fx("d/train", 10, "cat", "dog").parent
    fx("d/test", 5, "cat", "dog")
    decoded: Counter[str] = Counter()
    decode = folder.open_picture

    def counting(source: Any, name: str, jpeg_side: int | None) -> Opened:
        decoded[name] += 1
        return decode(source, name, jpeg_side)

    monkeypatch.setattr(folder, "open_picture", counting)
    dataset = open_data(root)
    used = [name for split in ("train", "val") for name in (dataset.paths[row] for row in dataset.splits[split])]
    assert decoded == dict.fromkeys(used, 1)
    dataset.scan_test()
    for split, rows in dataset.splits.items():
        for limit in (None, 0):
            pixels = Pixels(dataset, rows, (16, 32, 48), views=1 if split == "train" else 5, memory_limit=limit)
            statistics(pixels)
            for resolution, view in product(pixels.resolutions, range(pixels.views)):
                pixels(slice(None), resolution, view)
        dataset.picture(int(rows[0]))
    assert decoded == dict.fromkeys(dataset.paths, 1)


@pytest.mark.parametrize("limit", [0, 10**9])
def test_a_picture_that_vanished_is_named_when_it_is_asked_for(fx: Fx, limit: int) -> None:
    photos = fx("photos", 4, "cat", "dog")
    dataset = open_data(photos, memory_limit=0)
    path = photos / "cat" / "001.jpg"
    path.rename(photos / "away")
    pixels = Pixels(dataset, range(8), [16, 24], memory_limit=limit)
    pixels([0, 2], 16)
    for _ in range(2):
        with pytest.raises(UnreadablePicture, match=r"cat/001\.jpg cannot be read: no such file"):
            pixels(slice(None), 16)
    (photos / "away").rename(path)
    assert np.array_equal(pixels([1], 16)[0], Preprocessing(3, 16)(read_picture(path)))


def test_the_data_room_does_not_import_torch_or_datasets() -> None:
    code = """
import sys, naturalize.data
naturalize.data.open_data("digits")
print({"torch", "datasets"} & {*sys.modules})
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


@needs_shared
@pytest.mark.slow
@pytest.mark.skipif(os.getloadavg()[0] > 1, reason="the machine is busy, so that a time says nothing")
def test_cifar10_takes_seconds() -> None:
    start = time.monotonic()
    dataset = open_data(SHARED / "cifar10")
    pixels = Pixels(dataset, dataset.splits["train"], (16, 20, 24, 32))
    for side in pixels.resolutions:
        pixels(slice(None), side)
    assert time.monotonic() - start < 40
