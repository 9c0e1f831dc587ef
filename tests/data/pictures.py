"""Learnable pictures by class, and what the shared data folder is called."""

import io
import random
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

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


def colours(bits: int) -> NDArray[np.uint16]:
    """Colours `(8, 8, 3)` of a camera that uses so many bits of 16."""
    return np.linspace(0, 2**bits - 1, 192).astype(np.uint16).reshape(8, 8, 3)


def deep_png(values: NDArray[np.uint16]) -> bytes:
    """A PNG file of 16 bits a colour, which Pillow reads and does not write: RGB, or RGBA."""
    height, width, bands = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, {3: 2, 4: 6}[bands], 0, 0, 0)
    file = io.BytesIO(b"\x89PNG\r\n\x1a\n")
    file.seek(0, io.SEEK_END)
    for kind, content in ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")):
        PngImagePlugin.putchunk(file, kind, content)
    return file.getvalue()


def deep_tiff(values: NDArray[np.uint16]) -> bytes:
    """A TIFF file of 16 bits a colour, RGB."""
    height, width, bands = values.shape
    pixels = values.astype("<u2").tobytes()
    after = 10 + 12 * 9 + 4
    tags = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, bands, after), (259, 3, 1, 1), (262, 3, 1, 2)]
    tags += [(273, 4, 1, after + 2 * bands), (277, 3, 1, bands), (278, 4, 1, height), (279, 4, 1, len(pixels))]
    directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags) + bytes(4)
    return b"II*\0" + struct.pack("<I", 8) + directory + struct.pack("<3H", 16, 16, 16) + pixels


def deep_ppm(values: NDArray[np.uint16]) -> bytes:
    """A PPM file of 16 bits a colour."""
    return b"P6 %d %d 65535\n" % (values.shape[1], values.shape[0]) + values.astype(">u2").tobytes()
