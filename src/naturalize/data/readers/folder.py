"""Reader for a folder of class folders, with or without train, val and test folders around them."""

import os
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from naturalize.data.decode import open_picture
from naturalize.data.listing import Picture, entries, is_hidden, is_picture, leads_back, suffixes_in_words, walk
from naturalize.data.parts import (
    NO_CLASS,
    SPELLINGS,
    SPLITS,
    Found,
    Note,
    Part,
    Texts,
    as_path,
    as_text,
    in_natural_order,
    left_out,
    natural_key,
    printable,
    shortened,
    splits_named,
)
from naturalize.errors import UserError


def accepts(source: Any) -> bool:
    """Whether the source is a folder."""
    return isinstance(source, str | os.PathLike) and as_path(source).is_dir()


def find(source: Any) -> Found:
    """Lists the folder without opening a file.

    A class is a folder of the first level, whatever lies deeper in it; links belong to the class in which they sit.
    Folders called train (training), val (valid, validation, dev) and test (testing), in any case, are splits. Classes
    and splits may be links to folders elsewhere; links back into the data, and to what lies around, are not followed.

    Raises:
        UserError: no classes, one class only, or folders of which it is not clear whether they are splits.
    """
    root = as_path(source)
    below = _Folders(root, root)
    splits = {"train": root}
    collected = Collected(root)
    if below.split_folders and not _are_classes(root, below):
        splits = _splits(root, below)
        collected.loops += below.loops
    parts = {}
    for split in SPLITS:
        if split in splits:
            parts[split] = collected.part(splits[split])
    class_names = in_natural_order(collected.class_names)
    if len(class_names) < 2:
        raise _one_class(root, splits["train"], class_names)
    return Found(printable(root.resolve().name), as_text(str(root)), class_names, parts, collected.notes())


def has_no_classes(source: Any) -> bool:
    """Whether the source is a folder whose pictures stand loose, beside no folders or beside a single one."""
    if not accepts(source):
        return False
    below = _Folders(as_path(source), as_path(source))
    return bool(below.loose) and len(below.names) < 2


def find_without_classes(source: Any) -> Found:
    """All pictures below a folder, of no class; nothing is opened."""
    root = as_path(source)
    below = walk(root, "", (), set())
    pictures = sorted(below.pictures, key=lambda picture: natural_key(picture.name))
    part = _part_of(pictures, [NO_CLASS] * len(pictures))
    kinds = [
        ("ignored", below.hidden, "item", "hidden or left by the system, ignored"),
        ("ignored", below.others, "file", "no picture, ignored"),
        ("link", below.loops, "link", "to a folder in or around the data, not followed"),
    ]
    return Found(printable(root.resolve().name), as_text(str(root)), (), {"train": part}, _notes(kinds))


def _notes(kinds: Sequence[tuple[str, Sequence[str], str, str]]) -> list[Note]:
    """A note for each kind, its names, their noun and why, of which there are names."""
    return [Note(kind, left_out(names, noun, why), tuple(names)) for kind, names, noun, why in kinds if names]


class _Folders:
    """The folders directly below one, and whether pictures stand loose beside them. Links back are `loops`, no folders.

    `root` is the folder that was given.
    """

    def __init__(self, folder: Path, root: Path) -> None:
        around = (root.resolve(), folder.resolve())
        shown = [entry for entry in entries(folder) if not is_hidden(entry.name)]
        back = [entry for entry in shown if leads_back(entry, around)]
        visible = [entry for entry in shown if entry not in back]
        self.loops = [printable(entry.name) for entry in back]
        self.names = [entry.name for entry in visible if entry.is_dir()]
        self.loose = [entry.name for entry in visible if is_picture(entry.name) and not entry.is_dir()]
        self.split_folders = [name for name in self.names if name.lower() in SPELLINGS]
        self.others = [name for name in self.names if name.lower() not in SPELLINGS]


def _are_classes(root: Path, below: _Folders) -> bool:
    """Whether folders with a split's name are classes (a train beside a bus): all of them hold loose pictures only."""
    insides = [_Folders(root / name, root) for name in below.split_folders]
    return bool(below.others) and all(inside.loose and not inside.names for inside in insides)


