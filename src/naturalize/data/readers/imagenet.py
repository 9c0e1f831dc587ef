"""Reader for ImageNet: class folders by synset, a validation folder without them, and what lists tell of both."""

import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from naturalize.data.listing import is_hidden, is_picture
from naturalize.data.parts import Found, Note, as_path, as_text, natural_key, printable, shortened
from naturalize.data.readers import matlab
from naturalize.data.readers.folder import Collected
from naturalize.data.readers.listed import List, lines_of, parts_of
from naturalize.errors import UserError

SYNSET = re.compile(r"n\d{8}")
KAGGLE = Path("ILSVRC", "Data", "CLS-LOC")  # where its archive has the folders
NAMES = ("LOC_synset_mapping.txt", "words.txt")
SOLUTION, TRUTH = "LOC_val_solution.csv", "ILSVRC2012_validation_ground_truth.txt"
DEVKITS = ("", "data", "ILSVRC2012_devkit_t12/data")


def accepts(source: Any) -> bool:
    """Whether all folders of train are synsets and there is more to know than they tell: of names, or of `val/`."""
    if not isinstance(source, str | os.PathLike):
        return False
    root = as_path(source)
    folders = [name for name, is_folder in _shown(_base(root) / "train") if is_folder]
    if not (folders and all(SYNSET.fullmatch(name) for name in folders) and (_base(root) / "val").is_dir()):
        return False
    return _names_file(root) is not None or _is_flat(_base(root) / "val")


def find(source: Any) -> Found:
    """Lists the pictures, none of which is opened. Classes are in the order of their synsets, as is usual.

    Raises:
        UserError: nothing tells the classes of the pictures in `val/`, or a list is damaged.
    """
    root, base = as_path(source), _base(as_path(source))
    collected = Collected(base)
    parts, notes = {"train": collected.part(base / "train")}, []
    if _is_flat(base / "val"):
        parts |= parts_of(base, {"val": _solution(root) or _truth(root)})
    else:
        parts["val"] = collected.part(base / "val")
    if _is_flat(base / "test"):
        notes.append(Note("ignored", "test/ is not used: its pictures have no class"))
    elif (base / "test").is_dir():
        parts["test"] = collected.part(base / "test")
    synsets = sorted(collected.class_names)
    if strange := sorted({label for part in parts.values() for label in part.labels} - {*synsets}):
        raise UserError(f"{root}: val holds pictures of {shortened(strange)}, of which train has no folder")
    name_of = _names_of(root, synsets)
    named = {split: replace(part, labels=[name_of[label] for label in part.labels]) for split, part in parts.items()}
    class_names = tuple(name_of[synset] for synset in synsets)
    return Found(printable(root.resolve().name), as_text(str(root)), class_names, named, [*collected.notes(), *notes])


def _base(root: Path) -> Path:
    return root / KAGGLE if (root / KAGGLE).is_dir() else root


def _shown(folder: Path) -> Iterator[tuple[str, bool]]:
    """What a folder holds, hidden things apart, and whether it is a folder."""
    if folder.is_dir():
        with os.scandir(folder) as found:
            yield from ((entry.name, entry.is_dir()) for entry in found if not is_hidden(entry.name))


def _is_flat(folder: Path) -> bool:
    """Whether pictures, and no folders, stand in a folder."""
    held = dict(_shown(folder))
    return not any(held.values()) and any(is_picture(name) for name in held)


def _names_file(root: Path) -> Path | None:
    return next((root / name for name in NAMES if (root / name).is_file()), None)


def _names_of(root: Path, synsets: list[str]) -> dict[str, str]:
    """The first of the names that each synset has, with the synset where two have one name; where none, the synset."""
    path = _names_file(root)
    lines = lines_of(root, path.name) if path else []
    told = {match[1]: match[2].strip() for line in lines if (match := re.match(r"(\S+)\s+([^,]+)", line))}
    first = {synset: printable(told.get(synset, synset)) for synset in synsets}
    times = Counter(first.values())
    return {synset: name if times[name] == 1 else f"{name} ({synset})" for synset, name in first.items()}


def _solution(root: Path) -> List | None:
    """What Kaggle says of the pictures in `val/`: after a header lines `PICTURE,SYNSET x y x y`, with a box or more."""
    if not (root / SOLUTION).is_file():
        return None
    pairs = [line.partition(",")[::2] for line in lines_of(root, SOLUTION)[1:]]
    labels = [told.split()[0] if told.split() else "" for _, told in pairs]
    if strange := [label for label in dict.fromkeys(labels) if not SYNSET.fullmatch(label)]:
        raise UserError(f"{root / SOLUTION} has {printable(strange[0])!r} where a synset should be, such as n01440764")
    return List(SOLUTION, [f"val/{name}.JPEG" for name, _ in pairs], labels)


def _truth(root: Path) -> List:
    """What the development kit says: of the pictures in their order a number each, whose synset `meta.mat` has."""
    devkit = next((root / folder for folder in DEVKITS if (root / folder / TRUTH).is_file()), None)
    if devkit is None:
        raise UserError(
            f"{root}: nothing tells the classes of the pictures in val/: put {SOLUTION} there, "
            f"or {TRUTH} and meta.mat, or sort them into one folder per class"
        )
    meta = devkit / "meta.mat"
    synsets = matlab.variables(meta, ["synsets"])["synsets"]
    try:
        synset_of = {synset["ILSVRC2012_ID"]: synset["WNID"] for synset in synsets}
    except (TypeError, KeyError) as error:
        raise UserError(f"{meta} holds no synsets with ILSVRC2012_ID and WNID: it is another file") from error
    names = sorted((name for name, _ in _shown(_base(root) / "val") if is_picture(name)), key=natural_key)
    numbers = lines_of(devkit, TRUTH)
    if len(numbers) != len(names):
        raise UserError(f"{devkit / TRUTH} tells the classes of {len(numbers)} pictures, but val/ holds {len(names)}")
    if strange := [number for number in numbers if not number.isdecimal() or int(number) not in synset_of]:
        raise UserError(f"{devkit / TRUTH} has {printable(strange[0])!r}, of which meta.mat knows nothing")
    return List(TRUTH, [f"val/{name}" for name in names], [synset_of[int(number)] for number in numbers])
