"""Readers for arrays from Python and for scikit-learn's digits."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from naturalize.data.decode import Opened, plain_picture
from naturalize.data.parts import SPELLINGS, SPLITS, Found, Note, Part, in_natural_order, label_name, left_out
from naturalize.errors import UserError

FULL_16_BIT = 2**14  # what the brightest value of 16-bit pictures reaches at least, or they hold fewer bits


def accepts(source: Any) -> bool:
    """Whether the source is arrays: `(X, y)`, or a dictionary of such pairs by split."""
    return isinstance(source, tuple | dict)


def find(source: Any) -> Found:
    """Takes pictures `X` and labels `y` (n integers or names), as a pair or as pairs by split.

    Pictures whose label is missing (None, nan, empty) are left out, with a note. Pillow's pictures are read as files of
    them would be.

    A picture is `(H, W)`, `(H, W, c)` or `(c, H, W)` with c = 1 (grey), 3 (RGB) or 4 (RGBA, laid on white); `X` is one
    array of them or a sequence of arrays of differing sizes. Values, judged over all pictures together: `uint8` as it
    is; `bool` as black and white; `uint16` divided by 256; floats within 0..1 multiplied by 255; floats and other
    integers within 0..255 rounded. What could be two things is refused: floats and integers whose largest value is
    below 128 (unless floats within 0..1), `uint16` whose largest value uses 14 of its bits or fewer (cameras give 10 or
    12), and shapes that may be read both ways.

    Raises:
        UserError: any other shape, range or type, naming it.
    """
    if isinstance(source, tuple):
        source = {"train": source}
    pairs: dict[str, Any] = {}
    for split, pair in source.items():
        if str(split).lower() not in SPELLINGS:
            raise UserError(f"arrays of split {split!r}: the splits are train, val and test")
        name = SPELLINGS[str(split).lower()]
        if name in pairs:
            raise UserError(f"arrays of two splits that are both {name}: give one")
        pairs[name] = pair
    if "train" not in pairs:
        raise UserError("arrays without 'train': give (X, y), or {'train': (X, y), ...}")
    checked = {split: _checked(split, pairs[split]) for split in SPLITS if split in pairs}
    scale = _scale([picture for pictures, _ in checked.values() for picture in pictures])
    parts, notes = {}, []
    for split, (pictures, labels) in checked.items():
        of_row = {f"{split}[{row}]": label for row, label in enumerate(labels)}
        rows = [row for row, label in enumerate(labels) if label is not None]
        unlabelled = [name for name, label in of_row.items() if label is None]
        if unlabelled:
            why = left_out(unlabelled, "picture", "without a label, skipped")
            notes.append(Note("skipped", why, tuple(unlabelled)))
        parts[split] = Part(
            [name for name, label in of_row.items() if label is not None],
            [label for label in labels if label is not None],
            [int(np.asarray(pictures[row]).nbytes) for row in rows],
            _Pictures(pictures, rows, scale),
        )
    names = in_natural_order(name for part in parts.values() for name in part.labels)
    return Found("arrays", "arrays", names, parts, notes)


def find_digits() -> Found:
    """scikit-learn's 1,797 handwritten digits, 8x8 and grey, their 17 levels spread over 0..255."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    pictures = np.round(digits.images * (255 / 16)).astype(np.uint8)
    labels = [str(label) for label in digits.target]
    names = [f"digits[{index}]" for index in range(len(labels))]
    part = Part(names, labels, [64] * len(labels), _Pictures(pictures, range(len(labels)), 1.0))
    return Found("digits", "digits", in_natural_order(labels), {"train": part})


