import numpy as np
import pytest
import torch

from naturalize.data import augment, open_data
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
def test_half_of_the_pictures_are_neither_turned_nor_zoomed_and_keep_their_values(side: int) -> None:
    images = torch.rand(400, 1, side, side)
    made = Augment(flip=True)(images, 1)
    assert made.shape == images.shape
    sharp = [bool(torch.isin((new * 1e4).round(), (old * 1e4).round()).logical_or(new == 0).float().mean() > 0.9)
             for new, old in zip(made, images, strict=True)]  # fmt: skip
    assert 0.4 < np.mean(sharp) < 0.6


def test_squares_are_cut_out_of_half_of_the_pictures() -> None:
    made = Augment(flip=True)(torch.ones(400, 1, 32, 32), 1)
    holes = made == 0
    assert 0.4 < holes.flatten(1).any(1).float().mean() < 0.6
    share = holes.float().mean()
    assert 0.6 / 32 < share < 1 / 32, "a square of a quarter of the side, sometimes half outside"


def test_pictures_move_turn_and_zoom_within_bounds_and_half_of_them_are_flipped() -> None:
    side = 64
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    ramps = torch.stack([x, y]).float().expand(400, 2, side, side).contiguous()
    middle = slice(24, 40)  # far enough from the mirrored edges
    for flip in (False, True):
        made = Augment(flip)(ramps, 5)
        whole = made[(made[:, :, middle, middle] != 0).flatten(1).all(1)]
        assert len(whole) > 200
        along_x = whole[:, :, 32, 33] - whole[:, :, 32, 32]  # (dx/dx, dy/dx)
        along_y = whole[:, :, 33, 32] - whole[:, :, 32, 32]
        flipped = (along_x[:, 0] < 0).float().mean()
        assert 0.4 < flipped < 0.6 if flip else flipped == 0
        zoom = along_y.norm(dim=1)
        angle = torch.atan2(along_y[:, 0], along_y[:, 1]).rad2deg()
        assert 0.89 < zoom.min() < 0.93
        assert 1.07 < zoom.max() < 1.11
        assert 8 < angle.abs().max() < 10.1
        assert 0.3 < (angle.abs() < 0.01).float().mean() < 0.7
        centre = whole[:, 1, 31:33, 31:33].mean((1, 2)) - (side - 1) / 2
        assert 7 < centre.abs().max() < 8.1


def test_one_seed_does_the_same_at_every_resolution() -> None:
    def cut_out(side: int) -> np.ndarray:
        holes = (Augment(flip=False)(torch.ones(40, 1, side, side), 3)[:, 0] == 0).float()
        line = torch.arange(side) / side
        mass = holes.sum((1, 2))
        centres = torch.stack([(holes.sum(2) * line).sum(1), (holes.sum(1) * line).sum(1)]) / mass
        return centres.numpy()

    small, large = cut_out(32), cut_out(64)
    assert 10 < np.isfinite(small[0]).sum() < 30
    assert np.allclose(small, large, atol=0.05, equal_nan=True)


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


def test_a_batch_in_pieces_is_moved_as_torch_moves_it(monkeypatch: pytest.MonkeyPatch) -> None:
    images = torch.rand(7, 3, 16, 16)
    asked: list[torch.Tensor] = []

    def by_torch(theta: torch.Tensor, line: torch.Tensor) -> torch.Tensor:
        asked.append(theta)
        return torch.nn.functional.affine_grid(theta, [len(theta), 3, len(line), len(line)], align_corners=False)

    monkeypatch.setattr(augment, "PIECE", 3 * 3 * 16 * 16)
    made = Augment(flip=True)(images, 2)
    monkeypatch.setattr(augment, "_grid", by_torch)
    assert torch.allclose(made, Augment(flip=True)(images, 2), atol=1e-5)
    assert [len(theta) for theta in asked] == [3, 3, 1]
