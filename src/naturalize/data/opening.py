"""`open_data`: whatever a user has, found by a reader, scanned, checked and split."""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from naturalize.data import masks
from naturalize.data.dataset import Dataset, Entry, unreadable_notes
from naturalize.data.decode import JPEG_SIDE, UnreadablePicture
from naturalize.data.label_columns import check_labels, labels_of, rarest
from naturalize.data.listing import SUFFIXES
from naturalize.data.machine import pixel_budget
from naturalize.data.named import NAMED
from naturalize.data.parts import NO_CLASS, SPLITS, Found, Note, Texts, as_path, counted, left_out, printable, shortened
from naturalize.data.readers import (
    arrays,
    csv_files,
    folder,
    hub,
    idx,
    imagenet,
    lists,
    lists_matlab,
    npz,
    pairs,
    records,
    tables,
    voc,
)
from naturalize.data.readers.embedded import EMBEDDED
from naturalize.data.scan import Room, judged, scan
from naturalize.data.splits import cut
from naturalize.errors import UserError, unknown
from naturalize.progress import Progress, silent
from naturalize.rng import check_seed

READERS = (
    arrays,
    npz,
    csv_files,
    lists,
    lists_matlab,
    records,
    idx,
    imagenet,
    voc,
    tables,
    pairs,
    folder,
)  # it takes any
WITH_COLUMNS = (csv_files, tables)  # of which `classes` may name some
ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar")
FEW, FEW_SHARE = 3, 0.1  # unreadable pictures with which a run still goes on
TINY = 8  # pixels of the short side


def open_data(
    source: Any,
    *,
    classes: Sequence[str] | None = None,
    seed: int = 0,
    strict: bool = False,
    without_classes: bool = False,
    test_fraction: float = 0.2,
    val_fraction: float = 0.16,
    scan_test: bool = False,
    memory_limit: int | None = None,
    jpeg_side: int | None = JPEG_SIDE,
    ignore: Collection[int] = (),
    progress: Progress = silent,
) -> Dataset:
    """Finds, scans and splits a data set.

    Every picture of train and val is decoded once. Where test or val are not given they are cut from train, class by
    class, reproducibly: the cut depends on names, contents and the seed. Nothing is written.

    Args:
        source: a folder of class folders, with or without train/val/test around them; a folder of `images` and `masks`;
            a parquet or Arrow file, a folder of them or the beginning of their names; a CSV or `.npz` file; a published
            data set as it is unpacked (docs/data.md); a Hub name "name" or "user/name" (":configuration" where
            needed); "digits" or "clothing" (embedded); a name of `NAMED`, as "flowers102"; arrays `(X, y)` or
            `{"train": (X, y), ...}` (see `arrays.find`).
        classes: all class names in the order wanted. Classes without pictures are then kept; they are left out, with a
            note, when the list is not given. The order is natural otherwise (1, 2, 10, a, b), or that of a ClassLabel.
            Of masks, the names of their values, ascending.
        seed: of the cut.
        strict: refuse any unreadable picture.
        without_classes: take a folder without class folders too: its pictures have no class, and none become test.
        test_fraction, val_fraction: of the train pictures that are given.
        scan_test: open a given test split too (as `Dataset.scan_test` does later).
        memory_limit: bytes of decoded pixels to hold; a quarter of the free memory unless told. Pictures beyond it are
            decoded again when needed.
        jpeg_side: JPEGs are decoded reduced to no less than that (`open_picture`); None for runs of before that.
        ignore: values of masks that stand for no class, besides 255.
        progress: called as `progress("scan", done, n)`; it may raise.

    Raises:
        UserError: naming the source, folder or picture that cannot be used and what to do.
    """
    check_seed(seed)
    found = (
        folder.find_without_classes(source)
        if without_classes and folder.has_no_classes(source)
        else _find(source, classes or ())
    )
    _drop_empty_splits(found)
    masked = found.parts["train"].mask is not None
    if ignore and not masked:
        raise UserError(f"--ignore names values of masks, and {found.source} has none")
    if masked and jpeg_side is not None:
        jpeg_side = max(jpeg_side, masks.PIXELS_SIDE)
    _take_one_class(found)
    class_names = () if masked else _class_names(found, classes)
    room = Room(pixel_budget() if memory_limit is None else memory_limit)
    entries, unreadable = _scanned(found, room, progress, jpeg_side)
    _check_unreadable(found, () if found.several else class_names, entries, unreadable, strict)
    shares = {"test": test_fraction, "val": val_fraction} if class_names or masked else {"val": val_fraction}
    read = _read_masks(entries, progress) if masked else []
    stay = _conflicts(entries["train"]) if found.several else _only_ones(entries["train"], read)
    splits = _splits(entries, shares, seed, stay, found.several)
    numbers = {name: number for number, name in enumerate(class_names or (NO_CLASS,))}
    _check_validation(class_names, entries, splits["val"], found.several)
    flat = [entry for split in SPLITS for entry in entries.get(split, [])]
    seen = [entry.seen for entry in flat if entry.seen]
    to_train = [entry.seen for entry in (flat[row] for row in splits["train"]) if entry.seen]
    texts = [entry.label for entry in flat]
    labels = labels_of(texts) if found.several else np.array([numbers[text] for text in texts], dtype=np.int64)
    meaning = None
    if masked:
        labels, meaning = _masks(found, flat, splits, read, ignore)
        class_names = _names_of(meaning, classes)
    dataset = Dataset(
        name=found.name,
        source=found.source,
        class_names=class_names,
        labels=labels,
        meaning=meaning,
        splits={split: np.array(rows, dtype=np.int64) for split, rows in splits.items()},
        given={split: len(entries[split]) for split in SPLITS if split in entries},
        paths=Texts(entry.name for entry in flat),
        channels=1 if all(picture.mode == "L" for picture in seen) else 3,
        side=int(np.median([min(picture.width, picture.height) for picture in to_train])),
        jpeg_side=jpeg_side,
        fingerprint=_fingerprint(class_names, flat, splits, labels if masked else None),
        notes=(),
        entries=flat,
        room=room,
        metric=found.metric,
    )
    dataset.notes = (*found.notes, *unreadable_notes(unreadable), *_notes(dataset))
    if scan_test:
        dataset.scan_test(progress, strict)
    return dataset


