"""Reader for IDX files, as of MNIST and Fashion-MNIST: `train-images-idx3-ubyte` and its like, compressed or not."""

import gzip
import os
import struct
import zlib
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from naturalize.data.parts import Found, as_path, as_text, printable
from naturalize.data.readers import arrays
from naturalize.errors import UserError

STEMS = {"train": "train", "test": "t10k"}  # as published


def accepts(source: Any) -> bool:
    """Whether the source is a folder with the train pictures of such a data set."""
    return isinstance(source, str | os.PathLike) and _file(as_path(source), "train", "images", 3) is not None


def find(source: Any) -> Found:
    """Reads the files of the published splits: bytes, most significant first (yann.lecun.com/exdb/mnist).

    Raises:
        UserError: a file is missing, cut off or of another kind, or pictures and labels differ in number.
    """
    root = as_path(source)
    pairs = {}
    for split, stem in STEMS.items():
        files = {kind: _file(root, stem, kind, axes) for kind, axes in (("images", 3), ("labels", 1))}
        for kind, path in files.items():
            if path is None:
                raise UserError(
                    f"{root} lacks the {stem} {kind}, a part of its data set: put that file beside the others"
                )
        pictures, labels = (_read(path, axes) for path, axes in zip(files.values(), (3, 1), strict=True) if path)
        if len(pictures) != len(labels):
            raise UserError(f"{root} has {len(pictures)} {stem} pictures, but {len(labels)} labels: fetch both again")
        pairs[split] = pictures, labels
    found = arrays.find(pairs)
    found.name, found.source = printable(root.resolve().name), as_text(str(root))
    return found


def _file(root: Path, stem: str, kind: str, axes: int) -> Path | None:
    """The file of `images` or `labels` by one of the names that it goes by."""
    names = (f"{stem}-{kind}{mark}idx{axes}-ubyte{suffix}" for mark, suffix in product("-.", ("", ".gz")))
    return next((root / name for name in names if (root / name).is_file()), None)


def _read(path: Path, axes: int) -> NDArray[np.uint8]:
    """The array in a file: 0, 0, 8 for bytes, the number of axes, the length of each in four bytes, then the values."""
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    start = 4 + 4 * axes
    if len(content) < start or content[:4] != bytes((0, 0, 8, axes)):
        raise UserError(
            f"{path} begins with {content[:4].hex(' ')}, not with 00 00 08 {axes:02}: it is no such IDX file"
        )
    shape = struct.unpack(f">{axes}I", content[4:start])
    values = np.frombuffer(content, dtype=np.uint8, offset=start)
    if len(values) != int(np.prod(shape, dtype=object)):
        raise UserError(f"{path} holds {len(values):,} values, but says {' x '.join(map(str, shape))}: fetch it again")
    return values.reshape(shape)
