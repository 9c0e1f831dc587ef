"""What tests share: where the project's real data are, small supernets, learnable pictures."""

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import naturalize  # noqa: F401  (before torch, whose threads it makes sleep while they wait)
import runs
from naturalize.data import open_data

if "PYTEST_XDIST_WORKER" in os.environ:  # workers share the cores
    torch.set_num_threads(1)

SHARED = Path(__file__).parents[1] / ".." / "shared" / "data"


@pytest.fixture
def one_cpu() -> Iterator[None]:
    """One CPU for this process meanwhile: tiny networks gain nothing from more, and wait long for a busy one."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before, threads = sorted(os.sched_getaffinity(0)), torch.get_num_threads()
    os.sched_setaffinity(0, {before[os.getpid() % len(before)]})
    torch.set_num_threads(1)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
        torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with real data beside a checkout; tests that need it are skipped where it is not."""
    if not SHARED.is_dir():
        pytest.skip("the real data of ../shared/data are not here")
    return SHARED


@pytest.fixture(scope="session")
def published_data() -> Path:
    """The folder with what others published (tests/fixtures/README.md)."""
    return Path(__file__).parent / "fixtures"


def make_pictures(root: Path, n: int, *names: str, size: tuple[int, int] = (64, 48)) -> Path:
    """n learnable JPEGs for each class: a hue of its own under coloured specks."""
    hues = {name: tuple(random.Random(name).randrange(40, 216) for _ in "rgb") for name in names}
    for name in names:
        (root / name).mkdir(parents=True, exist_ok=True)
        for i in range(n):
            draw = random.Random(f"{name}{i}")
            picture = Image.new("RGB", size, hues[name])
            for _ in range(40):
                place = (draw.randrange(size[0]), draw.randrange(size[1]))
                picture.putpixel(place, tuple(draw.randrange(256) for _ in "rgb"))
            picture.save(root / name / f"{i:03d}.jpg")
    return root


@pytest.fixture(scope="session")
def picture_maker() -> Callable[..., Path]:
    """`make_pictures`."""
    return make_pictures


@pytest.fixture(scope="session")
def bands(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three learnable classes, 40 grey pictures of 8 x 8 each; not to be written to."""
    return runs.grey_pictures(tmp_path_factory.mktemp("data") / "bands", n=40)


@pytest.fixture(scope="session")
def clothes() -> Callable[[int], tuple[np.ndarray, np.ndarray]]:
    """By a side in pixels: 80 photographs of four kinds of clothes, and the names of their classes."""
    dataset = open_data("clothing")
    rows = [row for row in dataset.splits["train"].tolist() if dataset.labels[row] < 4][:80]

    def made(side: int) -> tuple[np.ndarray, np.ndarray]:
        pixels = np.stack([np.asarray(dataset.picture(row).convert("RGB").resize((side, side))) for row in rows])
        return pixels, np.array([dataset.class_names[dataset.labels[row]] for row in rows])

    return made


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of two learnable classes, 20 pictures each."""
    return make_pictures(tmp_path / "photos", 20, "cat", "dog")


@pytest.fixture
def rng() -> np.random.Generator:
    """A generator that is the same in every run."""
    return np.random.default_rng(0)