def _read_masks(entries: dict[str, list[Entry]], progress: Progress) -> list[masks.Read]:
    """The masks of all pictures that were scanned, train first. Raises `UserError` for one that cannot be used."""
    seen = [(entry, entry.seen) for split in SPLITS for entry in entries.get(split, []) if entry.seen]
    side = masks.side_for([entry.seen.size for entry in entries["train"] if entry.seen])
    read = masks.read_all([(entry.part, entry.row, *picture.size) for entry, picture in seen], side, progress)
    for each in read:
        if isinstance(each, UserError):
            raise each
    return [each for each in read if isinstance(each, masks.Read)]


def _only_ones(train: Sequence[Entry], read: Sequence[masks.Read]) -> set[bytes]:
    """Contents of the training pictures of which one alone shows some value: a class has to be learnt."""
    if not read:
        return set()
    shown = np.stack([each.shown for each in read[: len(train)]])
    alone = np.flatnonzero(shown[:, shown.sum(axis=0) == 1].any(axis=1))
    return {train[row].content for row in alone.tolist()}


def _conflicts(train: Sequence[Entry]) -> set[bytes]:
    """Contents of training pictures that stand under several labels."""
    first: dict[bytes, str] = {}
    return {entry.content for entry in train if first.setdefault(entry.content, entry.label) != entry.label}


def _masks(
    found: Found,
    flat: list[Entry],
    splits: dict[str, list[int]],
    read: Sequence[masks.Read],
    ignore: Collection[int],
) -> tuple[NDArray[Any], masks.Meaning]:
    """The masks of all pictures that were scanned as squares of class indices, and what their values mean."""
    rows = [row for row, entry in enumerate(flat) if entry.seen]
    given = [row for row in rows if flat[row].part is found.parts["train"]]
    meaning = masks.meaning_of(read[: len(given)], ignore, found.source)
    side = read[0].square.shape[0]
    labels = np.full((len(flat), side, side), masks.IGNORED, dtype=np.uint8)
    split_of = {row: split for split, rows in splits.items() for row in rows}
    for row, each in zip(rows, read, strict=True):
        labels[row] = meaning.classes(each, flat[row].name, split_of[row])
    if (labels[splits["val"]] == masks.IGNORED).all():
        raise UserError(f"{found.source}: no pixel of the validation masks has a class: nothing could be measured")
    return labels, meaning


