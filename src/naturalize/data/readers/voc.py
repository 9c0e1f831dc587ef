"""Reader for the layout of Pascal VOC: JPEGImages/, masks in SegmentationClass/, splits in ImageSets/Segmentation/."""

import os
from pathlib import Path
from typing import Any

from naturalize.data.parts import SPLITS, Found, Note, as_path, as_text, printable
from naturalize.data.readers.listed import List, lines_of, parts_of
from naturalize.errors import UserError

PICTURES, MASKS, LISTS = "JPEGImages", "SegmentationClass", "ImageSets/Segmentation"
YEARS = range(2007, 2013)


def accepts(source: Any) -> bool:
    """Whether the source is a folder of this layout, or one that holds them, as `VOCdevkit` does."""
    return isinstance(source, str | os.PathLike) and bool(_roots(as_path(source)))


def find(source: Any) -> Found:
    """Lists the pictures of `train.txt` and `val.txt`, and of `test.txt` where it has masks; nothing is opened.

    Values of the masks are their places in the palette; 255 is ignored, as everywhere.

    Raises:
        UserError: several years in one folder, no list of training pictures, or a picture or mask that is not there.
    """
    root = as_path(source)
    roots = _roots(root)
    if len(roots) > 1:
        named = " and ".join(printable(each.name) for each in roots)
        raise UserError(f"{root} holds {named}: give one of them, as {roots[0]}")
    folder, lists, notes = roots[0], dict[str, List](), []
    for split in SPLITS:
        where = f"{LISTS}/{split}.txt"
        if split != "train" and not (folder / where).is_file():
            continue
        names = lines_of(folder, where)
        masks = [f"{MASKS}/{name}.png" for name in names]
        if split == "test" and not (folder / masks[0]).is_file():
            notes.append(Note("ignored", f"{where} is not used: its pictures have no masks"))
            continue
        lists[split] = List(where, [f"{PICTURES}/{name}.jpg" for name in names], masks, masked=True)
    return Found(printable(folder.resolve().name), as_text(str(root)), (), parts_of(folder, lists), notes)


def _roots(folder: Path) -> list[Path]:
    """The folder itself, or those of years below it: `VOC2012`, or `VOCdevkit/VOC2012` as archives unpack."""
    below = (around / f"VOC{year}" for around in (folder, folder / "VOCdevkit") for year in YEARS)
    return [each for each in (folder, *below) if all((each / name).is_dir() for name in (PICTURES, MASKS, LISTS))]
