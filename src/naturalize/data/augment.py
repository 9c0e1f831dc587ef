"""What training adds to a batch: random moves, turns, zooms, flips and cutouts; with masks, moves, zooms and colours.

By hand rather than by Kornia, whose crop alone is a loop over the pictures of the batch; and these leave torch's global
generator alone.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from naturalize.data.dataset import Dataset
from naturalize.data.masks import IGNORED

MOVE = 1 / 8  # of the side: how far a picture moves at most, each way
TURN = math.radians(10)  # at most, each way
ZOOM = 0.1  # share by which a picture grows or shrinks at most
LEAST_SHOWN, MOST_SHOWN = 0.5, 1.2  # share of the side of a picture with a mask that is shown
RECOLOURED, COLOUR = 0.8, 0.6  # share of pictures with masks; by which contrast and saturation change at most
BRIGHTNESS = 1.5  # of that share: how far brightness moves, in standard deviations of all pictures
CUTOUT = 1 / 4  # of the side: the side of the square that is cut out
PIECE = 2**21  # numbers that are worked on at once


class Augment:
    """Moves each picture at random, turns and zooms half of them, flips half, and cuts a square out of half.

    A picture that is neither turned nor zoomed moves by whole pixels and stays as sharp as it is in deployment; one
    that is moves by parts of pixels too. Beyond its edge it is mirrored. The square is filled with 0, which is the mean
    of normalised images, and may lie half outside (DeVries and Taylor, 2017). Figures: docs/benchmarks.md.

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
        drawn = torch.rand((9, n), generator=torch.Generator().manual_seed(seed))
        chances = drawn.to(images.device)
        signed = 2 * chances - 1
        turned = chances[0] < 0.5
        angle = torch.where(turned, TURN * signed[1], 0.0)
        zoom = torch.where(turned, 1 + ZOOM * signed[2], 1.0)
        move = 2 * MOVE * signed[3:5]  # of half a side, as grids count
        move = torch.where(turned, move, (move * side / 2).round() * 2 / side)
        mirror = torch.where(chances[5] < 0.5, -1.0, 1.0) if self.flip else torch.ones_like(angle)
        cos, sin = zoom * angle.cos(), zoom * angle.sin()
        theta = torch.stack([mirror * cos, -sin, move[0], mirror * sin, cos, move[1]], 1).view(n, 2, 3)
        line = torch.arange(side, device=images.device)
        made = torch.empty_like(images)
        for some in pieces(images):
            made[some] = F.grid_sample(
                images[some], _grid(theta[some], line), padding_mode="reflection", align_corners=False
            )
        cut = (drawn[8] < 0.5).nonzero()[:, 0]  # on the CPU: a GPU would be waited for
        down, right = (_square(side, drawn[row, cut]) for row in (6, 7))
        where = cut[:, None, None], down[:, :, None], right[:, None]
        made.permute(0, 2, 3, 1)[tuple(places.to(images.device) for places in where)] = 0
        return made

    def with_masks(self, images: Tensor, masks: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        """The batch with its masks, moved together: pictures are scaled, moved and recoloured, and half are mirrored.

        What lies beyond a picture's edge is mirrored, and ignored in its mask. What is photographed at another hour is
        named far better for other colours (docs/benchmarks.md).

        Args:
            images: as of the call.
            masks: class indices, `(n, any side, the same)`.
            seed: as of the call.

        Returns:
            The images, and masks `(n, side, side)`.
        """
        n = len(images)
        chances = torch.rand((8, n), generator=torch.Generator().manual_seed(seed)).to(images.device)
        shown = LEAST_SHOWN + (MOST_SHOWN - LEAST_SHOWN) * chances[0]
        right, down = (1 - shown).abs() * (2 * chances[1:3] - 1)
        mirror = torch.where(chances[3] < 0.5, -1.0, 1.0) if self.flip else torch.ones_like(shown)
        none = torch.zeros_like(shown)
        theta = torch.stack([mirror * shown, none, right, none, shown, down], 1).view(n, 2, 3)
        grid = F.affine_grid(theta, list(images.shape), align_corners=False)
        moved = F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
        labels = (masks.to(images.dtype) - IGNORED)[:, None]  # so that zeros, beyond the edge, are ignored
        labels = F.grid_sample(labels, grid, mode="nearest", align_corners=False)[:, 0] + IGNORED
        return recoloured(moved, chances[4:]), labels.round().long()


def recoloured(images: Tensor, chances: Tensor) -> Tensor:
    """Change contrast, brightness and saturation of most images at random (Howard, 2013, arXiv 1312.5402, section 2.2).

    Args:
        images: normalised, `(n, c, side, side)`.
        chances: 0..1, `(4, n)`; of the first, whether an image is changed.
    """
    amounts = COLOUR * torch.where(chances[0] < RECOLOURED, 2 * chances[1:] - 1, 0.0)
    contrast, brightness, saturation = amounts[:, :, None, None, None].unbind()
    mean = images.mean((1, 2, 3), keepdim=True)
    images = torch.lerp(mean, images, 1 + contrast) + BRIGHTNESS * brightness
    return torch.lerp(images.mean(1, keepdim=True), images, 1 + saturation)


def pieces(images: Tensor) -> Iterator[slice]:
    """Parts of a batch, of which intermediate results are small: large ones are new pages of memory, each time."""
    size = max(1, PIECE // images[0].numel())
    yield from (slice(start, start + size) for start in range(0, len(images), size))


def _grid(theta: Tensor, line: Tensor) -> Tensor:
    """What `affine_grid` gives for pictures with sides of `line`, `(n, side, side, 2)`, in a sixth of its time."""
    at, moves = (2 * line + 1) / len(line) - 1, theta[:, :, :, None, None]
    return (moves[:, :, 0] * at + (moves[:, :, 1] * at[:, None] + moves[:, :, 2])).permute(0, 2, 3, 1)


def _square(side: int, chance: Tensor) -> Tensor:
    """Positions 0 to `side - 1` that squares cover whose centres lie at `chance` of a side. `(n,) -> (n, size)`."""
    size = max(1, round(side * CUTOUT))
    start = (chance * side).long() - size // 2
    return (start[:, None] + torch.arange(size)).clamp(0, side - 1)


def should_flip(dataset: Dataset) -> bool:
    """Whether left and right can be exchanged: not in written signs.

    Taken for such are scikit-learn's digits, and small grey pictures (up to 40 pixels) whose classes are called by a
    number or a single character each.
    """
    small_grey = dataset.channels == 1 and dataset.side <= 40
    signs = all(len(name) == 1 or name.isdecimal() for name in dataset.class_names)
    return not (dataset.source == "digits" or (small_grey and signs))