def _names_of(meaning: masks.Meaning, wanted: Sequence[str] | None) -> tuple[str, ...]:
    """Names of the classes of masks: those wanted, or their values."""
    if wanted is None:
        return tuple(map(str, meaning.values))
    if len(wanted) != len(meaning.values):
        values = ", ".join(map(str, meaning.values))
        raise UserError(
            f"--classes names {counted(len(wanted), 'class')}, and the masks hold {len(meaning.values)} ({values}): "
            "give a name for each, and --ignore for those that stand for none"
        )
    if repeated := [name for name, number in Counter(wanted).items() if number > 1]:
        raise UserError(f"--classes names {shortened(repeated)} twice")
    return tuple(printable(str(name)) for name in wanted)


def _find(source: Any, classes: Sequence[str]) -> Found:
    if isinstance(source, str) and (source in EMBEDDED or source in NAMED):
        found = EMBEDDED[source]() if source in EMBEDDED else hub.find_named(source)
        if Path(source).exists():
            kind = "embedded" if source in EMBEDDED else "named"
            text = f"{source} is the {kind} data set: write ./{source} for the folder of that name"
            found.notes.append(Note("ignored", text))
        return found
    if isinstance(source, str) and source == "arrays":
        raise UserError("these data came as arrays from Python: pass the same arrays again")
    try:
        for reader in READERS:
            if reader.accepts(source):
                return reader.find(source, classes) if reader in WITH_COLUMNS else reader.find(source)
    except OSError as error:  # a folder that may not be entered, a link that leads to itself, a disk that is gone
        raise UserError(f"{error.filename or source} cannot be read: {error.strerror or error}") from error
    if not isinstance(source, str | os.PathLike):
        raise UserError(f"data of type {type(source).__name__}: give a path, a name, or arrays (X, y)")
    path = as_path(source)
    if path.suffix.lower() in ARCHIVES and path.is_file():
        raise UserError(f"{source} is an archive: unpack it and give the folder")
    if path.exists():
        known = "a folder of class folders nor a parquet or Arrow file, nor another layout of docs/data.md"
        raise UserError(f"{source} is neither {known}")
    if _looks_like_a_path(source) or not hub.accepts(source):
        raise UserError(f"{source}: no such file or folder")
    return hub.find(source, classes)


def _looks_like_a_path(source: str | os.PathLike[str]) -> bool:
    path = Path(source)
    known = (*ARCHIVES, *SUFFIXES, *tables.PARQUET, *tables.ARROW, *csv_files.SUFFIXES, npz.SUFFIX)
    beginning = str(source).startswith((".", "~", os.sep)) or str(source).endswith(("/", os.sep))
    beside = len(path.parts) > 1 and path.parent.is_dir()
    return isinstance(source, Path) or beginning or beside or path.suffix.lower() in known


def _drop_empty_splits(found: Found) -> None:
    if "train" not in found.parts or not found.parts["train"].names:
        raise UserError(f"{found.source} holds no labelled pictures to train on")
    for split in [split for split, part in found.parts.items() if not part.names]:
        del found.parts[split]
        found.notes.append(Note("split", f"no labelled pictures in {split}: it is cut from train in its place"))


def _class_names(found: Found, wanted: Sequence[str] | None) -> tuple[str, ...]:
    """The classes in order: those wanted, or those that have pictures to train on; none where the data have none."""
    if not found.class_names:
        return ()
    if found.several:
        return _label_names(found, None if wanted is None else tuple(printable(str(name)) for name in wanted))
    trained = set(found.parts["train"].labels)
    if len(trained) < 2:
        raise UserError(f"{found.source} holds pictures of one class only, {trained.pop()}: two or more are needed")
    if wanted is not None:
        return _as_wanted(found, tuple(printable(str(name)) for name in wanted))
    for split, part in found.parts.items():
        strange = set(part.labels) - trained
        if untrained := [name for name in found.class_names if name in strange]:
            raise UserError(
                f"{found.source}: {split} holds {shortened(untrained)}, which train does not: labels are matched by "
                "name, so rename or remove them, or list all classes in --classes"
            )
    empty = [name for name in found.class_names if name not in trained]
    if empty:
        message = f"{counted(len(empty), 'class')} without pictures left out: {shortened(empty)}"
        found.notes.append(Note("empty", message, tuple(empty)))
    return tuple(name for name in found.class_names if name in trained)


