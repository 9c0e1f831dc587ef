"""Readers for arrays from Python and for scikit-learn's digits."""

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from naturalize.data.decode import Opened, damage_told, leaves_white_open, plain_picture
from naturalize.data.masks import checked
from naturalize.data.parts import (
    NO_CLASS,
    SPELLINGS,
    SPLITS,
    Found,
    Note,
    Part,
    in_natural_order,
    label_name,
    left_out,
    splits_named,
)
from naturalize.errors import UserError


def accepts(source: Any) -> bool:
    """Whether the source is arrays: `(X, y)`, or a dictionary of such pairs by split."""
    return isinstance(source, tuple | dict)


def find(source: Any) -> Found:
    """Takes pictures `X` and labels `y` (n integers or names), as a pair or as pairs by split.

    Where `y` is an array `(n, classes)` of 0 and 1, a picture has any number of classes, named 0, 1, 2 and so on.
    Where `y` is an array `(n, H, W)` of whole numbers, or a list of such arrays `(H, W)`, these are masks.
    Pictures whose label is missing (None, nan, empty, masked) are left out, with a note. Pillow's pictures are read as
    files of them would be; those that cannot be decoded count as unreadable files do.

    A picture is `(H, W)`, `(H, W, c)` or `(c, H, W)` with c = 1 (grey), 3 (RGB) or 4 (RGBA, laid on white); `X` is one
    array of them, or a list or tuple of arrays of differing sizes. Values, judged over all pictures together: `uint8`
    as it is; `bool` as black and white; `uint16` divided by 256; floats within 0..1 multiplied by 255; floats and other
    integers within 0..255 rounded. What could be two things is refused: floats and integers whose largest value is
    below 128 (unless floats within 0..1), `uint16` of which nobody says what white is (`leaves_white_open`), and shapes
    that may be read both ways.

    Raises:
        UserError: any other shape, range or type, naming it.
    """
    if isinstance(source, tuple):
        source = {"train": source}
    pairs = {str(name): pair for name, pair in source.items()}
    if unknown := [name for name in pairs if name.lower() not in SPELLINGS]:
        raise UserError(f"arrays of split {unknown[0]!r}: the splits are train, val and test")
    names_of = splits_named("the dictionary of arrays", pairs)
    if "train" not in names_of:
        raise UserError("arrays without 'train': give (X, y), or {'train': (X, y), ...}")
    masked = _hold_masks(pairs[names_of["train"]])
    several = _labels_each(pairs[names_of["train"]])
    pairs_of = {
        split: _checked(split, pairs[names_of[split]], masked, several) for split in SPLITS if split in names_of
    }
    arrays = {
        split: [each for each in pictures if not isinstance(each, Image.Image)]
        for split, (pictures, _) in pairs_of.items()
    }
    scale = _scale({split: listed for split, listed in arrays.items() if listed})
    parts, notes = {}, []
    for split, (pictures, labels) in pairs_of.items():
        rows = [row for row, label in enumerate(labels) if label is not None]
        names = [f"{split}[{row}]" for row in rows]
        unlabelled = [f"{split}[{row}]" for row, label in enumerate(labels) if label is None]
        if unlabelled:
            why = left_out(unlabelled, "picture", "without a label, skipped")
            notes.append(Note("skipped", why, tuple(unlabelled)))
        found = [label for label in labels if label is not None]
        parts[split] = Part(
            names,
            [NO_CLASS] * len(found) if masked else found,
            [_bytes_of(pictures[row]) for row in rows],
            _Pictures([pictures[row] for row in rows], names, scale),
            found.__getitem__ if masked else None,
        )
    texts = [text for part in parts.values() for text in part.labels]
    if several and (all(text.count("1") == 1 for text in texts) or not any("1" in text for text in texts)):
        raise UserError(
            "y of train: give one label per picture, shape (n,), as y.argmax(1); or 0 and 1 for each class, where some "
            "picture has several of them, or none"
        )
    if masked or several:
        return Found("arrays", "arrays", tuple(map(str, range(several))), parts, notes, several=bool(several))
    class_names = in_natural_order(name for part in parts.values() for name in part.labels)
    return Found("arrays", "arrays", class_names, parts, notes)


