"""From pictures to arrays: the one preprocessing, and the pictures of a split at every resolution."""

import threading
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from naturalize.data.dataset import Dataset
from naturalize.data.decode import JPEG_SIDE
from naturalize.data.machine import in_threads, pixel_budget
from naturalize.progress import Progress, silent

FILTER = Image.Resampling.BILINEAR
SHIFTS = ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1), (-1, -1), (1, -1), (-1, 1), (1, 1))  # of view 0, 1, .. 8
SHIFT = 1 / 16  # of a picture's side
STATISTICS_PICTURES = 4096
CHUNK = 32
LARGE = 64**2  # pixels of a colour picture that Pillow resizes sooner by itself than in a stack
UNMADE, UNDER_WAY, MADE = 0, 1, 2  # of a picture at a resolution in a view

Bytes = NDArray[np.uint8]
Kind = tuple[int, int]  # a resolution and a view


@dataclass(frozen=True)
class Preprocessing:
    """What training, calibration, validation, prediction, reports and exports do to a picture, training's noise apart.

    Decode (`read_picture`), convert to grey or RGB, resize the whole picture to r x r without cropping: Pillow's
    bilinear filter with antialiasing, along rows, then along columns. Pillow alone would choose which comes first by
    the picture's form, and its versions choose differently, by a grey level here and there. The network then takes
    (value - mean) / std.

    Args:
        channels: 1 or 3.
        resolution: r in pixels.
        mean, std: per channel, in units of 0..255.
        jpeg_side: what JPEGs are reduced to when they are decoded; None where they are not.
    """

    channels: int
    resolution: int
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    jpeg_side: int | None = JPEG_SIDE

    def __call__(self, picture: Image.Image) -> Bytes:
        """The pixels of a picture, shape `(channels, r, r)`."""
        side = self.resolution
        plain = picture.convert("L" if self.channels == 1 else "RGB")
        pixels = np.asarray(plain.resize((side, plain.height), FILTER).resize((side, side), FILTER))
        return np.ascontiguousarray(pixels.reshape(side, side, self.channels).transpose(2, 0, 1))

    def card(self) -> dict[str, Any]:
        """The description that goes into exported files, for programs (`from_card`) and people (`steps`)."""
        side = self.jpeg_side
        reduce = (
            "decode JPEG and MPO files at 1/s of their size, by the largest s of 8, 4, 2, 1 with which width / s and "
            f"height / s are both at least {side} (Pillow's draft(None, ({side}, {side})), which is libjpeg's scaling)"
        )
        return {
            **asdict(self),
            "mean": list(self.mean),
            "std": list(self.std),
            "mode": "L" if self.channels == 1 else "RGB",
            "resample": "bilinear",
            "crop": "none",
            "layout": "NCHW",
            "range": "0..255",
            "steps": [
                *([] if side is None else [reduce]),
                "turn upright by the orientation tag, lay transparency on white, take 16-bit grey / 256",
                "convert to grey (ITU-R 601)" if self.channels == 1 else "convert to RGB",
                f"resize the whole picture along rows, then along columns, to {self.resolution}x{self.resolution} "
                "(Pillow's BILINEAR, which is antialiased)",
            ],
        }

    @classmethod
    def from_card(cls, card: dict[str, Any]) -> "Preprocessing":
        """The preprocessing that a card describes; JPEGs were not reduced yet where a card does not say so."""
        mean, std = tuple(card["mean"]), tuple(card["std"])
        return cls(card["channels"], card["resolution"], mean, std, card.get("jpeg_side"))


