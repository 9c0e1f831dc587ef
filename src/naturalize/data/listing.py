"""Which files below a folder are pictures."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from naturalize.data.decode import FORMATS
from naturalize.data.parts import as_path, natural_key, printable
from naturalize.errors import UserError

SUFFIXES = frozenset(
    {suffix for suffix, known in Image.registered_extensions().items() if known in FORMATS}
    | {".avif", ".heic", ".heif", ".hif"}  # also where no decoder is there: the scan then says what to install
)
JUNK = frozenset(
    {"__MACOSX", "__pycache__", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "lost+found"}
    | {"Thumbs.db", "desktop.ini", "ehthumbs.db"}
)


class Picture(NamedTuple):
    """A file that has a picture's name: what to call it, where it is, its bytes."""

    name: str
    path: str
    size: int


@dataclass
class Walk:
    """What lies below one folder."""

    pictures: list[Picture] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    loops: list[str] = field(default_factory=list)


def is_hidden(name: str) -> bool:
    """Whether a file or folder is left by a system or a tool rather than put there by the user."""
    return name.startswith(".") or name in JUNK


def entries(folder: Path) -> list[os.DirEntry[str]]:
    """What a folder holds, in an order that does not depend on the file system. Raises `UserError` where unreadable."""
    try:
        with os.scandir(folder) as found:
            return sorted(found, key=lambda entry: natural_key(entry.name))
    except OSError as error:
        raise UserError(f"{folder} cannot be listed: {error.strerror}") from error


def walk(folder: Path, name: str, around: Sequence[Path], entered: set[tuple[int, int]]) -> Walk:
    """Everything below `folder`, whose own name is `name` (or empty).

    Links to folders elsewhere are followed, and what they lead to belongs where the link sits. Not followed are those
    that lead back (`leads_back`) to the folder that was given or to one that a link led to, and a folder that was
    entered is not entered again: circles end, and no picture has two places. Where a folder is a second time, its name
    stands among `loops`.

    Args:
        around: real paths of the folder that was given and of others on the way to `folder`.
        entered: device and number of the folders that were entered, which it adds to.
    """
    below = Walk()

    def enter(folder: Path, prefix: str, around: Sequence[Path]) -> None:
        status = folder.stat()
        if (status.st_dev, status.st_ino) in entered:
            below.loops.append(prefix.rstrip("/"))
            return
        entered.add((status.st_dev, status.st_ino))
        for entry in entries(folder):
            shown = prefix + printable(entry.name)
            if is_hidden(entry.name):
                below.hidden.append(shown)
            elif leads_back(entry, around):
                below.loops.append(shown)
            elif entry.is_dir():
                inside = Path(entry.path)
                enter(inside, f"{shown}/", (*around, inside.resolve()) if entry.is_symlink() else around)
            elif not is_picture(entry.name):
                below.others.append(shown)
            elif entry.is_file():
                below.pictures.append(Picture(shown, entry.path, entry.stat().st_size))
            elif entry.is_symlink():  # it leads nowhere: kept, so that the scan names it with the unreadable ones
                below.pictures.append(Picture(shown, entry.path, 0))

    enter(folder, f"{name}/" if name else "", (*around, folder.resolve()))
    return below


def leads_back(entry: os.DirEntry[str] | Path, around: Sequence[Path]) -> bool:
    """Whether an entry is a link to a folder in one of `around`, real paths, or to a folder that holds one of them.

    Pictures of the former have their place already, and those of the latter nobody meant to give.
    """
    if not (entry.is_symlink() and entry.is_dir()):
        return False
    real = Path(entry).resolve()
    return any(real.is_relative_to(folder) or folder.is_relative_to(real) for folder in around)


def is_picture(name: str) -> bool:
    """Whether a file's name is that of a picture, in upper or lower case."""
    dot = name.rfind(".")  # a Path would take ten times as long
    return dot > 0 and name[dot:].lower() in SUFFIXES


def list_images(
    path: str | os.PathLike[str], passed_over: Callable[[str], object] = lambda name: None
) -> list[tuple[str, Path]]:
    """The pictures that a path stands for, as (relative name with '/', path): one file, or all below a folder.

    Hidden files and what systems leave behind are ignored; the order is natural and the same on every machine.

    Args:
        passed_over: called with the name of each file below a folder that is no picture by its name, and of each link
            that was not followed.

    Raises:
        UserError: nothing is there, or no picture.
    """
    path = as_path(path)
    if path.is_file():
        return [(printable(path.name), path)]
    if not path.is_dir():
        raise UserError(f"{path}: {'neither a file nor a folder' if path.exists() else 'no such file or folder'}")
    below = walk(path, "", (), set())
    pictures = below.pictures
    for name in (*below.others, *below.loops):
        passed_over(name)
    if not pictures:
        raise UserError(f"{path} holds no pictures ({suffixes_in_words()})")
    return [(picture.name, Path(picture.path)) for picture in sorted(pictures, key=lambda one: natural_key(one.name))]


def suffixes_in_words() -> str:
    """The file types that are looked for."""
    return "JPEG, PNG, WebP, TIFF, BMP, GIF, AVIF, HEIC, JPEG 2000 or PNM files"
