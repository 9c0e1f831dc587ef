"""Masks: a class for each pixel of a picture, and what their values mean."""

from __future__ import annotations

import io
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from naturalize.data.decode import UnreadablePicture, damage_told, readable_formats, without_warnings
from naturalize.data.machine import in_threads
from naturalize.data.parts import Part, shortened
from naturalize.errors import UserError
from naturalize.progress import Progress

IGNORED = 255  # in a data set's masks: a pixel that counts neither in training nor in measuring
LARGEST_SIDE = 320  # of the squares that masks are brought to, in pixels
PIXELS_SIDE = 384  # what both sides of pictures with masks keep at least when JPEGs are reduced
CHUNK = 16  # masks between two calls of progress
WORDS = frozenset({"mask", "masks", "annotation", "annotations", "annot", "segmentation", "segmentations"})

UNKNOWN = -1  # in a table of values: what no training mask holds

Mask = NDArray[np.uint8]
Wanted = tuple[Part, int, int, int]


@dataclass(frozen=True)
class Meaning:
    """The meaning of the values in mask files: `values[i]` is class i, others are ignored.

    Attributes:
        values: of the classes, ascending.
        ignored: values that stand for no class.
    """

    values: tuple[int, ...]
    ignored: tuple[int, ...]

    def classes(self, read: Read, name: str, split: str) -> Mask:
        """Class indices of a square of values, `IGNORED` where these stand for none. Raises `UserError` for others."""
        table = np.full(256, UNKNOWN)
        table[list(self.ignored)] = IGNORED
        table[list(self.values)] = np.arange(len(self.values))
        unknown = np.flatnonzero(read.shown & (table == UNKNOWN)).tolist()
        if unknown:
            raise UserError(
                f"{name}: {split} holds mask values {shortened(list(map(str, unknown)))}, which train does not: "
                f"correct the masks, or leave these pixels out with --ignore {unknown[0]}"
            )
        return table[read.square].astype(np.uint8)


class Read(NamedTuple):
    """What is kept of a mask file.

    Attributes:
        shown: which of 256 values it holds, `(256,)`.
        square: its values as a square, as its picture is squeezed: each pixel has the value of the nearest one.
    """

    shown: NDArray[np.bool_]
    square: Mask


def read_mask(source: bytes | str | os.PathLike[str], name: str) -> Mask:
    """The values of a mask file, `(height, width)`: grey levels, or places in a palette. Raises `UserError`.

    Args:
        source: encoded bytes, or a path.
        name: what errors call it.
    """
    data = source if isinstance(source, bytes) else _bytes_of(Path(source), name)
    with damage_told(name):
        try:
            picture = Image.open(io.BytesIO(data), formats=readable_formats())
        except Image.UnidentifiedImageError as error:
            raise UnreadablePicture(name, "not a picture in a known format, or its start is damaged") from error
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


def meaning_of(read: Sequence[Read], ignored: Collection[int], source: str) -> Meaning:
    """The meaning of values, by the masks of the training pictures as they were given. Raises `UserError`.

    Each value is a class. 255 stands for none, as the field has it, unless masks are black and white: 0 and 255 alone
    are two classes.

    Args:
        read: of these pictures.
        ignored: further values that stand for no class.
        source: what errors call the data.
    """
    if missing := [value for value in ignored if not 0 <= value <= 255]:
        raise UserError(f"--ignore {missing[0]}: mask values are 0 to 255")
    values = np.flatnonzero(np.any([each.shown for each in read], axis=0)).tolist()
    kept = [value for value in values if value not in ignored]
    if kept != [0, IGNORED]:
        kept = [value for value in kept if value != IGNORED]
    if len(kept) < 2:
        held = ", ".join(map(str, values))
        raise UserError(f"{source}: the masks of train hold {held}: two classes or more are needed")
    return Meaning(tuple(kept), tuple(sorted({*ignored, IGNORED} - set(kept))))


def read_all(wanted: Sequence[Wanted], side: int, progress: Progress) -> list[Read | UserError]:
    """The masks of pictures as squares, in threads; in place of one that cannot be used, why.

    Args:
        wanted: for each picture the part, the row in it, its width and its height.
        side: of the squares.
        progress: called as `progress("masks", done, n)`.
    """

    def read(rows: range) -> list[Read | UserError]:
        return [_read(*wanted[index], side) for index in rows]

    with without_warnings():
        return [each for chunk in in_threads(read, len(wanted), CHUNK, "masks", progress) for each in chunk]


def _read(part: Part, row: int, width: int, height: int, side: int) -> Read | UserError:
    assert part.mask is not None, "only parts with masks are read"
    try:
        mask = part.mask(row)
    except UserError as error:
        return error
    if mask.shape != (height, width):
        has, name = f"{mask.shape[1]}x{mask.shape[0]}", part.names[row]
        return UserError(f"{name}: the mask is {has}, the picture {width}x{height}: they must have one size")
    square = Image.fromarray(mask).resize((side, side), Image.Resampling.NEAREST)
    return Read(np.bincount(mask.ravel(), minlength=256) > 0, np.asarray(square))


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
