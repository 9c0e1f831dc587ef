"""Opening every picture once, before anything is trained on: what is damaged, how large, which are copies."""

import hashlib
import sys
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from naturalize.data.decode import UnreadablePicture, leaves_white_open, without_warnings, without_white
from naturalize.data.machine import in_threads
from naturalize.data.parts import Part
from naturalize.progress import Progress

CHUNK = 16  # pictures between two calls of progress: a second or two of large photographs


@dataclass(frozen=True, slots=True)
class Seen:
    """What the scan keeps of a picture: its content's hash, its size in the file, its pixels where there was room.

    `highest` is the largest value of its 16-bit pixels; None where it has others.
    """

    content: bytes
    mode: str
    width: int
    height: int
    highest: int | None
    pixels: NDArray[np.uint8] | None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in the file."""
        return self.width, self.height


class Room:
    """Bytes left for decoded pixels, shared by the scan's threads."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.wanted = 0
        self._left = limit
        self._lock = threading.Lock()

    def take(self, size: int) -> bool:
        """Whether there is room for `size` bytes more, which are then taken."""
        with self._lock:
            self.wanted += size
            fits = size <= self._left
            if fits:
                self._left -= size
            return fits


def scan(part: Part, room: Room, progress: Progress, jpeg_side: int | None) -> list[Seen | UnreadablePicture]:
    """Decodes every picture of a part, in threads; of those that cannot be read, the error stands in the list.

    Pictures of 16 bits are for `judged` to judge, when all that belong together are seen.
    """

    def look(rows: range) -> list[Seen | UnreadablePicture]:
        return [_look(part, row, room, jpeg_side) for row in rows]

    with without_warnings():
        chunks = in_threads(look, len(part.names), CHUNK, "scan", progress)
    return [seen for chunk in chunks for seen in chunk]


def _look(part: Part, row: int, room: Room, jpeg_side: int | None) -> Seen | UnreadablePicture:
    try:
        picture, width, height, highest = part.open(row, jpeg_side)
    except UnreadablePicture as error:
        return error.with_traceback(None)  # a traceback would keep the file's bytes and half a picture in memory
    pixels = np.asarray(picture)
    content = hashlib.sha256(f"{picture.mode} {(width, height)}".encode())
    content.update(pixels.data)
    kept = pixels if room.take(pixels.nbytes) else None
    return Seen(content.digest(), sys.intern(picture.mode), width, height, highest, kept)


def judged(
    part: Part, seen: Sequence[Seen | UnreadablePicture], together: Iterable[object]
) -> list[Seen | UnreadablePicture]:
    """What was seen of a part; its 16-bit pictures are unreadable where all of them leave open what white is.

    Args:
        part: of which `seen` was seen.
        together: all that was seen of the data set, the part included.
    """
    highest = max((each.highest for each in together if isinstance(each, Seen) and each.highest is not None), default=0)
    if not leaves_white_open(highest):
        return list(seen)
    return [
        without_white(part.names[row]) if isinstance(each, Seen) and each.highest is not None else each
        for row, each in enumerate(seen)
    ]
