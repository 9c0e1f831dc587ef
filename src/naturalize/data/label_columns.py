"""Labels in columns of 0 and 1: a picture has any number of them."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from naturalize.data.parts import Note, counted, printable, shortened
from naturalize.errors import UserError

BITS = {"0": "0", "1": "1", "0.0": "0", "1.0": "1", "false": "0", "true": "1"}  # what cells hold, as text
MISSING = ("", "nan", "none", "null", "na")
FEWEST = 2  # of one column of 0 and 1, each number is a class


class LabelColumns(NamedTuple):
    """The columns that are labels, in their order, and those beside them; no labels where each picture has a class."""

    names: list[str]
    others: list[str]

    def told(self) -> list[Note]:
        """What to say of those beside them."""
        message = f"columns beside the labels left out: {shortened(self.others)}"
        return [Note("ignored", message, tuple(self.others))] if self.others else []


def label_columns(
    source: str,
    columns: Sequence[Callable[[str], pa.ChunkedArray]],
    names: Sequence[str],
    wanted: Sequence[str],
    usual: Sequence[str],
) -> LabelColumns:
    """The columns of labels among some of the training tables.

    They are those wanted, or all that hold 0 and 1 alone where these are two or more.

    Args:
        source: what errors call the data.
        columns: of each training table, a function from the name of a column to its cells.
        names: of columns that may be labels.
        wanted: names, which may be those of classes in place of columns.
        usual: those of `names` that hold the one class of a picture, by their own names.

    Raises:
        UserError: a column beside others of 0 and 1 holds 0, 1 and something else, or there is one of classes too.
    """
    if wanted and set(wanted) <= set(names):
        if twice := [name for name in wanted if wanted.count(name) > 1]:
            raise UserError(f"--classes names {twice[0]} twice")
        return LabelColumns(list(wanted), [name for name in names if name not in wanted])
    if wanted and usual:
        return LabelColumns([], [])
    names = [name for name in names if name not in usual]
    found = {name: set[str]().union(*(_held(column(name)) for column in columns)) for name in names}
    labels = [name for name, held in found.items() if held and held <= {"0", "1"}]
    if not labels:  # some pictures may have no cells at all
        labels = [name for name, held in found.items() if held - {""} and held <= {"0", "1", ""}]
    if len(labels) < FEWEST:
        return LabelColumns([], [])
    if usual:
        raise UserError(
            f"{source} has a column {usual[0]} and columns of 0 and 1 ({shortened(labels)}), so that a picture may "
            f"have one class or several labels: name the labels, as --classes {','.join(labels[:2])}, or all classes"
        )
    for name, held in found.items():
        if name not in labels and {"0", "1"} < held and len(held) == 3:
            (other,) = held - {"0", "1"}
            raise UserError(
                f"{source}: column {name} holds {other or 'empty cells'} besides 0 and 1, as labels do not: correct "
                f"it, or name the columns of labels, as --classes {','.join(labels)}"
            )
    return LabelColumns(labels, [name for name in names if name not in labels])


def _held(cells: pa.ChunkedArray) -> set[str]:
    """What cells hold, as text, at most some of it; "" for missing ones."""
    return {_text(cell) for cell in pc.unique(cells).slice(0, 2 * len(BITS)).to_pylist()}


def _text(cell: Any) -> str:
    text = str(cell).strip().lower()
    return "" if text in MISSING else BITS.get(text, printable(str(cell)))


def texts_of_labels(
    source: str, names: Sequence[str], columns: Iterable[pa.ChunkedArray], shown: Callable[[int], str]
) -> list[str | None]:
    """Which labels each row has, as a text of 0 and 1; None for a row whose cells are all missing.

    Args:
        source: what errors call the data.
        names: of the columns.
        columns: their cells.
        shown: function from a row to what errors call it.

    Raises:
        UserError: a cell holds something else, or is missing where others of its row are not.
    """
    rows = np.stack([_bits(column) for column in columns], axis=1)
    lacking = (rows == "").all(axis=1)
    if bad := np.argwhere(~np.isin(rows, ("0", "1")) & ~lacking[:, None]).tolist():
        row, column = bad[0]
        told = f"holds {rows[row, column]}" if rows[row, column] else "is empty"
        raise UserError(f"{source}: {names[column]} of {shown(row)} {told}: labels are 0 and 1")
    return [None if lacks else "".join(row) for row, lacks in zip(rows.tolist(), lacking.tolist(), strict=True)]


def _bits(column: pa.ChunkedArray) -> NDArray[np.str_]:
    encoded = pc.dictionary_encode(column, null_encoding="encode").combine_chunks()
    texts = np.array([_text(cell) for cell in encoded.dictionary.to_pylist()])
    return texts[encoded.indices.to_numpy()]


def labels_of(texts: Sequence[str]) -> NDArray[np.uint8]:
    """Which labels each of n pictures has, 0 and 1, `(n, classes)`, of texts of them."""
    return np.frombuffer("".join(texts).encode(), dtype=np.uint8).reshape(len(texts), -1) - ord("0")


def rarest(texts: Sequence[str]) -> list[str]:
    """The rarest label of each picture, as the place of its column; empty where it has none."""
    labels = labels_of(texts)
    often = np.where(labels, labels.sum(axis=0, dtype=np.int64), len(texts) + 1)
    places = often.argmin(axis=1).tolist()
    return [str(place) if "1" in text else "" for place, text in zip(places, texts, strict=True)]


def check_labels(source: str, names: Sequence[str], texts: Sequence[str]) -> None:
    """Raise `UserError` for labels that all training pictures have, or none."""
    shares = labels_of(texts).mean(axis=0)
    for share, word in ((0, "0"), (1, "1")):
        if alike := [name for name, there in zip(names, shares.tolist(), strict=True) if there == share]:
            kept = [name for name in names if name not in alike]
            raise UserError(
                f"{source}: {shortened(alike)} {'is' if len(alike) == 1 else 'are'} {word} for every training picture, "
                f"so that nothing can be learnt: leave out {counted(len(alike), 'label')}"
                + (f", as --classes {','.join(kept)}" if len(kept) >= FEWEST else "")
            )
