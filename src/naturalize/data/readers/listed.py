"""Pictures that lists name, as the readers of published layouts and of CSV files find them; and how lists are read."""

import os
import stat
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from naturalize.data.decode import Opened, open_picture
from naturalize.data.masks import Mask, read_mask
from naturalize.data.parts import NO_CLASS, Part, printable, shortened
from naturalize.errors import UserError


class List(NamedTuple):
    """The pictures of one split.

    Args:
        where: what errors call the list.
        paths: of each picture, relative to the folder of the data set.
        labels: the class name of each; paths of their masks where they have these, with `masked`.
    """

    where: str
    paths: Sequence[str]
    labels: Sequence[str]
    masked: bool = False


def lines_of(folder: Path, name: str) -> list[str]:
    """The lines of a text file below a folder, without spaces around them and without empty ones.

    Raises:
        UserError: the file is missing, holds nothing, or is no UTF-8 text.
    """
    path = folder / name
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise UserError(f"{folder} lacks {name}, a part of its data set: unpack all of it") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read as UTF-8 text: {error}") from error
    lines = [line.strip() for line in text.split("\n")]
    if not any(lines):
        raise UserError(f"{path} is empty: unpack it again")
    return [line for line in lines if line]


def parts_of(folder: Path, lists: Mapping[str, List]) -> dict[str, Part]:
    """The pictures by split, in the order of their lists. Each is looked up, and so is its mask; none is opened.

    Raises:
        UserError: a picture or a mask is not there or leads out of the folder, or a picture stands in the lists twice.
    """
    files = {split: _Files(folder, listed.where, listed.paths) for split, listed in lists.items()}
    _check_named_once(lists, files)
    parts = {}
    for split, found in files.items():
        labels, names = lists[split].labels, [printable(name) for name in found.names]
        if lists[split].masked:
            masks = _Files(folder, lists[split].where, labels)
            parts[split] = Part(names, [NO_CLASS] * len(names), found.sizes, found, masks.mask)
        else:
            parts[split] = Part(names, labels, found.sizes, found)
    return parts


def _check_named_once(lists: Mapping[str, List], files: Mapping[str, "_Files"]) -> None:
    names = [name for found in files.values() for name in found.names]
    if len(set(names)) == len(names):
        return
    twice = next(name for name, number in Counter(names).items() if number > 1)
    first, second = [lists[split].where for split, found in files.items() for name in found.names if name == twice][:2]
    named = (
        f"{first} names {printable(twice)} twice"
        if first == second
        else f"{first} and {second} name {printable(twice)}"
    )
    raise UserError(f"{named}: a picture stands in the lists once")


class _Files:
    """The files that a list names, by their paths below the folder; opens them."""

    def __init__(self, folder: Path, where: str, paths: Sequence[str]) -> None:
        self._folder = f"{folder}{os.sep}"
        self._real = f"{os.path.realpath(folder)}{os.sep}"
        self.names: list[str] = []
        self.sizes = array("q")
        inside: dict[str, bool] = {}  # by folder: following the links of every path takes ten times as long
        missing = []
        for path in paths:
            full = os.path.normpath(os.path.join(self._folder, _on_disk(path)))  # noqa: PTH118 - a Path is slow
            above = full.rpartition(os.sep)[0]
            if above not in inside:
                inside[above] = self._is_inside(above)
            status = _status(full)
            if status and stat.S_ISLNK(status.st_mode):
                inside[full] = self._is_inside(full)
                status = _status(os.path.realpath(full))
            if not (inside[above] and inside.get(full, True) and full.startswith(self._folder)):
                raise UserError(f"{where} names {printable(path)}, which leads out of {folder}: correct it")
            if status is None:
                missing.append(printable(path))
            else:
                self.names.append(full[len(self._folder) :])
                self.sizes.append(status.st_size)
        if missing:
            raise UserError(f"{where} names {shortened(missing)}, not found in {folder}: unpack all pictures")

    def _is_inside(self, path: str) -> bool:
        return "\0" not in path and f"{os.path.realpath(path)}{os.sep}".startswith(self._real)

    def __call__(self, index: int, jpeg_side: int | None) -> Opened:
        return open_picture(self._folder + self.names[index], printable(self.names[index]), jpeg_side)

    def mask(self, index: int) -> Mask:
        """The file of a row as a mask."""
        return read_mask(self._folder + self.names[index], printable(self.names[index]))


def _status(path: str) -> os.stat_result | None:
    """Of a path itself, links not followed; None where nothing is there, or it is no path."""
    try:
        return os.lstat(path)
    except (OSError, ValueError):
        return None


def _on_disk(path: str) -> str:
    """A path of a UTF-8 file as the system has it, whatever the locale; `parts.as_text` undoes it."""
    return path if path.isascii() else os.fsdecode(path.encode(errors="surrogateescape"))