def _splits(root: Path, below: _Folders) -> dict[str, Path]:
    if below.others:
        raise UserError(
            f"{root} holds {shortened(below.split_folders)} and also {shortened(below.others)}: "
            "rename what is a split to train, val or test, and move what is not a split out of the folder"
        )
    splits = {split: root / name for split, name in splits_named(str(root), below.split_folders).items()}
    if "train" not in splits:
        raise UserError(f"{root} holds {shortened(below.split_folders)} but no train folder: add one")
    for folder in (splits[split] for split in SPLITS if split in splits):
        if not _Folders(folder, root).names:
            raise UserError(f"no class folders under {folder.name}/: sort the pictures of {folder} into one per class")
    return splits


class Collected:
    """Pictures of all parts and what was passed over on the way."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.entered: set[tuple[int, int]] = set()
        self.class_names: set[str] = set()
        self.hidden: list[str] = []
        self.others: list[str] = []
        self.loops: list[str] = []
        self.deeper: list[str] = []

    def part(self, folder: Path) -> Part:
        prefix = "" if folder == self.root else f"{printable(folder.name)}/"
        around = (self.root.resolve(), folder.resolve())
        pictures: list[Picture] = []
        labels: list[str] = []
        for entry in entries(folder):
            shown = prefix + printable(entry.name)
            if is_hidden(entry.name):
                self.hidden.append(shown)
            elif leads_back(entry, around):
                self.loops.append(shown)
            elif not entry.is_dir():
                self.others.append(shown)
            else:
                class_name = printable(entry.name)
                below = walk(Path(entry.path), shown, around, self.entered)
                if shown not in below.loops:
                    self.class_names.add(class_name)
                pictures += below.pictures
                labels += [class_name] * len(below.pictures)
                self.hidden += below.hidden
                self.others += below.others
                self.loops += below.loops
                depth = shown.count("/") + 1
                self.deeper += [picture.name for picture in below.pictures if picture.name.count("/") > depth]
        order = sorted(range(len(pictures)), key=[natural_key(picture.name) for picture in pictures].__getitem__)
        return _part_of([pictures[place] for place in order], [labels[place] for place in order])

    def notes(self) -> list[Note]:
        kinds = [
            ("ignored", self.hidden, "item", "hidden or left by the system, ignored"),
            ("ignored", self.others, "file", "not a picture in a class folder, ignored"),
            ("link", self.loops, "link", "to a folder in or around the data, not followed"),
            ("nested", self.deeper, "picture", "deeper than the class folder, taken into its class"),
        ]
        return _notes(kinds)


def _part_of(pictures: Sequence[Picture], labels: Sequence[str]) -> Part:
    names, paths = Texts(picture.name for picture in pictures), Texts(picture.path for picture in pictures)
    sizes = array("q", (picture.size for picture in pictures))
    return Part(names, labels, sizes, lambda row, jpeg_side: open_picture(paths[row], names[row], jpeg_side))


def _one_class(root: Path, train: Path, class_names: tuple[str, ...]) -> UserError:
    """The error for fewer than two classes, with the folder that was probably meant."""
    below = _Folders(train, root)
    if not class_names:
        if not below.loose:
            return UserError(f"{root} holds no class folders with pictures ({suffixes_in_words()})")
        beside = _Folders(root.parent, root.parent).names
        hint = f"did you mean {root.parent}?" if len(beside) > 1 else "sort the pictures into one folder per class"
        return UserError(f"{root} holds pictures of one class only, no class folders: {hint}")
    deeper, names = train, below.names
    while len(names) == 1 and len(deeper.parts) < len(train.parts) + 8:  # links in a circle have no end
        deeper /= names[0]
        names = _Folders(deeper, root).names
    hint = f"did you mean {deeper}?" if len(names) > 1 else "two or more are needed"
    return UserError(f"{root} holds one class only, {class_names[0]}: {hint}")
