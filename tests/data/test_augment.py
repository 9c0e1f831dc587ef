import numpy as np
import pytest
import torch

from naturalize.data import open_data
from naturalize.data.augment import Augment, should_flip


def test_a_seed_gives_the_same_batch_and_leaves_the_global_generator_alone() -> None:
    images = torch.rand(16, 3, 32, 32)
    kept = images.clone()
    state = torch.get_rng_state()
    augment = Augment(flip=True)
    assert torch.equal(augment(images, 3), augment(images, 3))
    assert not torch.equal(augment(images, 3), augment(images, 4))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(images, kept)


@pytest.mark.parametrize("side", [8, 31, 64])
def test_every_value_is_one_of_the_picture_or_zero(side: int) -> None:
    images = torch.arange(1.0, 1 + side * side).reshape(1, 1, side, side).repeat(64, 1, 1, 1)
    made = Augment(flip=True)(images, 1)
    assert made.shape == images.shape
    assert made.is_contiguous()
    values, counts = made.unique(return_counts=True)
    assert set(values.tolist()) <= {0.0, *images.unique().tolist()}
    share = counts[0] / made.numel()
    assert 0.01 < share < 1.3 / 32, "a square of a quarter of the side, sometimes half outside, in half of the pictures"
    assert 0.25 < (made == 0).any(3).any(2).float().mean() < 0.75


def test_pictures_move_by_up_to_an_eighth_and_half_of_them_are_flipped() -> None:
    side = 32
    ramp = torch.arange(1.0, side + 1).expand(400, 1, side, side).contiguous()
    made = Augment(flip=True)(ramp, 5)
    middle = made[:, 0].amax(1)  # of every column: one value, as the square covers no column whole
    rising = middle[:, 20] > middle[:, 12]
    assert 0.4 < (~rising).float().mean() < 0.6
    shift = (middle[rising][:, 16] - 17).tolist()
    assert set(shift) == set(range(-4, 5))
    assert (Augment(flip=False)(ramp, 5)[:, 0].amax(1).diff(dim=1)[:, 8:24] > 0).all()


def test_one_seed_does_the_same_at_every_resolution() -> None:
    def cut_out(side: int) -> tuple[float, float]:
        hole = Augment(flip=False)(torch.ones(1, 1, side, side), 10)[0, 0] == 0
        rows, columns = torch.nonzero(hole).float().mean(0).tolist()
        return rows / side, columns / side

    assert np.allclose(cut_out(32), cut_out(64), atol=0.05)


def test_signs_are_not_flipped_and_photographs_are() -> None:
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 256, (12, 28, 28), dtype=np.uint8)
    large = rng.integers(0, 256, (12, 64, 64), dtype=np.uint8)
    colour = rng.integers(0, 256, (12, 28, 28, 3), dtype=np.uint8)
    signs, things = ["a", "10"] * 6, ["cat", "dog"] * 6
    assert not should_flip(open_data((grey, signs)))
    assert should_flip(open_data((grey, things)))
    assert should_flip(open_data((large, signs)))
    assert should_flip(open_data((colour, signs)))
    assert not should_flip(open_data("digits"))