def _take_one_class(found: Found) -> None:
    """Where each picture has exactly one label, take that as its class."""
    texts = [text for part in found.parts.values() for text in part.labels]
    if not found.several or any(text.count("1") != 1 for text in texts):
        return
    for split, part in found.parts.items():
        names = [found.class_names[text.index("1")] for text in part.labels]
        found.parts[split] = replace(part, labels=names)
    found.several = False
    told = f"each picture has exactly one of the labels {shortened(found.class_names)}: taken as its class"
    found.notes.append(Note("labels", told))


def _label_names(found: Found, wanted: tuple[str, ...] | None) -> tuple[str, ...]:
    """The names of labels, of which a picture may have several: those wanted in place of numbers, or the columns'."""
    names = found.class_names
    if wanted is not None and wanted != names:
        if not all(map(str.isdecimal, names)):
            raise unknown("label in --classes", next((n for n in wanted if n not in names), wanted[0]), names)
        if len(wanted) != len(names) or len(set(wanted)) != len(names):
            raise UserError(f"--classes names {counted(len(wanted), 'class')}, and there are {len(names)} labels")
        names = wanted
    check_labels(found.source, names, found.parts["train"].labels)
    return names


def _as_wanted(found: Found, wanted: tuple[str, ...]) -> tuple[str, ...]:
    for name in wanted:
        if name not in found.class_names:
            raise unknown("class in --classes", name, found.class_names)
    if repeated := [name for name, number in Counter(wanted).items() if number > 1]:
        raise UserError(f"--classes names {shortened(repeated)} twice")
    if missing := [name for name in found.class_names if name not in wanted]:
        raise UserError(
            f"--classes lacks {shortened(missing)}: list all {len(found.class_names)} classes of {found.source}"
        )
    return wanted


def _scanned(
    found: Found, room: Room, progress: Progress, jpeg_side: int | None
) -> tuple[dict[str, list[Entry]], list[UnreadablePicture]]:
    """The usable pictures by split, and the errors of the others; a given test split is left unopened."""
    entries: dict[str, list[Entry]] = {}
    unreadable: list[UnreadablePicture] = []
    scanned = {split: scan(part, room, progress, jpeg_side) for split, part in found.parts.items() if split != "test"}
    together = list(chain(*scanned.values()))
    for split, part in found.parts.items():
        if split == "test":
            entries[split] = [Entry(part, row, None) for row in range(len(part.names))]
            continue
        entries[split] = []
        for row, seen in enumerate(judged(part, scanned[split], together)):
            if isinstance(seen, UnreadablePicture):
                unreadable.append(seen)
            else:
                entries[split].append(Entry(part, row, seen))
    return entries, unreadable


def _check_unreadable(
    found: Found,
    class_names: tuple[str, ...],
    entries: dict[str, list[Entry]],
    unreadable: list[UnreadablePicture],
    strict: bool,
) -> None:
    """Raises when too many pictures are unreadable to go on without them."""
    if not unreadable:
        return
    message = f"{found.source}: " + "; ".join(note.message for note in unreadable_notes(unreadable))
    if strict:
        raise UserError(f"{message} (--strict)")
    had, has = (set(labels) for labels in (found.parts["train"].labels, (entry.label for entry in entries["train"])))
    if lost := [name for name in class_names if name in had - has]:
        raise UserError(f"no readable picture left of {shortened(lost)}: {message}")
    if "val" in entries and not entries["val"]:
        raise UserError(f"no readable picture left in val: {message}")
    damaged = sum(error.package is None for error in unreadable)
    total = len(unreadable) + sum(len(part) for split, part in entries.items() if split != "test")
    if damaged > max(FEW, FEW_SHARE * total):
        raise UserError(f"{damaged} of {total} pictures cannot be read, too many to go on without them: {message}")


