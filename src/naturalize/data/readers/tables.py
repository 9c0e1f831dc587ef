"""Reader for image-parquet and Arrow files: one row a picture, with its bytes or its path, and its label."""

import json
import os
import re
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.ipc
import pyarrow.parquet as pq

from naturalize.data.decode import Opened, UnreadablePicture, open_picture
from naturalize.data.label_columns import LabelColumns, label_columns, texts_of_labels
from naturalize.data.listing import is_picture, leads_back
from naturalize.data.machine import pixel_budget
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
    in_natural_order,
    label_name,
    left_out,
    printable,
    shortened,
    splits_named,
)
from naturalize.errors import UserError

MOST_SHOWN = 100  # characters of a path that is not there: it may be a picture as text
SPLIT = "split"  # a column that says to which each row belongs, in any case
PARQUET, ARROW = (".parquet", ".pq"), (".arrow", ".feather")
IMAGE_NAMES = ("image", "img", "picture", "photo", "path", "file", "filename", "file_name", "image_path")
MASK_NAMES = (*sorted(WORDS), "mask_path", "label", "labels")
LABEL_NAMES = ("label", "labels", "class", "target", "category")


def accepts(source: Any) -> bool:
    """Whether the source is a table, a folder of tables, or the common beginning of names of tables."""
    return isinstance(source, str | os.PathLike) and bool(_files(as_path(source)))


def find(source: Any, classes: Sequence[str] = ()) -> Found:
    """Lists the rows. Of a given test table only the labels are read, no picture.

    Two or more columns that hold 0 and 1 alone, and no column of labels, are a label each: see `label_columns`.

    Files are assigned to splits by the words train, val (valid, validation, dev) and test in their paths: a file
    NAME-train.parquet brings the files NAME-val and NAME-test beside it along.

    Args:
        source: a file, a folder of files, or the beginning of their names.
        classes: names, which may be of such columns: then these are the labels.

    Raises:
        UserError: several data sets in one folder, two words for one split, or columns of which it is not clear what
            they are.
    """
    path = as_path(source)
    files = _files(path)
    root = path if path.is_dir() else path.parent
    if path.is_file():
        files = _with_siblings(path)
    words = [_split_word(file.relative_to(root)) for file in files]
    splits_named(str(path), filter(None, words))
    by_split: dict[str, list[Path]] = {}
    for file, word in zip(files, words, strict=True):
        by_split.setdefault(SPELLINGS[word.lower()] if word else "train", []).append(file)
    stems = in_natural_order(_stem(file.relative_to(root)) for file in files)
    if len(stems) > 1:
        nameless = next((file.name for file in files if not _stem(file.relative_to(root))), "")
        named = [stem or nameless for stem in stems]
        raise UserError(f"{path} holds several data sets ({shortened(named)}): name one, as {root / named[0]}")
    if "train" not in by_split:
        if len(by_split) > 1:
            raise UserError(f"{path} holds {' and '.join(by_split)} but no train file: add one")
        by_split = {"train": next(iter(by_split.values()))}  # one table, whatever its name: it will be cut
    notes = []
    if len(files) > 1 and path.is_file():
        beside = [file.name for file in files if file != path]
        notes.append(Note("split", f"{shortened(beside)} beside {path.name} taken as well", tuple(beside)))
    tables = {split: [_File(file) for file in by_split[split]] for split in SPLITS if split in by_split}
    return found_in(stems[0] or printable(root.resolve().name), as_text(str(path)), tables, notes, wanted=classes)


class Table(Protocol):
    """A table of a split. `size` is in bytes; paths in it are relative to `folder`, None where it may have none."""

    schema: pa.Schema
    size: int
    folder: Path | None

    def column(self, name: str) -> pa.ChunkedArray:
        """A column, read when it is asked for."""


