"""What training adds to a batch: random crops, flips and cutouts.

By hand rather than by Kornia, whose crop is a loop over the pictures of the batch: for 128 pictures of 3x32x32 its
three steps took 5.3 ms or more on two CPU threads, these 1.3, and these leave torch's global generator alone.
"""

import torch
from torch import Tensor

from naturalize.data.dataset import Dataset

CROP = 1 / 8  # of the side: how far a picture moves at most, each way
CUTOUT = 1 / 4  # of the side: the side of the square that is cut out


class Augment:
    """Moves each picture at random, flips half of them, and cuts a square out of half of them.

    The picture is mirrored where it is moved away from its edge; the square is filled with 0, which is the mean of
    normalised images, and may lie half outside (DeVries and Taylor, 2017). Cut out of every picture it costs the
    smallest networks more than it gives the others (docs/benchmarks.md).

    Args:
        flip: whether a mirrored picture still is one of its class (see `should_flip`).
    """

    def __init__(self, flip: bool) -> None:
        self.flip = flip

    def __call__(self, images: Tensor, seed: int) -> Tensor:
        """The augmented batch, a new tensor; the same for the same seed, on any device.

        Args:
            images: normalised, float, `(n, c, side, side)`.
            seed: of all draws. They are fractions of the side, so that one seed does the same at every resolution.
        """
        n, _, side, _ = images.shape
        chances = torch.rand((6, n, 1), generator=torch.Generator().manual_seed(seed)).to(images.device)
        line = torch.arange(side, device=images.device)
        move = round(side * CROP)
        rows = _mirrored(line + (chances[0] * (2 * move + 1)).long() - move, side)
        columns = _mirrored(line + (chances[1] * (2 * move + 1)).long() - move, side)
        if self.flip:
            columns = torch.where(chances[2] < 0.5, columns.flip(1), columns)
        moved = images.gather(2, rows[:, None, :, None].expand_as(images))
        moved = moved.gather(3, columns[:, None, None, :].expand_as(images))
        hole = _within(line, chances[3])[:, None, :, None] & _within(line, chances[4])[:, None, None, :]
        return moved.masked_fill_(hole & (chances[5] < 0.5)[:, :, None, None], 0)


def _mirrored(positions: Tensor, side: int) -> Tensor:
    """Positions up to `side - 1` beyond either edge, mirrored at it. Shape kept."""
    last = side - 1
    return last - (last - positions.abs()).abs()


def _within(line: Tensor, chance: Tensor) -> Tensor:
    """Which positions of the line a square covers whose centre lies at `chance` of it. Shape `(n, side)`."""
    size = max(1, round(len(line) * CUTOUT))
    start = (chance * len(line)).long() - size // 2
    return (line >= start) & (line < start + size)


def should_flip(dataset: Dataset) -> bool:
    """Whether left and right can be exchanged: not in written signs.

    Taken for such are scikit-learn's digits, and small grey pictures (up to 40 pixels) whose classes are called by a
    number or a single character each.
    """
    small_grey = dataset.channels == 1 and dataset.side <= 40
    signs = all(len(name) == 1 or name.isdecimal() for name in dataset.class_names)
    return not (dataset.source == "digits" or (small_grey and signs))
