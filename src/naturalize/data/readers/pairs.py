"""Reader for pictures with masks in two folders, which belong together by name: images/a.jpg and masks/a.png."""

import os
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Any

from naturalize.data.decode import open_picture
from naturalize.data.listing import Picture, is_picture, walk
from naturalize.data.masks import WORDS, read_mask
from naturalize.data.parts import (
    NO_CLASS,
    SPELLINGS,
    SPLITS,
    Found,
    Note,
    Part,
    as_path,
    as_text,
    left_out,
    natural_key,
    printable,
    splits_named,
)
from naturalize.errors import UserError

IMAGES = frozenset({"image", "images", "img", "imgs"})
MASKS = frozenset({*WORDS, "labels", "label"})
JPEG = frozenset({".jpg", ".jpeg", ".jpe", ".jfif"})
ENDINGS = ("", "_mask", "-mask", "_label", "_labels")  # that a mask's name may have behind its picture's


def accepts(source: Any) -> bool:
    """Whether the source is a folder that holds one of pictures and one of masks, or split folders that do.

    No file is opened: the folder of masks has one of their names, and holds other pictures than JPEGs.
    """
    return isinstance(source, str | os.PathLike) and bool(_roots(as_path(source)))


def find(source: Any) -> Found:
    """Lists both folders, and pairs each picture with the mask of its name; nothing is opened.

    Split folders may stand around both (train/images, train/masks) or in each (images/train, masks/train).

    Raises:
        UserError: no picture has a mask, or two folders mean one split.
    """
    root = as_path(source)
    parts: dict[str, Part] = {}
    notes: list[Note] = []
    by_split = _splits(_roots(root))
    inner = [each.name for each in _split_folders(root)]
    for name in sorted(name for name in inner if SPELLINGS[name.lower()] not in by_split):
        notes.append(Note("ignored", f"{name}: no masks in it, skipped"))
    for split in (split for split in SPLITS if split in by_split):
        images, masks = by_split[split]
        part, left = _part(root, images, masks)
        if not part.names:
            raise UserError(f"{images}: no picture has a mask of its name in {masks}")
        parts[split] = part
        notes += left
    return Found(printable(root.resolve().name), as_text(str(root)), (), parts, notes)


def _roots(folder: Path) -> dict[str, tuple[Path, Path]]:
    """The folder of pictures and that of masks by split folder, or by no name in the folder itself; nothing elsewhere.

    Raises `UserError` where two folders that hold both mean one split.
    """
    if not folder.is_dir():
        return {}
    if pair := _pair(folder):
        return {"": pair}
    pairs = {each.name: pair for each in _split_folders(folder) if (pair := _pair(each))}
    named = splits_named(str(folder), pairs)
    return {split: pairs[name] for split, name in named.items()} if "train" in named else {}


def _split_folders(folder: Path) -> list[Path]:
    return [each for each in folder.iterdir() if each.name.lower() in SPELLINGS and each.is_dir()]


def _pair(folder: Path) -> tuple[Path, Path] | None:
    names = sorted(each.name for each in folder.iterdir() if each.is_dir())
    images = [name for name in names if name.lower() in IMAGES]
    masks = [name for name in names if name.lower() in MASKS]
    if len(images) != 1 or len(masks) != 1 or not _are_masks(folder / masks[0]):
        return None
    return folder / images[0], folder / masks[0]


def _are_masks(folder: Path) -> bool:
    """Whether a folder of a name as these have holds masks: JPEGs are of a class, unless it is called by that word."""
    names = [each.name for each in chain(folder.iterdir(), *(each.iterdir() for each in _split_folders(folder)))]
    return folder.name.lower() in ("mask", "masks") or any(
        is_picture(name) and Path(name).suffix.lower() not in JPEG for name in names
    )


def _splits(roots: dict[str, tuple[Path, Path]]) -> dict[str, tuple[Path, Path]]:
    """The folders of pictures and masks by split, for what `_roots` found."""
    if "" not in roots:
        return roots
    images, masks = roots[""]
    inner = splits_named(str(images), [each.name for each in _split_folders(images)])
    if "train" not in inner:
        return {"train": roots[""]}
    for split, name in inner.items():
        if not (masks / name).is_dir():
            raise UserError(f"{masks} has no folder {name} as {images} has: put the masks of {split} there")
    return {split: (images / name, masks / name) for split, name in inner.items()}


def _part(root: Path, images: Path, masks: Path) -> tuple[Part, list[Note]]:
    pictures = walk(images, "", (), set()).pictures
    by_stem: dict[str, Picture] = {}
    for mask in walk(masks, "", (), set()).pictures:
        if by_stem.setdefault(_stem(mask.name), mask) is not mask:
            raise UserError(f"{masks} holds {by_stem[_stem(mask.name)].name} and {mask.name} for one picture: keep one")
    matched: list[tuple[Picture, Picture]] = []
    for picture in sorted(pictures, key=lambda picture: natural_key(picture.name)):
        found = [by_stem[name] for ending in ENDINGS if (name := _stem(picture.name) + ending) in by_stem]
        if found:
            matched.append((picture, found[0]))
    prefix = "" if images == root else f"{images.relative_to(root).as_posix()}/"
    beside = {picture.name for picture, _ in matched}
    alone = [prefix + picture.name for picture in pictures if picture.name not in beside]
    used = {mask.name for _, mask in matched}
    unused = [mask.name for mask in by_stem.values() if mask.name not in used]
    notes = []
    if alone:
        notes.append(Note("skipped", left_out(alone, "picture", "without a mask, skipped"), tuple(alone)))
    if unused:
        notes.append(Note("ignored", left_out(unused, "mask", "without a picture, skipped"), tuple(unused)))
    names = [prefix + picture.name for picture, _ in matched]
    where = masks.relative_to(root).as_posix()
    return (
        Part(
            names,
            [NO_CLASS] * len(names),
            [picture.size for picture, _ in matched],
            lambda row, side: open_picture(matched[row][0].path, names[row], side),
            lambda row: read_mask(matched[row][1].path, f"{where}/{matched[row][1].name}"),
        ),
        notes,
    )


def _stem(name: str) -> str:
    return PurePosixPath(name).with_suffix("").as_posix()
