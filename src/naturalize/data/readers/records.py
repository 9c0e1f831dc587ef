"""Reader for files of pixels, a record a picture: CIFAR-10 and CIFAR-100 (binary version) and STL-10 (binary)."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from naturalize.data.decode import Opened, UnreadablePicture
from naturalize.data.parts import Found, Note, Part, as_path, as_text, printable
from naturalize.data.readers.listed import lines_of
from naturalize.errors import UserError

CIFAR_BYTES, STL_BYTES = 3 * 32 * 32, 3 * 96 * 96
UNLABELLED = "unlabeled_X.bin"

Row = tuple[Path, int]  # a file, and at which byte a picture begins


def accepts(source: Any) -> bool:
    """Whether the source is a folder of such files."""
    return isinstance(source, str | os.PathLike) and _reading(as_path(source)) is not None


def find(source: Any) -> Found:
    """Reads the labels, of the published splits; pixels are read picture by picture, when they are asked for.

    Raises:
        UserError: a file is missing or cut off, a label has no name, or it is CIFAR's version for Python: that is
            pickled, and whatever it holds would be run.
    """
    root = as_path(source)
    read = _reading(root)
    assert read is not None
    class_names, parts, notes = read(root)
    return Found(printable(root.resolve().name), as_text(str(root)), class_names, parts, notes)


Read = tuple[tuple[str, ...], dict[str, Part], list[Note]]


def _reading(root: Path) -> Callable[[Path], Read] | None:
    signs: dict[str, Callable[[Path], Read]] = {
        "batches.meta": pickled,
        "data_batch_1": pickled,
        "batches.meta.txt": cifar10,
        "data_batch_1.bin": cifar10,
        "fine_label_names.txt": cifar100,
        "train_X.bin": stl10,
    }
    if all((root / name).is_file() for name in ("meta", "train", "test")):
        return pickled
    return next((read for name, read in signs.items() if (root / name).is_file()), None)


def pickled(root: Path) -> Read:
    """Refuses CIFAR's version for Python."""
    raise UserError(f"{root} holds CIFAR's Python version, pickles that may run anything: take the binary version")


def cifar10(root: Path) -> Read:
    """CIFAR-10: a label, then 1,024 red, green and blue values each, row by row."""
    batches = [root / f"data_batch_{number}.bin" for number in range(1, 6)]
    return _cifar({"train": batches, "test": [root / "test_batch.bin"]}, lines_of(root, "batches.meta.txt"), 1)


def cifar100(root: Path) -> Read:
    """CIFAR-100: a label of 20 and one of 100, of which the second counts, then as CIFAR-10."""
    files = {"train": [root / "train.bin"], "test": [root / "test.bin"]}
    return _cifar(files, lines_of(root, "fine_label_names.txt"), 2)


def _cifar(files: dict[str, list[Path]], names: Sequence[str], labels: int) -> Read:
    parts = {}
    for split, paths in files.items():
        found: list[int] = []
        rows: list[Row] = []
        for path in paths:
            records = _bytes_of(path, labels + CIFAR_BYTES).reshape(-1, labels + CIFAR_BYTES)
            found += _checked(path, records[:, labels - 1], 0, len(names))
            rows += [(path, row * (labels + CIFAR_BYTES) + labels) for row in range(len(records))]
        parts[split] = _part(split, rows, [printable(names[label]) for label in found], (3, 32, 32), (1, 2, 0))
    return tuple(map(printable, names)), parts, []


def stl10(root: Path) -> Read:
    """STL-10: labels from 1 in a file of their own; pictures by columns, not by rows. Those without label are left."""
    names = lines_of(root, "class_names.txt")
    parts = {}
    for split in ("train", "test"):
        pixels, path = root / f"{split}_X.bin", root / f"{split}_y.bin"
        labels = _checked(path, _bytes_of(path, 1), 1, len(names))
        if (number := _size(pixels, STL_BYTES) // STL_BYTES) != len(labels):
            raise UserError(
                f"{pixels} holds {number} pictures, and {path.name} {len(labels)} labels: unpack them again"
            )
        rows = [(pixels, row * STL_BYTES) for row in range(number)]
        parts[split] = _part(split, rows, [printable(names[label - 1]) for label in labels], (3, 96, 96), (2, 1, 0))
    left = [Note("ignored", f"{UNLABELLED} is not used: its pictures have no class", (UNLABELLED,))]
    return tuple(map(printable, names)), parts, left if (root / UNLABELLED).exists() else []


def _size(path: Path, step: int) -> int:
    """Bytes of a file of records of `step` bytes. Raises `UserError` where it is missing, or ends within a record."""
    if not path.is_file():
        raise UserError(f"{path} is missing, a part of its data set: unpack all of it")
    size = path.stat().st_size
    if not size or size % step:
        raise UserError(f"{path} has {size:,} bytes, no multiple of {step:,}: it was cut off, so unpack it again")
    return size


def _bytes_of(path: Path, step: int) -> NDArray[np.uint8]:
    _size(path, step)
    return np.fromfile(path, dtype=np.uint8)


def _checked(path: Path, labels: NDArray[np.uint8], first: int, names: int) -> list[int]:
    wrong = np.flatnonzero((labels < first) | (labels >= first + names))
    if len(wrong):
        raise UserError(
            f"{path} says that picture {wrong[0]} is of class {labels[wrong[0]]}, "
            f"but classes go from {first} to {first + names - 1}: unpack it again"
        )
    return [int(label) for label in labels]


def _part(
    split: str, rows: Sequence[Row], labels: Sequence[str], stored: tuple[int, ...], axes: tuple[int, ...]
) -> Part:
    """A split of pictures of one size: `stored` is their shape in the file, `axes` make it `(height, width, 3)`."""
    names = [f"{split}[{row}]" for row in range(len(rows))]
    size = int(np.prod(stored))

    def read(index: int, jpeg_side: int | None) -> Opened:
        path, start = rows[index]
        try:
            values = np.fromfile(path, dtype=np.uint8, count=size, offset=start)
        except OSError as error:
            raise UnreadablePicture(names[index], error.strerror or str(error)) from error
        if len(values) < size:
            raise UnreadablePicture(names[index], f"{path.name} is shorter than it was")
        picture = Image.fromarray(np.ascontiguousarray(values.reshape(stored).transpose(axes)))
        return Opened(picture, picture.width, picture.height)

    return Part(names, labels, [size] * len(rows), read)