def find_digits() -> Found:
    """scikit-learn's 1,797 handwritten digits, 8x8 and grey, their 17 levels spread over 0..255."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    pictures = np.round(digits.images * (255 / 16)).astype(np.uint8)
    labels = [str(label) for label in digits.target]
    names = [f"digits[{index}]" for index in range(len(labels))]
    part = Part(names, labels, [64] * len(labels), _Pictures(pictures, names, 1.0))
    return Found("digits", "digits", in_natural_order(labels), {"train": part})


class _Pictures:
    """Makes plain pictures of arrays and of Pillow's pictures."""

    def __init__(self, pictures: Sequence[Any] | NDArray[Any], names: Sequence[str], scale: float) -> None:
        self._pictures = pictures
        self._names = names
        self._scale = scale
        self._lock = threading.Lock()

    def __call__(self, index: int, jpeg_side: int | None) -> Opened:
        picture = self._pictures[index]
        if isinstance(picture, Image.Image):
            with self._lock, damage_told(self._names[index]):  # one picture may stand in several rows
                return plain_picture(picture, self._names[index])
        plain = self._plain(picture)
        return Opened(plain, plain.width, plain.height)

    def _plain(self, values: NDArray[Any]) -> Image.Image:
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


def _hold_masks(pair: Any) -> bool:
    """Whether the second of a pair holds a mask for each picture: arrays of two dimensions."""
    if not (isinstance(pair, tuple | list) and len(pair) == 2):
        return False
    labels = pair[1]
    if isinstance(labels, list | tuple):
        return bool(labels) and all(getattr(label, "ndim", 0) == 2 for label in labels)
    return getattr(labels, "ndim", 0) == 3


def _labels_each(pair: Any) -> int:
    """Number of columns of the second of a pair, where it is `(n, classes)` with two columns or more; 0 elsewhere."""
    if not (isinstance(pair, tuple | list) and len(pair) == 2):
        return 0
    shape: Sequence[int] = getattr(pair[1], "shape", ())
    return int(shape[1]) if len(shape) == 2 and shape[1] > 1 else 0


def _several_of(name: str, given: Any, classes: int) -> list[str]:
    """Labels `(n, classes)` of 0 and 1, a text of them for each picture. Raises `UserError`, by `name`."""
    labels = np.asarray(given)
    if labels.ndim != 2 or labels.shape[1] != classes:
        raise UserError(f"{name} has shape {labels.shape}: the training pictures have {classes} columns of labels")
    if labels.dtype.kind not in "buif" or not np.isin(labels, (0, 1)).all():
        told = next((str(value) for value in labels.ravel().tolist() if value not in (0, 1)), str(labels.dtype))
        raise UserError(f"{name} holds {told}: labels of shape (n, classes) are 0 and 1")
    return ["".join(row) for row in np.where(labels, "1", "0").tolist()]


def _checked(split: str, pair: Any, masked: bool, several: int) -> tuple[Sequence[Any] | NDArray[Any], list[Any]]:
    """Pictures and the class of each, None where the label is missing; or pictures and the mask of each."""
    if not (isinstance(pair, tuple | list) and len(pair) == 2):
        raise UserError(f"arrays of {split}: give a pair (X, y), pictures and labels")
    pictures = _pictures_of(f"X of {split}", pair[0])
    name = f"y of {split}"
    labels: Sequence[Any] = list(pair[1]) if masked else []
    labels = labels or (_several_of(name, pair[1], several) if several else _labels_of(name, pair[1]))
    if len(labels) != len(pictures):
        raise UserError(f"{split} has {len(pictures)} pictures but {len(labels)} {'masks' if masked else 'labels'}")
    if masked:
        return pictures, [checked(np.asarray(mask), f"y of {split}[{row}]") for row, mask in enumerate(labels)]
    if several:
        return pictures, list(labels)
    return pictures, [label_name(label, f"y of {split}[{row}]") for row, label in enumerate(labels)]