class Pixels:
    """Chosen pictures of a data set at several resolutions, each resized straight from the decoded picture.

    What fits the memory limit is made when it is first asked for and held, smaller resolutions and plainer views first;
    the rest is made again at every call, with the same values. View 0 is the plain picture, exactly as `Preprocessing`
    makes it; views 1 to 8 are the picture moved by 1/16 of its side in eight directions, its edges continued.

    Threads may ask at once: each makes what nobody has begun, and waits for what it needs of the others.

    Args:
        dataset: where the pictures are.
        indices: which, `(n,)`.
        resolutions: in pixels.
        views: 1 to 9.
        memory_limit: in bytes; a quarter of the free memory unless told.
        progress: called as `progress("pixels", done, n)` while n pictures are made, in the thread that asks for them.
        quickly: whether large pictures in view 0 may differ from what `Preprocessing` makes of them, by 1 here and
            there: those that no error is measured on.
    """

    def __init__(
        self,
        dataset: Dataset,
        indices: Sequence[int] | NDArray[np.int64],
        resolutions: Sequence[int],
        views: int = 1,
        memory_limit: int | None = None,
        progress: Progress = silent,
        quickly: bool = False,
    ) -> None:
        self.dataset = dataset
        self.quickly = quickly
        self.indices: NDArray[np.int64] = np.asarray(indices, dtype=np.int64)
        self.labels: NDArray[Any] = dataset.labels[self.indices]
        self.resolutions = tuple(sorted(set(resolutions)))
        self.views = views
        self._progress = progress
        self._decoded = np.array([dataset.holds(index) for index in self.indices.tolist()], dtype=np.bool_)
        self._changed = threading.Condition()
        self._held: dict[Kind, Bytes] = {}
        self._state: dict[Kind, Bytes] = {}
        left = pixel_budget() if memory_limit is None else memory_limit
        for view in range(views):
            for resolution in self.resolutions:
                shape = (len(self), dataset.channels, resolution, resolution)
                left -= int(np.prod(shape))
                if left < 0:
                    break
                self._held[resolution, view] = np.empty(shape, dtype=np.uint8)  # no memory before it is written to
                self._state[resolution, view] = np.full(len(self), UNMADE, dtype=np.uint8)

    def __len__(self) -> int:
        return len(self.indices)

    def __call__(self, rows: NDArray[np.int64] | Sequence[int] | slice, resolution: int, view: int = 0) -> Bytes:
        """The pixels of rows of `indices`, contiguous. Shape `(len(rows), channels, resolution, resolution)`.

        Raises:
            UnreadablePicture: a picture that was readable when it was scanned is not any more.
        """
        kind, wanted = (resolution, view), np.arange(len(self))[rows]
        if kind in self._held:
            self._hold(np.unique(wanted), kind)
            return np.ascontiguousarray(self._held[kind][rows])
        distinct, where = np.unique(wanted, return_inverse=True)
        made = np.empty((len(distinct), self.dataset.channels, resolution, resolution), dtype=np.uint8)
        self._make(distinct, np.arange(len(distinct)), {kind: made})
        return made if np.array_equal(distinct, wanted) else made[where]

    def _hold(self, rows: NDArray[np.int64], kind: Kind) -> None:
        """Makes those of the rows that are not made yet, and waits for those that another thread is making.

        A picture that would have to be decoded again for every kind is made of all kinds at once.
        """
        state = self._state[kind]
        while not (state[rows] == MADE).all():
            with self._changed:
                claimed = rows[state[rows] == UNMADE]
                if not len(claimed):
                    self._changed.wait_for(lambda: (state[rows] != UNDER_WAY).all())
                    continue
                decoded = self._decoded[claimed]
                parts = [(claimed[decoded], [kind]), (claimed[~decoded], [*self._held])]
                self._mark(parts, UNDER_WAY)
            after = UNMADE
            try:
                for some, kinds in parts:
                    self._make(some, some, {each: self._held[each] for each in kinds})
                after = MADE
            finally:
                with self._changed:
                    self._mark(parts, after)
                    self._changed.notify_all()

    def _mark(self, parts: Iterable[tuple[NDArray[np.int64], Sequence[Kind]]], state: int) -> None:
        for rows, kinds in parts:
            for kind in kinds:
                self._state[kind][rows] = state

    def _make(self, rows: NDArray[np.int64], places: NDArray[np.int64], into: dict[Kind, Bytes]) -> None:
        """Puts rows to their places in arrays by kind; every picture is decoded once for all of them."""

        def fill(positions: range) -> None:
            by_size: dict[tuple[int, ...], list[tuple[int, Bytes]]] = {}
            for position in positions:
                picture = self.dataset.pixels(int(self.indices[rows[position]]))
                by_size.setdefault(picture.shape, []).append((int(places[position]), picture))
            for group in by_size.values():
                where, pictures = [place for place, _ in group], [picture for _, picture in group]
                padded = _padded(pictures) if any(view for _, view in into) else pictures
                for (resolution, view), array in into.items():
                    array[where] = (
                        _shifted(padded, pictures[0].shape, resolution, view)
                        if view
                        else _resized(pictures, resolution, quickly=self.quickly)
                    )

        in_threads(fill, len(rows), CHUNK, "pixels", self._progress)


