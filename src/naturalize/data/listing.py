"""Which files below a folder are pictures."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

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


@dataclass(frozen=True)
class Picture:
    """A file that has a picture's name: what to call it, where it is, its bytes."""

    name: str
    path: Path
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


def walk(folder: Path, name: str, root: Path) -> Walk:
    """Everything below `folder`, whose own name is `name` (or empty).

    Links are followed, and what they lead to belongs where the link sits. Not followed are links to folders of the data
    set itself, `root`, whose pictures have their place already, to a folder around it, which holds what nobody meant,
    and to a folder that was entered: circles end.
    """
    below = Walk()
    real_root = root.resolve()
    entered: set[tuple[int, int]] = set()

    def enter(folder: Path, prefix: str) -> None:
        status = folder.stat()
        if (status.st_dev, status.st_ino) in entered:
            below.loops.append(prefix.rstrip("/"))
            return
        entered.add((status.st_dev, status.st_ino))
        for entry in entries(folder):
            shown = prefix + printable(entry.name)
            if is_hidden(entry.name):
                below.hidden.append(shown)
            elif entry.is_dir() and entry.is_symlink() and in_or_around(Path(entry.path).resolve(), real_root):
                below.loops.append(shown)
            elif entry.is_dir():
                enter(Path(entry.path), f"{shown}/")
            elif not is_picture(entry.name):
                below.others.append(shown)
            elif entry.is_file():
                below.pictures.append(Picture(shown, Path(entry.path), entry.stat().st_size))
            elif entry.is_symlink():  # it leads nowhere: kept, so that the scan names it with the unreadable ones
                below.pictures.append(Picture(shown, Path(entry.path), 0))

    enter(folder, f"{name}/" if name else "")
    return below


def in_or_around(folder: Path, root: Path) -> bool:
    """Whether a folder lies in another one, or holds it."""
    return folder.is_relative_to(root) or root.is_relative_to(folder)


def is_picture(name: str) -> bool:
    """Whether a file's name is that of a picture, in upper or lower case."""
    return Path(name).suffix.lower() in SUFFIXES


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
        raise UserError(f"{path}: no such file or folder")
    below = walk(path, "", path)
    pictures = below.pictures
    for name in (*below.others, *below.loops):
        passed_over(name)
    if not pictures:
        raise UserError(f"{path} holds no pictures ({suffixes_in_words()})")
    return [(picture.name, picture.path) for picture in sorted(pictures, key=lambda picture: natural_key(picture.name))]


def suffixes_in_words() -> str:
    """The file types that are looked for."""
    return "JPEG, PNG, WebP, TIFF, BMP, GIF, AVIF, HEIC, JPEG 2000 or PNM files"