class _File:
    """A parquet or Arrow file as a `Table`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.folder: Path | None = path.parent
        self.size = path.stat().st_size
        try:
            self.schema = pq.read_schema(path) if path.suffix.lower() in PARQUET else self._arrow().schema
        except (pa.ArrowInvalid, OSError) as error:
            raise UserError(f"{path} cannot be read as a table: {error}") from error

    def _arrow(self) -> pa.Table:
        source = pa.memory_map(str(self.path))
        try:
            return pa.ipc.open_stream(source).read_all()
        except pa.ArrowInvalid:  # the other of Arrow's two file formats
            return pa.ipc.open_file(source).read_all()

    def column(self, name: str) -> pa.ChunkedArray:
        if self.path.suffix.lower() in ARROW:
            return self._arrow()[name]
        if self.size > pixel_budget():
            from datasets import Dataset  # its copy in the download cache is mapped, not held in memory

            return Dataset.from_parquet(str(self.path)).data.column(name)
        return pq.read_table(self.path, columns=[name])[name]


def found_in(
    name: str,
    source: str,
    tables: Mapping[str, Sequence[Table]],
    notes: list[Note],
    columns: tuple[str, str] | None = None,
    wanted: Sequence[str] = (),
) -> Found:
    """A data set of tables by split.

    Args:
        name, source, notes: as of `Found`.
        tables: by split.
        columns: those of pictures and labels, where it is known which they are.
        wanted: as of `find`.

    Raises:
        UserError: no or several candidates for the columns of pictures and labels, or labels that are no classes.
    """
    members = [(split, table) for split, of in tables.items() for table in of]
    for split, table in members:
        if twice := [column for column, number in Counter(table.schema.names).items() if number > 1]:
            raise UserError(f"{source}: the {split} table has two columns {shortened(twice)}: rename one")
    image, label, mask, several = Columns(*columns) if columns else _columns(source, members, wanted)
    if mask:
        return _with_masks(name, source, image, mask, members, notes)
    _check_columns(source, image, several.names or [label], members)
    found: dict[str, dict[str, list[Any]]] = {}
    numbers, notes, unlabelled = Counter[str](), list(notes), []
    for member, (split, table) in enumerate(members):
        own = _declared_names(table.schema, label)  # a test table may number the same names otherwise
        values = texts_in(source, split, table, several) if several.names else table.column(label).to_pylist()
        for row, (to, value) in enumerate(zip(splits_of(source, split, table, len(values)), values, strict=True)):
            shown = f"{to}[{numbers[to]}]"
            numbers[to] += 1
            class_name = value if several.names else label_name(value, f"{source}: {label} of {shown}", own)
            if class_name is None:
                unlabelled.append(shown)
                continue
            part = found.setdefault(to, {"names": [], "labels": [], "rows": []})
            part["names"].append(shown)
            part["labels"].append(class_name)
            part["rows"].append((member, row))
    if unlabelled:
        notes.append(Note("skipped", left_out(unlabelled, "picture", "without a label, skipped"), tuple(unlabelled)))
    all_of = [table for _, table in members]
    parts = {
        split: Part(
            part["names"],
            part["labels"],
            [all_of[member].size for member, _ in part["rows"]],
            _Pictures(all_of, image, part["rows"], part["names"]),
        )
        for split, part in ((split, found.get(split)) for split in SPLITS)
        if part is not None
    }
    if several.names:
        return Found(name, source, tuple(map(printable, several.names)), parts, notes + several.told(), several=True)
    declared = next((names for _, table in members if (names := _declared_names(table.schema, label))), ())
    observed = {class_name for part in parts.values() for class_name in part.labels}
    return Found(name, source, declared + in_natural_order(observed - set(declared)), parts, notes)


def _with_masks(
    name: str, source: str, image: str, mask: str, members: Sequence[tuple[str, Table]], notes: list[Note]
) -> Found:
    """A data set of pictures with masks. Rows without a mask are left out, with a note."""
    for split, table in members:
        if {image, mask} - set(table.schema.names):
            raise UserError(f"{source}: the {split} table has no columns {image} and {mask} as the train table has")
    rows: dict[str, list[tuple[int, int]]] = {}
    there = [table.column(mask).is_valid().to_numpy(zero_copy_only=False) for _, table in members]
    for member, (split, table) in enumerate(members):
        for row, to in enumerate(splits_of(source, split, table, len(there[member]))):
            rows.setdefault(to, []).append((member, row))
    tables, parts, notes, missing = [table for _, table in members], {}, list(notes), []
    for split in (split for split in SPLITS if split in rows):
        shown = [f"{split}[{number}]" for number in range(len(rows[split]))]
        kept = [number for number, (member, row) in enumerate(rows[split]) if there[member][row]]
        missing += [shown[number] for number, (member, row) in enumerate(rows[split]) if not there[member][row]]
        names, places = [shown[number] for number in kept], [rows[split][number] for number in kept]
        files = _Pictures(tables, mask, places, [f"the mask of {text}" for text in names])
        parts[split] = Part(
            names,
            [NO_CLASS] * len(names),
            [tables[member].size for member, _ in places],
            _Pictures(tables, image, places, names),
            lambda row, files=files: read_mask(*files.source(row)),  # type: ignore[misc]
        )
    if missing:
        notes.append(Note("skipped", left_out(missing, "picture", "without a mask, skipped"), tuple(missing)))
    return Found(name, source, (), parts, notes)


def without_masks(columns: Sequence[str]) -> list[str]:
    """Those of the columns whose names are not usual for masks."""
    return [column for column in columns if column.lower() not in MASK_NAMES]


def holds_paths(column: pa.ChunkedArray) -> bool:
    """Whether the first text of a column that is not empty is the name of a picture."""
    first = pc.index(pc.greater(pc.utf8_length(column), 0), True).as_py()  # without a copy of a million paths
    return first >= 0 and is_picture(column[first].as_py())


class Columns(NamedTuple):
    """Names of the columns of a table: of pictures, and of classes, or of masks, or of several labels."""

    image: str
    label: str = ""
    mask: str = ""
    several: LabelColumns = LabelColumns([], [])


def _columns(source: str, members: Sequence[tuple[str, Table]], wanted: Sequence[str]) -> Columns:
    """The columns of pictures, and of labels or masks, by what is declared of them, their types, names and values.

    Raises `UserError`.
    """
    schema = members[0][1].schema
    features = _features(schema)
    pictures = _image_columns(schema, features)
    image = one_column(source, "pictures", IMAGE_NAMES, without_masks(pictures) or pictures, schema.names)
    candidates = [column for column in schema.names if column != image and column.lower() != SPLIT]
    labels = _label_columns(schema, features, candidates)
    called = [column for column in candidates if column.lower() in MASK_NAMES]
    masks = [
        column
        for column in called
        if column in pictures or (_is_text(schema.field(column).type) and holds_paths(members[0][1].column(column)))
    ]
    unmasked = [name for name in labels if name not in masks]
    named = [name for name in unmasked if name.lower() in LABEL_NAMES or _declared_names(schema, name)]
    if masks and not named:
        return Columns(image, mask=masks[0])
    if not any(_declared_names(schema, name) for name in labels):
        some = [name for name in candidates if _may_be_number(schema.field(name).type) or name in named]
        several = label_columns(source, [t.column for split, t in members if split == "train"], some, wanted, named)
        if several.names:
            return Columns(image, several=several)
    return Columns(image, one_column(source, "labels", LABEL_NAMES, labels, schema.names))


def _check_columns(source: str, image: str, labels: Sequence[str], members: Sequence[tuple[str, Table]]) -> None:
    """Raise `UserError` where a table lacks a column, or has numbers where another has names."""
    held: dict[str, str] = {}
    label = labels[0]
    for split, table in members:
        if lacking := {image, *labels} - set(table.schema.names):
            told = f"columns {image} and {label}" if len(labels) == 1 else f"column {min(lacking)}"
            raise UserError(f"{source}: the {split} table has no {told} as the train table has")
        if len(labels) > 1:
            continue
        if not pa.types.is_null(table.schema.field(label).type):  # of which all labels are missing
            held.setdefault(_kind_of_labels(table.schema, label), split)
    if len(held) > 1:
        (one, here), (other, there) = list(held.items())[:2]
        raise UserError(
            f"{source}: {label} holds {one} in one table ({here}) and {other} in another ({there}): give all the same"
        )


def _kind_of_labels(schema: pa.Schema, label: str) -> str:
    kind = _values_of(schema.field(label).type)
    if _is_text(kind) or _declared_names(schema, label):
        return "names"
    return "true and false" if pa.types.is_boolean(kind) else "numbers"


def texts_in(source: str, split: str, table: Table, several: LabelColumns) -> list[str | None]:
    """The labels of each row of a table; see `texts_of_labels`."""
    columns = (table.column(name) for name in several.names)
    return texts_of_labels(source, several.names, columns, lambda row: f"row {row} of {split}")


def splits_of(source: str, split: str, table: Table, rows: int) -> Sequence[str]:
    """The split of each row: that of its table, or what a column of that name says. Raises `UserError` for others."""
    columns = [column for column in table.schema.names if column.lower() == SPLIT]
    if not columns:
        return [split] * rows
    if len(columns) > 1:
        raise UserError(f"{source}: the {split} table has columns {' and '.join(columns)}: rename one")
    told = [str(value).strip().lower() for value in table.column(columns[0]).to_pylist()]
    if unknown := sorted(set(told) - SPELLINGS.keys()):
        usual = ", ".join(SPLITS)
        raise UserError(f"{source}: {columns[0]} is {shortened(unknown)}: it may be {usual}; or rename the column")
    splits_named(f"{source}: column {columns[0]}", sorted(set(told)))
    splits = [SPELLINGS[value] for value in told]
    if split != "train" and set(splits) != {split}:
        raise UserError(f"{source}: the {split} table holds rows whose {columns[0]} is another: rename file or column")
    return splits


class _Pictures:
    """Decodes rows; the column of pictures is read when the first is asked for, which a given test never is early."""

    def __init__(self, tables: Sequence[Table], column: str, rows: list[tuple[int, int]], names: list[str]) -> None:
        self._tables = tables
        self._column = column
        self._rows = rows
        self._names = names
        self._lock = threading.Lock()
        self._columns: dict[int, pa.ChunkedArray] = {}

    def __call__(self, index: int, jpeg_side: int | None) -> Opened:
        source, name = self.source(index)
        return open_picture(source, name, jpeg_side)

    def source(self, index: int) -> tuple[bytes | Path, str]:
        """The bytes or the path of a row's file, and what errors call it. Raises `UnreadablePicture`."""
        member, row = self._rows[index]
        with self._lock:
            if member not in self._columns:
                self._columns[member] = self._tables[member].column(self._column)
        value = self._columns[member][row].as_py()
        content = value.get("bytes") if isinstance(value, dict) else value
        path = value.get("path") if isinstance(value, dict) else None
        if isinstance(content, str):
            content, path = None, content
        if content:
            return content, self._names[index]
        if path:
            name, folder = f"{self._names[index]} ({printable(path[:MOST_SHOWN])})", self._tables[member].folder
            if folder is None or not _is_inside(folder, path):
                raise UnreadablePicture(name, "its path leads out of the table's folder")
            return folder / path, name
        raise UnreadablePicture(self._names[index], "no bytes and no path")


