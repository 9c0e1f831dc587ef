"""Reader for NumPy's `.npz` files: arrays of pictures and labels, named as Keras, MedMNIST or one's own code does."""

import os
import re
import zipfile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from naturalize.data.parts import SPELLINGS, Found, Note, as_path, as_text, printable, shortened
from naturalize.data.readers import arrays
from naturalize.errors import UserError

SUFFIX = ".npz"
NAME = re.compile(r"(x|y|images|labels)(?:_([a-z]+))?|([a-z]+)_(x|y|images|labels)", re.IGNORECASE)


def accepts(source: Any) -> bool:
    """Whether the source is such a file."""
    return isinstance(source, str | os.PathLike) and as_path(source).suffix == SUFFIX and as_path(source).is_file()


def find(source: Any) -> Found:
    """Reads the arrays as `arrays.find` does: `x_train` and `y_train`, `train_images` and `train_labels`, `X` and `y`.

    Objects are not read: they would be unpickled. Labels `(n, 1)` are taken as `(n,)`.

    Raises:
        UserError: no such arrays, pictures without labels, a damaged file, or what `arrays.find` refuses.
    """
    path = as_path(source)
    if not zipfile.is_zipfile(path):
        raise UserError(f"{path} is no .npz file, or it is damaged")
    try:
        with np.load(path, allow_pickle=False) as held:
            names = _named(list(held.files))
            read = {key: held[name] for key, name in names.items()}
            others = [printable(name) for name in held.files if name not in names.values()]
    except MemoryError:
        raise
    except UserError as error:
        raise UserError(f"{path} {error}") from error
    except Exception as error:  # of almost any kind, where it is damaged
        raise UserError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
    pairs = {word: (read[word, "x"], _flat(read[word, "y"])) for word, role in read if role == "x"}
    try:
        found = arrays.find(pairs)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    found.name, found.source = printable(path.stem), as_text(str(path))
    if others:
        found.notes.append(Note("ignored", f"arrays not used: {shortened(others)}", tuple(others)))
    return found


def _named(files: list[str]) -> dict[tuple[str, str], str]:
    """The array of each split's pictures, "x", and labels, "y"; the split by the word for it. Raises `UserError`."""
    names: dict[tuple[str, str], str] = {}
    for name in files:
        match = NAME.fullmatch(name)
        word = ((match[2] or match[3] or "train") if match else "").lower()
        if match and word in SPELLINGS:
            key = word, "x" if (match[1] or match[4]).lower() in ("x", "images") else "y"
            if key in names:
                raise UserError(f"holds {names[key]} and {name}, which mean the same: keep one")
            names[key] = name
    if not names:
        raise UserError(
            f"holds {shortened(files) or 'nothing'}, not x_train and y_train, train_images and train_labels, or X and y"
        )
    for (word, role), name in names.items():
        if (word, "y" if role == "x" else "x") not in names:
            raise UserError(f"holds {name} without the {'labels' if role == 'x' else 'pictures'} that belong to it")
    return names


def _flat(labels: NDArray[Any]) -> NDArray[Any]:
    return labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
