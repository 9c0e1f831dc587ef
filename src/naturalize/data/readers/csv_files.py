"""Reader for CSV and TSV files: a line a picture, with its path and its label or mask, and perhaps its split."""

import csv
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from naturalize.data.label_columns import label_columns
from naturalize.data.listing import is_picture
from naturalize.data.parts import (
    SPELLINGS,
    SPLITS,
    Found,
    Note,
    as_path,
    as_text,
    in_natural_order,
    label_name,
    left_out,
    printable,
    shortened,
)
from naturalize.data.readers.listed import List, parts_of
from naturalize.data.readers.tables import (
    IMAGE_NAMES,
    LABEL_NAMES,
    MASK_NAMES,
    SPLIT,
    holds_paths,
    one_column,
    splits_of,
    texts_in,
    without_masks,
)
from naturalize.errors import UserError

SUFFIXES = (".csv", ".tsv")


def accepts(source: Any) -> bool:
    """Whether the source is such a file."""
    if not isinstance(source, str | os.PathLike):
        return False
    return as_path(source).suffix.lower() in SUFFIXES and as_path(source).is_file()


def find(source: Any, classes: Sequence[str] = ()) -> Found:
    """Lists the pictures, whose paths are relative to the file's folder; none is opened.

    Columns are found by the names that `tables.find` knows; without a header, the paths are where the first line has a
    picture's name, the splits where all are such words, and the labels are the column that is left. Where that has
    pictures' names too, they are masks.

    Two or more columns that hold 0 and 1 alone, and no column of labels, are a label each: see `label_columns`.

    Args:
        source: the file.
        classes: names, which may be of such columns: then these are the labels.

    Raises:
        UserError: no or several candidates for a column, a picture that is not there, named twice or outside the
            folder, or no table.
    """
    path = as_path(source)
    table = _Csv(path)
    columns = table.schema.names
    pictures = without_masks(table.pictures) or table.pictures
    image = one_column(str(path), "pictures", IMAGE_NAMES, pictures, columns)
    candidates = [name for name in columns if name not in (image, "") and name.lower() != SPLIT]  # pandas's index is ""
    masks = [name for name in candidates if name in table.pictures and name.lower() in MASK_NAMES]
    masked = bool(masks) and not any(name.lower() in LABEL_NAMES for name in candidates if name not in masks)
    usual = [name for name in candidates if name.lower() in LABEL_NAMES]
    several = label_columns(str(path), [table.column], [] if masked else candidates, classes, usual)
    if several.names:
        values: list[Any] = texts_in(str(path), "train", table, several)
        names = {value: value for value in set(values)}
    else:
        label = masks[0] if masked else one_column(str(path), "labels", LABEL_NAMES, candidates, columns)
        values = table.column(label).to_pylist()
        names = {value: value or None if masked else label_name(value, label) for value in set(values)}
    paths = table.column(image).to_pylist()
    rows: dict[str, tuple[list[str], list[str]]] = {}
    unlabelled = []
    for picture, value, split in zip(paths, values, splits_of(str(path), "train", table, len(paths)), strict=True):
        name = names[value]
        if name is None:
            unlabelled.append(printable(picture))
            continue
        listed = rows.setdefault(split, ([], []))
        listed[0].append(picture)
        listed[1].append(name)
    lists = {split: List(path.name, *rows[split], masked) for split in SPLITS if split in rows}
    notes = []
    if unlabelled:
        why = f"without a {'mask' if masked else 'label'}, skipped"
        notes.append(Note("skipped", left_out(unlabelled, "picture", why), tuple(unlabelled)))
    if several.names:
        class_names = tuple(map(printable, several.names))
        parts = parts_of(path.parent, lists)
        return Found(printable(path.stem), as_text(str(path)), class_names, parts, notes + several.told(), several=True)
    class_names = () if masked else in_natural_order(name for name in names.values() if name is not None)
    return Found(printable(path.stem), as_text(str(path)), class_names, parts_of(path.parent, lists), notes)


class _Csv:
    """The file as a `tables.Table` of text without spaces around it. `pictures` are columns that may hold the paths."""

    def __init__(self, path: Path) -> None:
        first, mark = _first_line(path)
        has_header = not any(map(is_picture, first))
        names = first if has_header else [f"column {number}" for number in range(1, len(first) + 1)]
        if twice := [name for name, number in Counter(names).items() if number > 1]:
            raise UserError(f"{path} has two columns {shortened(twice)}: rename one")
        try:
            text = pyarrow.csv.read_csv(
                path,
                read_options=pyarrow.csv.ReadOptions(column_names=names, skip_rows=int(has_header)),
                parse_options=pyarrow.csv.ParseOptions(delimiter=mark),
                convert_options=pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string())),
            )
        except pa.ArrowException as error:
            raise UserError(f"{path} cannot be read as a table: {' '.join(str(error).split())}") from error
        if not len(text):
            raise UserError(f"{path} has no line beside its header")
        trimmed = [pc.utf8_trim_whitespace(column) for column in text.columns]
        if not has_header and len(names) > 2:
            told = ({word.lower() for word in pc.unique(column).to_pylist()} for column in trimmed)
            names = [SPLIT if words <= SPELLINGS.keys() else name for name, words in zip(names, told, strict=True)]
        others = [name for name in names if name != SPLIT]
        if not has_header and len(others) == 2 and all(is_picture(first[names.index(name)]) for name in others):
            names[names.index(others[1])] = "mask"
        self._table = pa.table(trimmed, names=names)
        self.schema = self._table.schema
        self.size = path.stat().st_size
        self.folder: Path | None = path.parent
        self.pictures = [name for name in names if holds_paths(self._table[name])]
        self.pictures = self.pictures or [name for name in names if name.lower() in IMAGE_NAMES]

    def column(self, name: str) -> pa.ChunkedArray:
        return self._table[name]


def _first_line(path: Path) -> tuple[list[str], str]:
    """The cells of the first line, and what stands between them: the most frequent of comma, semicolon and tab."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            line = file.readline().rstrip("\r\n")
        mark = max(",;\t", key=line.count)
        cells = [cell.strip() for row in csv.reader([line], delimiter=mark) for cell in row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} cannot be read as UTF-8 text: {error}") from error
    if len(cells) < 2:
        raise UserError(f"{path} begins with {printable(line[:40])!r}: give a line a picture, as PATH,LABEL")
    return cells, mark