def _is_inside(folder: Path, path: str) -> bool:
    """Whether a relative path, its links followed, stays in a folder; what is no path is in none."""
    return "\0" not in path and Path(os.path.realpath(folder / path)).is_relative_to(os.path.realpath(folder))


def _features(schema: pa.Schema) -> dict[str, Any]:
    """What Hugging Face `datasets` wrote about the columns, without importing it."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, ValueError, TypeError):
        return {}
    return {name: feature for name, feature in (features or {}).items() if isinstance(feature, dict)}


def _declared_names(schema: pa.Schema, label: str) -> tuple[str, ...]:
    """The names of a ClassLabel, in its order; none for other columns."""
    return tuple(printable(str(name)) for name in _features(schema).get(label, {}).get("names", ()))


def _image_columns(schema: pa.Schema, features: dict[str, Any]) -> list[str]:
    declared = [name for name, feature in features.items() if feature.get("_type") == "Image"]
    return declared or [field.name for field in schema if _may_hold_pictures(field)]


def _may_hold_pictures(field: pa.Field) -> bool:
    if pa.types.is_struct(field.type):
        return bool({"bytes", "path"} & {field.type.field(i).name for i in range(field.type.num_fields)})
    if pa.types.is_binary(field.type) or pa.types.is_large_binary(field.type):
        return True
    return _is_text(field.type) and field.name.lower() in IMAGE_NAMES


def _label_columns(schema: pa.Schema, features: dict[str, Any], candidates: list[str]) -> list[str]:
    declared = [name for name in candidates if features.get(name, {}).get("_type") == "ClassLabel"]
    return declared or [name for name in candidates if _may_hold_labels(schema.field(name).type)]


def _may_hold_labels(kind: pa.DataType) -> bool:
    return _may_be_number(kind) or _is_text(_values_of(kind))


def _may_be_number(kind: pa.DataType) -> bool:
    kind = _values_of(kind)
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)


def _values_of(kind: pa.DataType) -> pa.DataType:
    """The type of a column's values: of pandas's categories, that of their names."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def one_column(source: str, what: str, usual: Sequence[str], candidates: list[str], columns: list[str]) -> str:
    """The only candidate, or the only one with a usual name, the most usual first."""
    by_name = [name for known in usual for name in candidates if name.lower() == known]
    if len(candidates) == 1 or by_name:
        return (by_name or candidates)[0]
    if not candidates:
        raise UserError(f"{source} has no column of {what} (its columns are {', '.join(columns)})")
    raise UserError(
        f"{source} has several columns that could be the {what} ({', '.join(candidates)}): "
        f"rename the one that is meant to {usual[0]!r}"
    )