def _splits(
    entries: dict[str, list[Entry]], shares: dict[str, float], seed: int, stay: Collection[bytes], several: bool
) -> dict[str, list[int]]:
    """Rows of the concatenated entries by split; splits that are not given are cut from train.

    Contents to `stay`, and those of validation pictures that were given, are not cut.
    """
    splits: dict[str, list[int]] = {}
    start = 0
    for split in SPLITS:
        splits[split] = list(range(start, start + len(entries.get(split, []))))
        start += len(splits[split])
    missing = [split for split in shares if split not in entries]
    train = entries["train"]
    names = [entry.label for entry in train]
    parts = cut(
        rarest(names) if several else names,
        [entry.content for entry in train],
        [shares[split] for split in missing],
        seed,
        stay={*stay, *(entry.content for entry in entries.get("val", []))},
    )
    for split, rows in zip(missing, parts, strict=True):
        splits[split] = rows  # train comes first, so that its positions are rows
        splits["train"] = sorted(set(splits["train"]) - set(rows))
    if not splits["val"]:
        raise UserError("no class has two different pictures, so that none is left for validation: add some")
    return splits


def _check_validation(
    class_names: tuple[str, ...], entries: dict[str, list[Entry]], rows: list[int], several: bool
) -> None:
    """Refuse validation pictures of one class where there are several: by them every network that names it is right."""
    flat = [entry for split in SPLITS for entry in entries.get(split, [])]
    found = {flat[row].label for row in rows}
    if several and len(found) < 2:
        raise UserError("validation would hold pictures of the same labels only: give more pictures, in val too")
    if class_names and len(found) < 2:
        raise UserError(
            f"validation would hold pictures of one class only, {found.pop()}: "
            "give at least two classes two or more different pictures each, in val too where it is given"
        )


def _fingerprint(
    class_names: tuple[str, ...],
    entries: list[Entry],
    splits: dict[str, list[int]],
    labels: NDArray[Any] | None,
) -> str:
    """See `Dataset`; `labels` are masks, of those pictures that were scanned."""
    split_of = [""] * len(entries)
    for split, rows in splits.items():
        for row in rows:
            split_of[row] = split
    digest = hashlib.sha256(json.dumps(class_names).encode())
    for row, entry in enumerate(entries):
        content = entry.seen.content.hex() if entry.seen else entry.part.sizes[entry.row]
        digest.update(json.dumps([entry.name, entry.label, split_of[row], content]).encode())
        if labels is not None and entry.seen:
            digest.update(labels[row].tobytes())
    return digest.hexdigest()


def _notes(dataset: Dataset) -> list[Note]:
    """What the scan and the cut showed."""
    notes = []
    for split, counts in dataset.counts().items():
        if dataset.meaning and split == "test":  # whose masks may not be opened yet
            continue
        absent = [name for name, number in counts.items() if not number]
        if absent and split in dataset.given:
            notes.append(Note("missing", f"{shortened(absent, 8)}: 0 images in {split}", tuple(absent)))
        elif absent:
            message = f"{shortened(absent, 8)}: too few different images for {split}"
            notes.append(Note("single-image class" if split == "val" else "few images", message, tuple(absent)))
    tiny = [entry.name for entry in dataset.entries if entry.seen and min(entry.seen.size) < TINY]
    if tiny:
        notes.append(Note("tiny", left_out(tiny, "picture", f"smaller than {TINY} pixels"), tuple(tiny)))
    notes += _copies(dataset)
    if "val" in dataset.given:
        notes += dataset.shared_notes("val")
    if dataset.room.wanted > dataset.room.limit:
        wanted, limit = dataset.room.wanted / 1e9, dataset.room.limit / 1e9
        message = f"decoded pictures take {wanted:.1f} GB, {limit:.1f} GB are held and the others decoded when needed"
        notes.append(Note("memory", message))
    return notes


def _copies(dataset: Dataset) -> list[Note]:
    numbers = Counter(entry.content for entry in dataset.entries)
    by_content: dict[bytes, list[int]] = {}
    for row, entry in enumerate(dataset.entries):
        if numbers[entry.content] > 1:
            by_content.setdefault(entry.content, []).append(row)
    copies, conflicts, named = [], [], []
    for rows in by_content.values():
        paths = [dataset.paths[row] for row in rows]
        copies += paths[1:]
        if len({dataset.entries[row].label for row in rows}) > 1:
            named += paths
            conflicts.append(" = ".join(paths))
    notes = []
    if copies:
        notes.append(Note("duplicate", left_out(copies, "picture", "the same as another"), tuple(copies)))
    if conflicts:
        message = f"{counted(len(conflicts), 'picture')} under two labels, kept in train: {shortened(conflicts)}"
        notes.append(Note("conflict", message, tuple(named)))
    return notes
