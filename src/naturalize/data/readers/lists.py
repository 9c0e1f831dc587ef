"""Reader for data sets whose classes and splits stand in text files: DTD, FGVC-Aircraft, Food-101, Oxford Pets."""

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from naturalize.data.named import NAMED
from naturalize.data.parts import Found, Note, as_path, as_text, in_natural_order, printable, shortened
from naturalize.data.readers.listed import List, lines_of, parts_of
from naturalize.errors import UserError


def accepts(source: Any) -> bool:
    """Whether the source is a folder in which one of the data sets was unpacked."""
    return isinstance(source, str | os.PathLike) and _published_as(as_path(source)) is not None


def find(source: Any) -> Found:
    """Lists the pictures that the text files name, in their published splits; none is opened.

    Raises:
        UserError: a file or a picture is missing, or a line says something else than it should.
    """
    root = as_path(source)
    published = _published_as(root)
    assert published is not None
    folder = root / published.folder
    lists, class_names, notes = published.read(folder)
    parts, metric = parts_of(folder, lists), NAMED[published.name].metric
    return Found(printable(root.resolve().name), as_text(str(root)), class_names, parts, notes, metric=metric)


Read = tuple[dict[str, List], tuple[str, ...], list[Note]]


def dtd(root: Path) -> Read:
    """Describable Textures: `labels/train1.txt` and its like name `CLASS/PICTURE`; splits 2 to 10 are left alone."""
    lists = {}
    for split in ("train", "val", "test"):
        where = f"labels/{split}1.txt"
        lists[split] = _by_folder(where, lines_of(root, where), "")
    note = Note("split", "split 1 of those published is used: labels/train1.txt, val1.txt and test1.txt")
    return lists, _classes(lists), [note]


def food101(root: Path) -> Read:
    """Food-101: `meta/train.txt` names `CLASS/PICTURE`, without suffix; or `meta/train.json` names them by class."""
    lists = {}
    for split in ("train", "test"):
        where = f"meta/{split}.txt"
        if not (root / where).exists() and (root / "meta" / f"{split}.json").exists():
            where = f"meta/{split}.json"
            lists[split] = _by_folder(where, _all_values(root, where), ".jpg")
        else:
            lists[split] = _by_folder(where, lines_of(root, where), ".jpg")
    return lists, _classes(lists), []


def aircraft(root: Path) -> Read:
    """FGVC-Aircraft: `images_variant_train.txt` has lines `PICTURE VARIANT`; `variants.txt` the variants in order."""
    variants = tuple(printable(name) for name in lines_of(root, "variants.txt"))
    lists = {}
    for split in ("train", "val", "test"):
        where = f"images_variant_{split}.txt"
        pairs = [line.partition(" ")[::2] for line in lines_of(root, where)]
        labels = [printable(label.strip()) for _, label in pairs]
        if strange := [label or "no variant" for label in dict.fromkeys(labels) if label not in variants]:
            raise UserError(f"{root / where} holds {shortened(strange)}, of which variants.txt knows nothing")
        lists[split] = List(where, [f"images/{name}.jpg" for name, _ in pairs], labels)
    return lists, variants, [Note("banner", "the 20 rows of copyright below each aircraft are part of its picture")]


def pets(root: Path) -> Read:
    """Oxford Pets: `annotations/trainval.txt` has lines `CLASS_17 ID SPECIES BREED`, with the number of the class."""
    lists, name_of = {}, dict[int, str]()
    for split, where in (("train", "annotations/trainval.txt"), ("test", "annotations/test.txt")):
        paths, labels = [], []
        for line in lines_of(root, where):
            if line.startswith("#"):
                continue
            name, *numbers = line.split()
            label, _, _ = name.rpartition("_")
            if not (label and numbers and numbers[0].isdecimal()):
                raise UserError(f"{root / where} has the line {printable(line)!r}, which is not CLASS_NUMBER ID ...")
            number = int(numbers[0])
            if name_of.setdefault(number, printable(label)) != printable(label):
                raise UserError(f"{root / where} says that {printable(name)} is of class {number}, {name_of[number]}")
            paths.append(f"images/{name}.jpg")
            labels.append(name_of[number])
        lists[split] = List(where, paths, labels)
    class_names = tuple(name_of[number] for number in sorted(name_of))
    if len(set(class_names)) < len(class_names):
        raise UserError(f"{root / 'annotations'} gives one class two numbers: unpack it again")
    return lists, class_names, []


class _Published(NamedTuple):
    """A data set by its name: below which folder it lies, folders that it has, files of which one at least tells it."""

    name: str
    folder: str
    folders: Sequence[str]
    files: Sequence[str]
    read: Callable[[Path], Read]


AIRCRAFT = tuple(f"images_variant_{split}.txt" for split in ("train", "val", "test"))
PETS = tuple(f"annotations/{name}.txt" for name in ("trainval", "test", "list"))
PUBLISHED = (
    _Published("dtd", "", ("images", "labels"), ("labels/train1.txt", "labels/val1.txt", "labels/test1.txt"), dtd),
    _Published(
        "food101",
        "",
        ("images", "meta"),
        ("meta/train.txt", "meta/test.txt", "meta/train.json", "meta/test.json"),
        food101,
    ),
    _Published("fgvc_aircraft", "", ("images",), AIRCRAFT, aircraft),
    _Published("fgvc_aircraft", "data", ("data/images",), tuple(f"data/{name}" for name in AIRCRAFT), aircraft),
    _Published("oxford_pets", "", ("images", "annotations"), PETS, pets),
)


def _published_as(root: Path) -> _Published | None:
    for each in PUBLISHED:
        if all((root / name).is_dir() for name in each.folders) and any((root / name).is_file() for name in each.files):
            return each
    return None


def _by_folder(where: str, names: Sequence[str], suffix: str) -> List:
    """The list of `CLASS/PICTURE` below `images/`."""
    labels = [printable(name.partition("/")[0]) for name in names]
    if strange := [name for name in names if "/" not in name]:
        raise UserError(f"{where} names {shortened(list(map(printable, strange)))}: a line is CLASS/PICTURE")
    return List(where, [f"images/{name}{suffix}" for name in names], labels)


def _all_values(root: Path, where: str) -> list[str]:
    """The names in a JSON file of names by class."""
    try:
        by_class = json.loads((root / where).read_text(encoding="utf-8"))
        names = [name for listed in by_class.values() for name in listed]
    except (OSError, ValueError, AttributeError, TypeError, RecursionError) as error:
        raise UserError(f"{root / where} cannot be read: {error}") from error
    if not all(isinstance(name, str) for name in names):
        raise UserError(f"{root / where} holds something else than names of pictures by class")
    return names


def _classes(lists: dict[str, List]) -> tuple[str, ...]:
    return in_natural_order(label for listed in lists.values() for label in listed.labels)