def _resized(
    pictures: Sequence[Bytes] | Bytes,
    side: int,
    box: tuple[float, float, float, float] | None = None,
    quickly: bool = False,
) -> Bytes:
    """Pictures of one size, `(h, w, c)` each, to `(n, c, side, side)`, to the bit as `Preprocessing` makes them.

    All rows of all pictures are one tall picture to the first pass, and all columns to the second, so that two calls
    serve a whole stack of small pictures. Pillow does the colours of a large picture at once, which is quicker.

    Args:
        pictures: of one size.
        side: in pixels.
        box: left, upper, right, lower edge of what is taken of every picture, in its pixels; all unless told.
        quickly: whether large ones may be made by `_resized_quickly`.
    """
    n, (height, width, c) = len(pictures), pictures[0].shape
    left, upper, right, lower = box or (0, 0, width, height)
    if c > 1 and height * width >= LARGE:
        made = np.empty((n, side, side, c), dtype=np.uint8)
        for picture, place in zip(pictures, made, strict=True):
            if quickly and box is None:
                place[:] = _resized_quickly(picture, side)
                continue
            wide = Image.fromarray(picture).resize((side, height), FILTER, (left, 0, right, height))
            place[:] = np.asarray(wide.resize((side, side), FILTER, (0, upper, side, lower)))
        return made.transpose(0, 3, 1, 2)
    stack = np.asarray(pictures)
    rows = _along_rows(stack.transpose(0, 3, 1, 2).reshape(n * c * height, width), side, left, right)
    columns = rows.reshape(n, c, height, side).swapaxes(2, 3).reshape(n * c * side, height)
    return _along_rows(columns, side, upper, lower).reshape(n, c, side, side).swapaxes(2, 3)


def _resized_quickly(picture: Bytes, side: int) -> Bytes:
    """A colour picture `(h, w, c)` to `(side, side, c)` by torch's twin of Pillow's filter, in a third of the time.

    Of a photograph, one value in 700 differs, by 1.
    """
    import torch  # pictures are listed and checked without it

    plain = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None]  # a copy: torch warns of what it must not write to
    made = torch.nn.functional.interpolate(plain, (side, side), mode="bilinear", antialias=True)
    found: Bytes = made[0].permute(1, 2, 0).numpy()
    return found


def _along_rows(rows: Bytes, side: int, start: float, stop: float) -> Bytes:
    tall = Image.fromarray(np.ascontiguousarray(rows))
    return np.asarray(tall.resize((side, len(rows)), FILTER, box=(start, 0, stop, len(rows))))


def _padding(height: int, width: int) -> tuple[int, int]:
    return -(-height // 16), -(-width // 16)


def _padded(pictures: Sequence[Bytes]) -> Bytes:
    """Edges continued on all sides by as much as a view moves, in whole pixels."""
    down, right = _padding(*pictures[0].shape[:2])
    return np.pad(np.stack(pictures), ((0, 0), (down, down), (right, right), (0, 0)), mode="edge")


def _shifted(padded: Sequence[Bytes] | Bytes, shape: tuple[int, ...], side: int, view: int) -> Bytes:
    height, width = shape[:2]
    down, right = _padding(height, width)
    left, upper = right + SHIFTS[view][0] * SHIFT * width, down + SHIFTS[view][1] * SHIFT * height
    return _resized(padded, side, (left, upper, left + width, upper + height))


def statistics(pixels: Pixels, progress: Progress = silent) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel, in units of 0..255, at the largest resolution.

    Of up to 4,096 pictures, evenly spaced: more would hardly move them, and pictures that are not held in memory would
    all be decoded again. `progress` is called as `progress("pixels", done, n)`.
    """
    rows = np.unique(np.linspace(0, len(pixels) - 1, min(len(pixels), STATISTICS_PICTURES)).round().astype(np.int64))
    total = np.zeros(pixels.dataset.channels)
    squares = np.zeros(pixels.dataset.channels)
    side = pixels.resolutions[-1]
    for start in range(0, len(rows), 256):
        progress("pixels", start, len(rows))
        values = pixels(rows[start : start + 256], side).astype(np.float64)
        total += values.sum(axis=(0, 2, 3))
        squares += np.square(values).sum(axis=(0, 2, 3))
    count = len(rows) * side * side
    mean = total / count
    deviation = np.sqrt(np.maximum(squares / count - np.square(mean), 0))
    deviation = np.maximum(deviation, 1.0)  # pictures of one colour all over must not divide by zero
    return tuple(mean.tolist()), tuple(deviation.tolist())