class _Pictures:
    def __init__(self, pictures: Sequence[Any] | NDArray[Any], rows: Sequence[int], scale: float) -> None:
        self._pictures = pictures
        self._rows = rows
        self._scale = scale

    def __call__(self, index: int, jpeg_side: int | None) -> Opened:
        picture = self._picture(index)
        return Opened(picture, picture.width, picture.height)

    def _picture(self, index: int) -> Image.Image:
        values = np.asarray(self._pictures[self._rows[index]])
        if values.dtype != np.uint8:
            values = np.round(values * self._scale) if self._scale >= 1 else np.floor(values * self._scale)
            values = values.astype(np.uint8)
        if values.ndim == 2:
            return Image.fromarray(values)
        if values.shape[-1] not in (1, 3, 4):
            values = np.moveaxis(values, 0, -1)
        if values.shape[-1] == 1:
            return Image.fromarray(np.ascontiguousarray(values[..., 0]))
        picture = Image.fromarray(np.ascontiguousarray(values))
        if values.shape[-1] == 3:
            return picture
        on_white = Image.new("RGB", picture.size, "white")
        on_white.paste(picture, mask=picture.getchannel("A"))
        return on_white


def _checked(split: str, pair: Any) -> tuple[Any, list[str | None]]:
    """Pictures and the class of each, None where the label is missing."""
    if not (isinstance(pair, tuple | list) and len(pair) == 2):
        raise UserError(f"arrays of {split}: give a pair (X, y), pictures and labels")
    pictures, y = pair
    if not isinstance(pictures, list):
        pictures = np.asarray(pictures)
        pictures = list(pictures) if pictures.dtype == object else pictures
    if isinstance(pictures, list):
        names = (f"X of {split}[{row}]" for row in range(len(pictures)))
        pictures = [_plain(each, name) for each, name in zip(pictures, names, strict=True)]
    labels = np.asarray(y, dtype=None if isinstance(y, np.ndarray) else object)
    if labels.ndim != 1:
        raise UserError(f"y of {split} has shape {labels.shape}: give one label per picture, shape (n,)")
    if len(labels) != len(pictures):
        raise UserError(f"{split} has {len(pictures)} pictures but {len(labels)} labels")
    for index, picture in enumerate(pictures):
        _check_shape(f"X of {split}[{index}]", np.shape(picture))
        if not isinstance(pictures, list):
            break
    return pictures, [label_name(label, f"y of {split}[{row}]") for row, label in enumerate(labels.tolist())]


def _plain(picture: Any, name: str) -> Any:
    """A Pillow picture as a file of it would be read, by its palette and its colours; all else as it is."""
    if not isinstance(picture, Image.Image):
        return picture
    return np.asarray(plain_picture(picture.copy(), name).picture)


def _check_shape(name: str, shape: tuple[int, ...]) -> None:
    first, last = (len(shape) == 3 and shape[end] in (1, 3, 4) for end in (0, -1))
    if 0 in shape or not (len(shape) == 2 or first or last):
        raise UserError(f"{name} has shape {shape}: a picture is (H, W), (H, W, c) or (c, H, W) with c = 1, 3 or 4")
    if first and last and shape != (1, 1, 1):
        raise UserError(f"{name} has shape {shape}, which may be (H, W, c) or (c, H, W): give another size")


def _scale(pictures: Sequence[Any]) -> float:
    """The factor that brings all pictures to 0..255."""
    kinds = {str(np.asarray(picture).dtype) for picture in pictures}
    if len(kinds) > 1:
        raise UserError(f"X mixes types ({', '.join(sorted(kinds))}): give one")
    kind = np.dtype(kinds.pop()) if kinds else np.dtype(np.uint8)
    if kind == np.uint8:
        return 1.0
    if kind == np.bool_:
        return 255.0
    if kind.kind not in "iuf":
        raise UserError(f"X holds {kind}: give numbers, best uint8 of 0..255")
    lowest = min(float(np.min(picture)) for picture in pictures)
    highest = max(float(np.max(picture)) for picture in pictures)
    if kind == np.uint16 and highest >= FULL_16_BIT:
        return 1 / 256
    if kind.kind == "f" and lowest >= 0 and 0 < highest <= 1:
        return 255.0
    if kind != np.uint16 and lowest >= 0 and 127 < highest <= 255:
        return 1.0
    raise UserError(
        f"X holds {kind} from {lowest:g} to {highest:g}, which leaves open what white is: "
        "give uint8 of 0..255, floats of 0..1, or uint16 that uses its whole range"
    )
