"""Masks: a class for each pixel of a picture, and what their values mean."""

import io
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from naturalize.data.decode import damage_told
from naturalize.data.machine import in_threads
from naturalize.data.parts import Part, shortened
from naturalize.errors import UserError
from naturalize.progress import Progress

IGNORED = 255  # in a data set's masks: a pixel that counts neither in training nor in measuring
LARGEST_SIDE = 320  # of the squares that masks are brought to, in pixels
PIXELS_SIDE = 384  # what both sides of pictures with masks keep at least when JPEGs are reduced
CHUNK = 16  # masks between two calls of progress
WORDS = frozenset({"mask", "masks", "annotation", "annotations", "annot", "segmentation", "segmentations"})

Mask = NDArray[np.uint8]


@dataclass(frozen=True)
class Meaning:
    """The meaning of the values in mask files: `values[i]` is class i, others are ignored.

    Attributes:
        values: of the classes, ascending.
        ignored: values that stand for no class.
    """

    values: tuple[int, ...]
    ignored: tuple[int, ...]

    def classes(self, mask: Mask, name: str, split: str) -> Mask:
        """Class indices of a mask file's values, `IGNORED` where they stand for none. Raises `UserError` for others."""
        table = np.full(256, -1)
        table[list(self.ignored)] = IGNORED
        table[list(self.values)] = np.arange(len(self.values))
        found = table[mask]
        if (found < 0).any():
            unknown = np.unique(mask[found < 0]).tolist()
            raise UserError(
                f"{name}: {split} holds mask values {shortened(list(map(str, unknown)))}, which train does not: "
                f"correct the masks, or leave these pixels out with --ignore {unknown[0]}"
            )
        return found.astype(np.uint8)


def read_mask(source: bytes | str | os.PathLike[str], name: str) -> Mask:
    """The values of a mask file, `(height, width)`: grey levels, or places in a palette. Raises `UserError`.

    Args:
        source: encoded bytes, or a path.
        name: what errors call it.
    """
    data = source if isinstance(source, bytes) else _bytes_of(Path(source), name)
    with damage_told(name):
        picture = Image.open(io.BytesIO(data))
        picture.load()
    if picture.format in ("JPEG", "MPO"):
        raise UserError(f"{name} is a JPEG, which changes the values of a mask: save it as PNG")
    if picture.mode == "1":
        return np.asarray(picture).astype(np.uint8)
    if picture.mode not in ("L", "P") and not picture.mode.startswith("I"):
        raise UserError(
            f"{name} has colours ({picture.mode}), and a mask has one class number a pixel: save it as an 8-bit grey "
            "or palette PNG"
        )
    return checked(np.asarray(picture), name)


def _bytes_of(path: Path, name: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{name} cannot be read: {error.strerror}") from error


def checked(values: NDArray[np.generic], name: str) -> Mask:
    """Whole numbers 0 to 255 as a mask. Raises `UserError`."""
    if values.ndim != 2 or not (np.issubdtype(values.dtype, np.integer) or values.dtype == bool):
        raise UserError(f"{name} is {values.dtype} of shape {values.shape}: a mask is whole numbers (height, width)")
    if values.size and not 0 <= values.min() <= values.max() <= 255:
        raise UserError(f"{name} holds {values.min()} to {values.max()}: class numbers are 0 to 255")
    return values.astype(np.uint8)


def meaning_of(masks: Sequence[Mask], ignored: Collection[int], source: str) -> Meaning:
    """The meaning of values, by the masks that are trained on: each value is a class. Raises `UserError`.

    255 stands for no class, as the field has it, unless masks are black and white: 0 and 255 alone are two classes.

    Args:
        masks: of the training pictures.
        ignored: further values that stand for no class.
        source: what errors call the data.
    """
    seen = np.zeros(256, dtype=bool)
    for mask in masks:
        seen[np.unique(mask)] = True
    if missing := [value for value in ignored if not 0 <= value <= 255]:
        raise UserError(f"--ignore {missing[0]}: mask values are 0 to 255")
    values = np.flatnonzero(seen).tolist()
    kept = [value for value in values if value not in ignored]
    if kept != [0, IGNORED]:
        kept = [value for value in kept if value != IGNORED]
    if len(kept) < 2:
        held = ", ".join(map(str, values))
        raise UserError(f"{source}: the masks of train hold {held}: two classes or more are needed")
    return Meaning(tuple(kept), tuple(sorted({*ignored, IGNORED} - set(kept))))


def read_all(wanted: Sequence[tuple[Part, int, int, int]], progress: Progress, phase: str = "masks") -> list[Mask]:
    """The masks of pictures, in threads. Raises `UserError` where one is not as large as its picture.

    Args:
        wanted: for each the part and the row in it, width and height of the picture.
        progress: called as `progress(phase, done, n)`.
        phase: its name.
    """

    def read(rows: range) -> list[Mask]:
        found = []
        for part, row, width, height in (wanted[index] for index in rows):
            assert part.mask is not None, "only parts with masks are read"
            mask, name = part.mask(row), part.names[row]
            if mask.shape != (height, width):
                has = f"{mask.shape[1]}x{mask.shape[0]}"
                raise UserError(f"{name}: the mask is {has}, the picture {width}x{height}: they must have one size")
            found.append(mask)
        return found

    return [mask for chunk in in_threads(read, len(wanted), CHUNK, phase, progress) for mask in chunk]


def square(mask: Mask, side: int) -> Mask:
    """A mask as a square, as its picture is squeezed: each pixel has the value of the nearest one."""
    return np.asarray(Image.fromarray(mask).resize((side, side), Image.Resampling.NEAREST))


def side_for(sizes: Sequence[tuple[int, int]]) -> int:
    """Side of the squares for pictures of these widths and heights: the median of their longer sides, at most 320."""
    return min(LARGEST_SIDE, int(np.median([max(size) for size in sizes])))


def palette() -> NDArray[np.uint8]:
    """A colour for each of 256 values, `(256, 3)`: bits of the value, spread over three colours, as VOC has it."""
    values, colours = np.arange(256), np.zeros((256, 3), dtype=np.uint8)
    for bit in range(8):
        for channel in range(3):
            colours[:, channel] |= ((values >> (3 * bit + channel) & 1) << (7 - bit)).astype(np.uint8)
    return colours


def mask_png(mask: Mask) -> bytes:
    """A mask as a PNG of its values, which viewers show in colours."""
    picture = Image.fromarray(mask, "P")
    picture.putpalette(palette().tobytes())
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def over(picture: Image.Image, mask: Mask) -> Image.Image:
    """A picture with the colours of a mask of its size over it, half transparent."""
    return Image.blend(picture.convert("RGB"), Image.fromarray(palette()[mask]), 0.5)
