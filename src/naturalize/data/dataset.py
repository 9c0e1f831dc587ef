"""A scanned, split data set."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from naturalize.data.decode import UnreadablePicture
from naturalize.data.masks import Meaning, read_all
from naturalize.data.named import MEAN_PER_CLASS
from naturalize.data.parts import SPLITS, Note, Part, counted, left_out, shortened
from naturalize.data.scan import Room, Seen, judged, scan
from naturalize.errors import UserError
from naturalize.progress import Progress, silent


class Entry(NamedTuple):
    """One picture of a data set: where to open it, and what the scan saw of it, unless it was not scanned."""

    part: Part
    row: int
    seen: Seen | None

    @property
    def name(self) -> str:
        """What the picture is called."""
        return self.part.names[self.row]

    @property
    def label(self) -> str:
        """Its class name."""
        return self.part.labels[self.row]

    @property
    def content(self) -> bytes:
        """What copies of it have in common. Of a picture that was not opened, only itself is known to be the same."""
        return self.seen.content if self.seen else f"unseen {self.name}".encode(errors="surrogatepass")


@dataclass(eq=False)
class Dataset:
    """Pictures with class names, cut into splits. Made by `open_data`.

    Attributes:
        name: short, for people.
        source: opens it again: an absolute path, a Hub name or "digits"; "arrays" cannot be opened again.
        class_names: in the one order that labels, files and outputs have; empty for pictures without classes.
        labels: `(n,)` position in `class_names` of every picture of every split; 0 where there are no classes. Where
            pictures may have several, which they have, `(n, classes)` of 0 and 1, uint8. Where they have masks, these:
            squares `(n, side, side)` of such positions, uint8, `masks.IGNORED` elsewhere.
        meaning: of the values in mask files; None where pictures have classes.
        splits: sorted indices of pictures by "train", "val" and "test".
        given: number of pictures in the splits that the data came with; only "train" where they were not split.
        paths: what each of the n pictures is called: relative with '/', or "train[17]".
        channels: 1 when every picture of train and val is stored as grey, else 3.
        side: median of the short sides of the train pictures, in pixels, as they are in their files.
        jpeg_side: what JPEGs are reduced to when they are decoded (`open_picture`); None where they are not.
        fingerprint: SHA-256 of names, labels and splits, of the decoded pixels of train and val, and of what was cut as
            test; of a given test split the names and file sizes count, not the pixels.
        notes: what was left out or looks odd.
        metric: accuracy that the field reports on it, one of `named.METRICS`; None where that is not known.
    """

    name: str
    source: str
    class_names: tuple[str, ...]
    labels: NDArray[Any] = field(repr=False)
    meaning: Meaning | None
    splits: dict[str, NDArray[np.int64]] = field(repr=False)
    given: dict[str, int]
    paths: Sequence[str] = field(repr=False)
    channels: int
    side: int
    jpeg_side: int | None
    fingerprint: str
    notes: tuple[Note, ...] = field(repr=False)
    entries: list[Entry] = field(repr=False)
    room: Room = field(repr=False)
    metric: str | None = None

    @property
    def several(self) -> bool:
        """Whether a picture may have several classes, or none."""
        return self.labels.ndim == 2

    @property
    def given_test(self) -> bool:
        """Whether the test split came with the data. No picture of it is opened before `scan_test`."""
        return "test" in self.given

    def picture(self, index: int) -> Image.Image:
        """The decoded picture, upright, in mode "L" when the data set has one channel, else "RGB".

        Raises:
            UnreadablePicture: naming it.
        """
        entry = self.entries[index]
        if entry.seen is not None and entry.seen.pixels is not None:
            picture = Image.fromarray(entry.seen.pixels)
        else:
            picture = entry.part.open(entry.row, self.jpeg_side).picture
        return picture.convert("L" if self.channels == 1 else "RGB")

    def holds(self, index: int) -> bool:
        """Whether the decoded picture is in memory."""
        seen = self.entries[index].seen
        return seen is not None and seen.pixels is not None

    def pixels(self, index: int) -> NDArray[np.uint8]:
        """The pixels of `picture`, shape `(height, width, channels)`. Not to be written to."""
        seen = self.entries[index].seen
        if seen is not None and seen.pixels is not None and (seen.mode == "L") == (self.channels == 1):
            pixels = seen.pixels
        else:
            pixels = np.asarray(self.picture(index))
        return pixels.reshape(*pixels.shape[:2], self.channels)

    def counts(self) -> dict[str, dict[str, int]]:
        """Number of pictures by split and class name; with masks, of those that show the class."""
        return {split: self._count(rows) for split, rows in self.splits.items()}

    def _count(self, rows: NDArray[np.int64]) -> dict[str, int]:
        if not self.class_names:
            return {}
        if self.meaning:
            numbers = np.zeros(256, dtype=np.int64)
            for row in rows.tolist():
                numbers += np.bincount(self.labels[row].ravel(), minlength=256) > 0
            numbers = numbers[: len(self.class_names)]
        elif self.several:
            numbers = self.labels[rows].sum(axis=0, dtype=np.int64)
        else:
            numbers = np.bincount(self.labels[rows], minlength=len(self.class_names))
        return dict(zip(self.class_names, numbers.tolist(), strict=True))

    def summary(self) -> list[str]:
        """What to print before training: the data, the splits, and a line for each kind of note."""
        colour = "grey" if self.channels == 1 else "colour"
        named = f"{counted(len(self.class_names), 'class')} ({shortened(self.class_names, 8)})"
        kind = "masks of " * bool(self.meaning) + "any of " * self.several
        classes = f"{kind}{named}" if self.class_names else "no classes"
        metric = [] if self.metric is None else [f"the field reports {self.metric} accuracy on it"]
        if self.metric == MEAN_PER_CLASS:
            metric.append("the balanced error, which is 100% less that, is shown beside the error")
        return [
            f"{self.name}: {classes}, {colour} pictures, short side {self.side} px (median)",
            self._splits_in_words(),
            *metric,
            *(note.message for note in self.notes),
        ]

    def _splits_in_words(self) -> str:
        as_given = ", ".join(f"{split} {number:,}" for split, number in self.given.items())
        cut = ", ".join(f"{split} {len(self.splits[split]):,}" for split in SPLITS if split not in self.given)
        if not cut:
            return f"{as_given} as given"
        if list(self.given) == ["train"]:
            by_class = (
                " by rarest label" if self.several else " by class" if self.class_names and not self.meaning else ""
            )
            return f"train {len(self.splits['train']):,}, {cut}, cut from {self.given['train']:,} pictures{by_class}"
        return f"{as_given} as given; {cut} cut from train, which keeps {len(self.splits['train']):,}"

    def scan_test(self, progress: Progress = silent, strict: bool = False) -> None:
        """Opens a given test split: for the final measurement, or to check the data.

        Unreadable pictures leave `splits["test"]` and are noted, as are pictures that stand in train or val too.

        Raises:
            UserError: `strict`, and a picture is unreadable.
        """
        rows = self.splits["test"]
        if not len(rows) or self.entries[rows[0]].seen is not None:
            return
        part = self.entries[rows[0]].part
        opened = scan(part, self.room, progress, self.jpeg_side)
        seen = judged(part, opened, [*opened, *(entry.seen for entry in self.entries)])
        unreadable = [error for error in seen if isinstance(error, UnreadablePicture)]
        notes = unreadable_notes(unreadable)
        if strict and unreadable:
            raise UserError(f"{notes[0].message} (--strict)")
        for index in rows.tolist():
            entry = self.entries[index]
            found = seen[entry.row]
            self.entries[index] = entry._replace(seen=found if isinstance(found, Seen) else None)
        bad = self._read_test_masks(rows.tolist(), progress) if self.meaning else {}
        if strict and bad:
            raise UserError(f"{next(iter(bad.values()))} (--strict)")
        if bad:
            told = f"{counted(len(bad), 'mask')} of test skipped: {shortened(list(bad.values()), 1)}"
            notes.append(Note("skipped", told, tuple(self.paths[index] for index in bad)))
        kept = [index for index in rows.tolist() if self.entries[index].seen and index not in bad]
        self.splits["test"] = np.array(kept, dtype=np.int64)
        self.notes += (*notes, *self.shared_notes("test"))

    def _read_test_masks(self, rows: list[int], progress: Progress) -> dict[int, str]:
        """Reads the masks of test pictures; returns by row why one cannot be used."""
        assert self.meaning is not None, "pictures have masks"
        seen = [(index, entry, entry.seen) for index in rows if (entry := self.entries[index]).seen]
        wanted = [(entry.part, entry.row, *picture.size) for _, entry, picture in seen if picture]
        bad = {}
        for (index, entry, _), read in zip(seen, read_all(wanted, self.labels.shape[1], progress), strict=True):
            try:
                if isinstance(read, UserError):
                    raise read
                self.labels[index] = self.meaning.classes(read, entry.name, "test")
            except UserError as error:
                bad[index] = str(error)
        return bad

    def shared_notes(self, split: str) -> list[Note]:
        """Pictures of one given split of which a copy stands in another."""
        elsewhere = {
            self.entries[index].content
            for other, rows in self.splits.items()
            if other != split
            for index in rows.tolist()
        }
        shared = [
            self.paths[index] for index in self.splits[split].tolist() if self.entries[index].content in elsewhere
        ]
        if not shared:
            return []
        return [Note("duplicate", left_out(shared, "picture", f"of {split} also in another split"), tuple(shared))]


def unreadable_notes(unreadable: Sequence[UnreadablePicture]) -> list[Note]:
    """One note on damaged pictures, and one for each decoder that is not installed."""
    by_package: dict[str | None, list[UnreadablePicture]] = {}
    for error in unreadable:
        by_package.setdefault(error.package, []).append(error)
    notes = []
    for package, errors in by_package.items():
        if package is None:
            named = [f"{error.name} ({error.reason})" for error in errors]
            message = f"{counted(len(errors), 'unreadable picture')} skipped: {shortened(named)}"
        else:
            names = [error.name for error in errors]
            kind = "HEIC" if package == "pillow-heif" else "AVIF"
            message = f"{counted(len(errors), f'{kind} file')} skipped: install {package} to use {shortened(names)}"
        notes.append(Note("skipped", message, tuple(error.name for error in errors)))
    return notes