def _pictures_of(name: str, given: Any) -> Sequence[Any] | NDArray[Any]:
    """One array of pictures, or a list of arrays and of Pillow's pictures. Raises `UserError`, by `name`."""
    if not isinstance(given, list | tuple):
        given = _array(name, given)
        if given.ndim == 0:
            raise UserError(f"{name} holds no pictures: give an array (n, H, W) or (n, H, W, c), or a list of pictures")
        if given.dtype != object:
            if len(given):
                _check_shape(f"{name}[0]", given.shape[1:])
            return given
    pictures = [
        each if isinstance(each, Image.Image) else _array(f"{name}[{row}]", each) for row, each in enumerate(given)
    ]
    for row, picture in enumerate(pictures):
        if not isinstance(picture, Image.Image):
            _check_shape(f"{name}[{row}]", picture.shape)
    return pictures


def _array(name: str, values: Any) -> NDArray[Any]:
    """Values as an array. Raises `UserError` where rows differ in length or values are masked."""
    if np.ma.is_masked(values):
        raise UserError(f"{name} is masked in places, where it has no pixels: fill them in, as with .filled(0)")
    try:
        return np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as error:  # the last: a tensor with a gradient
        raise UserError(f"{name} cannot be made an array: give pictures as arrays (H, W) or (H, W, c)") from error


def _labels_of(name: str, given: Any) -> list[Any]:
    """Labels one by one, masked ones as None. Raises `UserError`, by `name`, for more than one a picture."""
    several = UserError(f"{name}: give one label per picture, shape (n,)")
    listed = isinstance(given, Sequence) and not isinstance(given, str | bytes)
    if not (listed or hasattr(given, "__array__")) or getattr(given, "ndim", 1) != 1:
        raise several
    convert = next((getattr(given, name) for name in ("to_pylist", "tolist") if hasattr(given, name)), None)
    labels = convert() if convert else list(given)
    if any(getattr(label, "ndim", int(isinstance(label, list | tuple))) for label in labels):
        raise several
    return [None if label is np.ma.masked else label for label in labels]


def _bytes_of(picture: Any) -> int:
    if isinstance(picture, Image.Image):
        return picture.width * picture.height * len(picture.getbands())
    return int(picture.nbytes)


def _check_shape(name: str, shape: tuple[int, ...]) -> None:
    first, last = (len(shape) == 3 and shape[end] in (1, 3, 4) for end in (0, -1))
    if 0 in shape or not (len(shape) == 2 or first or last):
        raise UserError(f"{name} has shape {shape}: a picture is (H, W), (H, W, c) or (c, H, W) with c = 1, 3 or 4")
    if first and last and shape != (1, 1, 1):
        raise UserError(f"{name} has shape {shape}, which may be (H, W, c) or (c, H, W): give another size")


def _scale(arrays: dict[str, list[Any]]) -> float:
    """The factor that brings the pictures of all splits to 0..255."""
    pictures = [each for listed in arrays.values() for each in listed]
    kinds = {picture.dtype.newbyteorder("=") for picture in pictures}
    if len(kinds) > 1:
        raise UserError(f"X mixes types ({', '.join(sorted(map(str, kinds)))}): give one")
    kind = kinds.pop() if kinds else np.dtype(np.uint8)
    if kind == np.uint8:
        return 1.0
    if kind == np.bool_:
        return 255.0
    if kind.kind not in "iuf":
        raise UserError(f"X holds {kind}: give numbers, best uint8 of 0..255")
    lowest = min(float(np.min(picture)) for picture in pictures)
    by_split = {split: max(float(np.max(picture)) for picture in listed) for split, listed in arrays.items()}
    highest = max(by_split.values())
    if kind == np.uint16 and not leaves_white_open(int(highest)):
        scale = 1 / 256
    elif kind.kind == "f" and lowest >= 0 and 0 < highest <= 1:
        scale = 255.0
    elif kind != np.uint16 and lowest >= 0 and 127 < highest <= 255:
        scale = 1.0
    else:
        raise UserError(
            f"X holds {kind} from {lowest:g} to {highest:g}, which leaves open what white is: "
            "give uint8 of 0..255, floats of 0..1, or uint16 that uses its whole range"
        )
    for split, value in by_split.items():
        if 0 < value * scale < 2:
            raise UserError(
                f"X of {split} goes up to {value:g} where others go up to {highest:g}: give all in one range"
            )
    return scale