def _files(path: Path) -> list[Path]:
    """The tables that a path stands for: itself, those in a folder, or those whose names it begins.

    Links that lead back to a folder, or to one around it, are not followed.
    """
    suffixes = PARQUET + ARROW
    if path.is_file():
        return [path] if path.suffix.lower() in suffixes else []
    if path.is_dir():
        candidates = _below(str(path), 3)
    else:
        candidates = (file for file in _below(str(path.parent), 1) if _stem(Path(file.name)) == path.name)
    found = sorted(candidates)
    around = [path.resolve()]
    between = {file: [folder for folder in file.parents if path in folder.parents] for file in found}
    return [file for file in found if not any(leads_back(folder, around) for folder in between[file])]


def _below(folder: str, levels: int) -> Iterator[Path]:
    """What has a table's name in a folder, and so many levels down in all. Other files, of which may be a million, are
    no `Path` on the way."""
    try:
        with os.scandir(folder) as found:
            entries = list(found)
    except OSError:
        return
    for entry in entries:
        if entry.name.lower().endswith(PARQUET + ARROW) and not entry.name.startswith((".", "cache-")):
            yield Path(entry.path)
    if levels > 1:
        for entry in entries:
            if _is_folder(entry):
                yield from _below(entry.path, levels - 1)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _with_siblings(path: Path) -> list[Path]:
    """A train table with its other shards and the other splits of the same name beside it; any other table alone."""
    word = _split_word(Path(path.name))
    if word is None or SPELLINGS[word.lower()] != "train":
        return [path]
    same = [file for file in _files(path.parent) if file.parent == path.parent]
    same = [file for file in same if _stem(Path(file.name)) == _stem(Path(path.name))]
    return [file for file in same if _split_word(Path(file.name))]


def _split_word(path: Path) -> str | None:
    """The word of a relative path that names its split, the file's name before its folders'."""
    for part in (path.stem, *reversed(path.parts[:-1])):
        words = [word for word in re.split(r"[^A-Za-z]+", part) if word.lower() in SPELLINGS]
        if len({SPELLINGS[word.lower()] for word in words}) == 1:
            return words[0]
    return None


def _stem(path: Path) -> str:
    """What a file's name says beside split and shard: `cifar10` of `cifar10-train-00000-of-00002.parquet`."""
    stem = re.sub(r"[-_.]?\d+[-_]of[-_]\d+", "", path.stem)
    words = "|".join(SPELLINGS)
    stem = re.sub(rf"(^|[-_.])({words})(?=$|[-_.])", "", stem, flags=re.IGNORECASE).strip("-_.")
    return "" if stem.isdigit() else stem
