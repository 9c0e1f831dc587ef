"""What readers hand over before any picture is opened."""

import math
import os
import re
import unicodedata
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from naturalize.data.decode import Opened
from naturalize.errors import UserError

SPLITS = ("train", "val", "test")
NUMBERS = re.compile(r"([0-9]+)")
NO_CLASS = ""  # label of a picture in data without classes
SPELLINGS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}


@dataclass(frozen=True)
class Note:
    """Something about the data that its owner should know: one line, and the pictures or folders it is about."""

    kind: str
    message: str
    paths: tuple[str, ...] = ()


class Texts(Sequence[str]):
    """Texts that do not change, as bytes one after another: in a list, each takes 60 bytes more."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._bytes, self._ends = bytearray(), array("q", [0])
        for text in texts:
            self._bytes += text.encode(errors="surrogatepass")
            self._ends.append(len(self._bytes))

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> list[str]: ...

    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[place] for place in range(len(self))[index]]
        place = range(len(self))[index]
        return self._bytes[self._ends[place] : self._ends[place + 1]].decode(errors="surrogatepass")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True)
class Part:
    """The pictures of one split, as they were found.

    Args:
        names: what each picture is called to people: a relative path with '/', or "train[17]".
        labels: the class name of each; a text of 0 and 1, one for each class, where it may have several.
        sizes: bytes of the file that holds each, known without opening it.
        open: decodes picture i of the part, JPEGs reduced as `open_picture` does with its `jpeg_side`; raises
            `UnreadablePicture`. Called from several threads.
        mask: values of the mask of picture i, `(height, width)`; None where pictures have classes in place of masks.
            Raises `UserError`.
    """

    names: Sequence[str]
    labels: Sequence[str]
    sizes: Sequence[int]
    open: Callable[[int, int | None], Opened]
    mask: Callable[[int], NDArray[np.uint8]] | None = None


@dataclass
class Found:
    """A data set as a reader found it.

    Args:
        name: short, for people.
        source: opens it again.
        class_names: all that are declared, in order, those without pictures included; empty where there are no classes.
        parts: by split; only "train" where the data are not split.
        notes: what the reader left out, and why.
        several: whether a picture may have several classes, or none.
        metric: accuracy that the field reports on it, one of `named.METRICS`; None where that is not known.
    """

    name: str
    source: str
    class_names: tuple[str, ...]
    parts: dict[str, Part]
    notes: list[Note] = field(default_factory=list)
    several: bool = False
    metric: str | None = None


def splits_named(source: str, names: Iterable[str]) -> dict[str, str]:
    """Those of the names that mean a split, by the split that they mean.

    Raises:
        UserError: two different names mean one split. Nothing says whether they are one set or two.
    """
    by_split: dict[str, str] = {}
    for name in names:
        split = SPELLINGS.get(name.lower())
        if split and by_split.setdefault(split, name) != name:
            raise UserError(f"{source} holds {by_split[split]} and {name}, both of which mean {split}: keep one")
    return by_split


def natural_key(text: str) -> str:
    """Sorts numbers inside names by value, everything else by code point, ties by the text: 1, 2, 007, 7, 10, a.

    Of text without the characters 0 and 1. The number of its digits comes before a number: text is compared in a tenth
    of the time that lists of text and numbers take, and a million of these weigh on no garbage collector.
    """
    pieces = NUMBERS.split(text)
    pieces[1::2] = [f"\1{chr(len(digits))}{digits}" for digits in (number.lstrip("0") for number in pieces[1::2])]
    return f"{''.join(pieces)}\0{text}"


def label_name(value: Any, where: str, declared: Sequence[str] = ()) -> str | None:
    """The class that a label of any type names; None for a missing one: null, nan, empty text, or -1 by number of name.

    Args:
        where: what errors call the label.
        declared: names that whole numbers stand for; they are names themselves where there are none.

    Raises:
        UserError: for what is no class.
    """
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        value = value.item()
    if value is None or type(value).__name__ in ("NAType", "NaTType"):  # pandas's; no number, nor equal to itself
        return None
    if isinstance(value, bytes):
        value = value.decode(errors="backslashreplace")
    if isinstance(value, float):
        if math.isnan(value):
            return None
        if not value.is_integer():  # pandas turns integers into floats where one is missing
            raise UserError(f"{where} is {value}: a class is a whole number or a name")
        value = int(value)
    if isinstance(value, str) and not value.strip():
        return None
    if not declared or isinstance(value, str):
        return printable(str(value))
    if value == -1:
        return None
    if not 0 <= value < len(declared):
        raise UserError(f"{where} is {value}, but there are {len(declared)} class names")
    return declared[value]


def in_natural_order(names: Iterable[str]) -> tuple[str, ...]:
    """The distinct names in the one order that classes have everywhere."""
    return tuple(sorted(set(names), key=natural_key))


def as_text(name: str) -> str:
    """A name as the system gave it, its bytes read as UTF-8 whatever the locale; other text as it is."""
    try:
        return os.fsencode(name).decode(errors="surrogateescape")
    except UnicodeEncodeError:  # never was a name in this locale
        return name


def as_path(source: str | os.PathLike[str]) -> Path:
    """The absolute path that a user or a file of ours names; it undoes `as_text`. Raises `UserError` for no name."""
    if not os.fspath(source):
        raise UserError("a path is empty: name a file or a folder")
    return Path(os.fsdecode(os.fspath(source).encode(errors="surrogateescape"))).expanduser().absolute()


def printable(name: str) -> str:
    """A name in composed Unicode, with what no terminal or UTF-8 file can hold written as escapes."""
    if name.isascii() and name.isprintable():  # almost all, a million of which would take seconds
        return name
    composed = unicodedata.normalize("NFC", as_text(name))
    return composed if composed.isprintable() else ascii(composed)[1:-1]


def shortened(names: Sequence[str], most: int = 3) -> str:
    """The first few names and how many more there are."""
    listed = ", ".join(names[:most])
    return listed if len(names) <= most else f"{listed} and {len(names) - most} more"


def counted(number: int, noun: str) -> str:
    """The number with its noun: 1 picture, 2 pictures, 3 classes."""
    plural = noun + ("es" if noun.endswith("s") else "s")
    return f"{number:,} {noun if number == 1 else plural}"


def left_out(names: Sequence[str], noun: str, why: str) -> str:
    """One line on files that were not taken: how many, why, the first few names."""
    return f"{counted(len(names), noun)} {why}: {shortened(names)}"
