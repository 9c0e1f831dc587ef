"""Calibration and evaluation of plain networks: folded batch norms, batches that fit memory."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from naturalize.supernet import Supernet, make_family
from naturalize.tasks import Classification
from naturalize.training import evaluate
from naturalize.training.calibrate import calibrate
from naturalize.training.evaluate import FEWEST, fold, images_at_once, logits_of

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def supernet() -> Supernet:
    """A small one with random weights."""
    torch.manual_seed(0)
    family = make_family("mini", 8)
    return Supernet(family, {"default": Classification(3).heads(family)}, [100.0], [60.0])


@pytest.mark.parametrize("corner", [0, 1])
def test_a_folded_network_answers_as_before(supernet: Supernet, corner: int) -> None:
    space = supernet.family.space
    arch = space.architectures(space.corners())[corner]
    side = supernet.family.resolutions[arch.code[0]]
    pixels = np.random.default_rng(0).integers(0, 256, (40, 1, side, side)).astype(np.uint8)
    network = calibrate(supernet.extract(arch), torch.from_numpy(pixels))
    folded = fold(copy.deepcopy(network))
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in folded.modules())
    expected = logits_of(network, pixels, CPU)
    torch.testing.assert_close(logits_of(folded, pixels, CPU), expected, rtol=1e-4, atol=1e-4)


def test_batches_follow_the_side_of_the_pictures() -> None:
    assert images_at_once(32) == 256
    assert images_at_once(8) == 4096
    assert images_at_once(224) == FEWEST


def test_statistics_are_the_mean_over_batches(supernet: Supernet, monkeypatch: pytest.MonkeyPatch) -> None:
    space = supernet.family.space
    subnet = supernet.extract(space.architectures(space.corners())[0])
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (65, 1, 8, 8)).astype(np.uint8))
    monkeypatch.setattr("naturalize.training.calibrate.images_at_once", lambda side: 16)
    calibrate(subnet, pixels)
    with torch.no_grad():
        maps = [subnet.layers[0].conv(subnet.normalize(part)) for part in pixels.tensor_split(4)]
    means = torch.stack([part.mean((0, 2, 3)) for part in maps]).mean(0)
    variances = torch.stack([part.transpose(0, 1).flatten(1).var(1) for part in maps]).mean(0)
    torch.testing.assert_close(subnet.layers[0].norm.running_mean, means, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(subnet.layers[0].norm.running_var, variances, rtol=1e-4, atol=1e-5)


def test_C5_pictures_are_asked_for_some_batches_at_a_time(monkeypatch):
    monkeypatch.setattr(evaluate, "PIXELS", 4 * 8**2)
    monkeypatch.setattr(evaluate, "FEWEST", 4)
    values = np.random.default_rng(0).integers(0, 256, (2, 100, 1, 8, 8), dtype=np.uint8)
    asked = []

    def images(rows, side, view):
        asked.append(len(rows))
        assert side == 8
        return values[view, rows]

    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 3)).double()
    network.register_forward_pre_hook(lambda module, inputs: (inputs[0].double(),))
    rows = np.random.default_rng(1).permutation(100)[:77]
    device = torch.device("cpu")
    logits = evaluate.logits_on(network, images, rows, 8, device, view=1)
    torch.testing.assert_close(logits, evaluate.logits_of(network, values[1, rows], device))
    assert max(asked) == 4 * evaluate.BATCHES
    assert sum(asked) == 77
