"""Reader for data sets whose classes and splits stand in MATLAB's files: Stanford Cars and Oxford Flowers 102."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from naturalize.data.named import NAMED
from naturalize.data.parts import Found, Note, as_path, as_text, in_natural_order, printable
from naturalize.data.readers import matlab
from naturalize.data.readers.listed import List, parts_of
from naturalize.errors import UserError

FLOWERS = 102
Read = tuple[dict[str, List], tuple[str, ...], list[Note]]


def accepts(source: Any) -> bool:
    """Whether the source is a folder in which one of the data sets was unpacked."""
    return isinstance(source, str | os.PathLike) and _reading(as_path(source)) is not None


def find(source: Any) -> Found:
    """Lists the pictures that the files name, in their published splits; none is opened.

    Raises:
        UserError: a file or a picture is missing, or a file holds something else than it should.
    """
    root = as_path(source)
    read = _reading(root)
    assert read is not None
    lists, class_names, notes = read(root)
    parts, metric = parts_of(root, lists), NAMED["flowers102" if read is flowers else "stanford_cars"].metric
    return Found(printable(root.resolve().name), as_text(str(root)), class_names, parts, notes, metric=metric)


def _reading(root: Path) -> Callable[[Path], Read] | None:
    if (root / "jpg").is_dir() and ((root / "setid.mat").is_file() or (root / "imagelabels.mat").is_file()):
        return flowers
    if (root / "cars_annos.mat").is_file():
        return cars_in_one
    return cars if (root / "cars_train").is_dir() and (root / "cars_test").is_dir() else None


def cars(root: Path) -> Read:
    """Stanford Cars in two folders, a file of annotations each, mostly in `devkit/`; that of test has labels or not."""
    path = _beside(root, "cars_meta.mat")
    class_names = _names(path, matlab.variables(path, ["class_names"])["class_names"])
    lists, notes = {}, []
    for split, name in (("train", "cars_train_annos.mat"), ("test", "cars_test_annos_withlabels.mat")):
        path = _beside(root, name)
        if split == "test" and not path.is_file():
            notes.append(Note("ignored", f"cars_test/ is not used: {name} is missing, which tells its classes"))
            continue
        rows = _rows(path, matlab.variables(path, ["annotations"])["annotations"], "fname")
        labels = matlab.whole_numbers(path, "class", [row["class"] for row in rows], len(class_names))
        pictures = [f"cars_{split}/{row['fname']}" for row in rows]
        lists[split] = List(path.name, pictures, [class_names[label - 1] for label in labels])
    return lists, class_names, notes


def cars_in_one(root: Path) -> Read:
    """Stanford Cars in one folder, `car_ims/`: `cars_annos.mat` says of each whether it is of the test split."""
    path = root / "cars_annos.mat"
    held = matlab.variables(path, ["annotations", "class_names"])
    class_names = _names(path, held["class_names"])
    rows = _rows(path, held["annotations"], "relative_im_path")
    labels = matlab.whole_numbers(path, "class", [row["class"] for row in rows], len(class_names))
    lists = {}
    for split, test in (("train", 0), ("test", 1)):
        chosen = [number for number, row in enumerate(rows) if row.get("test") == test]
        pictures = [rows[number]["relative_im_path"] for number in chosen]
        lists[split] = List(path.name, pictures, [class_names[labels[number] - 1] for number in chosen])
    return lists, class_names, []


def _beside(root: Path, name: str) -> Path:
    """A file in `devkit/`, or in the folder itself: one of them was published later, by itself."""
    return root / name if (root / name).is_file() else root / "devkit" / name


def _rows(path: Path, annotations: Any, picture: str) -> list[dict[str, Any]]:
    """The annotations: a picture's name and its class each."""
    rows = annotations if isinstance(annotations, list) else [annotations]
    if not all(isinstance(row, dict) and isinstance(row.get(picture), str) and "class" in row for row in rows):
        raise UserError(f"{path} holds annotations without {picture} or class: it is another file than it should be")
    return rows


def _names(path: Path, names: Any) -> tuple[str, ...]:
    if not (isinstance(names, list) and all(isinstance(name, str) for name in names) and len({*names}) == len(names)):
        raise UserError(f"{path} holds no list of different class names: it is another file than it should be")
    return tuple(printable(name) for name in names)


def flowers(root: Path) -> Read:
    """Oxford Flowers: a label a picture in `imagelabels.mat`; in `setid.mat` the numbers of the pictures by split."""
    path = root / "imagelabels.mat"
    labels = matlab.whole_numbers(path, "labels", matlab.variables(path, ["labels"])["labels"], FLOWERS)
    path = root / "setid.mat"
    numbers_of = {"train": "trnid", "val": "valid", "test": "tstid"}
    held = matlab.variables(path, [*numbers_of.values()])
    lists = {}
    for split, name in numbers_of.items():
        numbers = matlab.whole_numbers(path, name, held[name], len(labels))
        pictures = [f"jpg/image_{number:05d}.jpg" for number in numbers]
        lists[split] = List(f"setid.mat ({name})", pictures, [str(labels[number - 1]) for number in numbers])
    return lists, in_natural_order(label for listed in lists.values() for label in listed.labels), []
