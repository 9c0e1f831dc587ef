"""Learnable pictures by class, and what the shared data folder is called."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

SHARED = Path(__file__).parents[2] / ".." / "shared" / "data"

needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/data is not here")


def picture(class_name: str, number: int, size: tuple[int, int] = (64, 48)) -> Image.Image:
    """A picture in the hue of its class, with 40 random specks."""
    chance = random.Random(class_name)
    image = Image.new("RGB", size, tuple(chance.randrange(40, 216) for _ in "rgb"))
    chance = random.Random(f"{class_name}{number}")
    for _ in range(40):
        place = chance.randrange(size[0]), chance.randrange(size[1])
        image.putpixel(place, tuple(chance.randrange(256) for _ in "rgb"))
    return image


def fx(root: Path, number: int, *classes: str) -> Path:
    """`number` JPEGs of 64x48 for each class, in class folders below `root`."""
    for name in classes:
        (root / name).mkdir(parents=True, exist_ok=True)
        for index in range(number):
            picture(name, index).save(root / name / f"{index:03d}.jpg")
    return root


Fx = Callable[..., Path]
