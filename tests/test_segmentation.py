"""Segmentation: its head, its metric against scikit-learn's, and a run from pictures with masks to a file."""

import numpy as np
import onnxruntime
import pytest
import torch
from sklearn.metrics import jaccard_score

from naturalize.data.augment import Augment
from naturalize.data.masks import IGNORED
from naturalize.exporting.network import Network
from naturalize.exporting.onnx_file import onnx_bytes
from naturalize.objectives.exact import exact_counts
from naturalize.supernet import Supernet, make_family
from naturalize.tasks import Segmentation
from naturalize.tasks.segmentation import class_iou

SIDES = {"mini": 32, "efficientnet-lite0": 64, "ofa-mbv3": 64, "ofa-resnet50": 64}


def supernet_of(name):
    torch.manual_seed(0)
    family = make_family(name, SIDES[name], [SIDES[name]])
    return Supernet(family, {"default": Segmentation(5).heads(family)}, [100.0] * 3, [50.0] * 3).eval()


@pytest.mark.parametrize("name", sorted(SIDES))
def test_supernet_plain_network_and_file_name_the_same_pixels(name, rng):
    supernet, side = supernet_of(name), SIDES[name]
    pixels = rng.integers(0, 256, (2, 3, side, side)).astype(np.uint8)
    for arch in supernet.family.space.architectures(supernet.family.space.sample(3, rng)):
        with torch.no_grad():
            expected = supernet(supernet.normalize(torch.from_numpy(pixels)), arch)
            network = supernet.extract(arch).eval()
            assert expected.shape == (2, 5, side, side)
            torch.testing.assert_close(network(torch.from_numpy(pixels)), expected, rtol=1e-4, atol=1e-4)
        card = {"resolution": side, "class_names": list("abcde"), "preprocessing": {}}
        session = onnxruntime.InferenceSession(onnx_bytes(Network(network, card), 13))
        (logits,) = session.run(None, {"pixels": pixels})
        np.testing.assert_allclose(logits, expected.numpy(), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", sorted(SIDES))
def test_counts_are_those_of_the_modules(name, rng):
    supernet, side = supernet_of(name), SIDES[name]
    counts = exact_counts(supernet.family, Segmentation(5), 3)
    codes = supernet.family.space.sample(3, rng)
    for row, arch in enumerate(supernet.family.space.architectures(codes)):
        network, seen = supernet.extract(arch).eval(), [0]
        for module in network.modules():
            if isinstance(module, torch.nn.Conv2d):
                module.register_forward_hook(
                    lambda module, inputs, output: seen.append(
                        module.weight.numel() * output.shape[2] * output.shape[3]
                    )
                )
        with torch.no_grad():
            network(torch.zeros(1, 3, side, side))
        assert counts["madds"](codes)[row] == sum(seen)
        assert counts["params"](codes)[row] == sum(each.numel() for each in network.parameters())


def test_the_error_is_of_all_pixels_together_and_scikit_learns(rng):
    task = Segmentation(4)
    labels = torch.from_numpy(rng.integers(0, 4, (6, 12, 12)).astype(np.uint8))
    labels[rng.random((6, 12, 12)) < 0.2] = IGNORED
    logits = torch.randn(6, 4, 12, 12) + 2.0 * torch.nn.functional.one_hot(labels.long() % 4, 4).permute(0, 3, 1, 2)
    answers = task.answers(logits, labels)
    there = (labels != IGNORED).numpy()
    expected = jaccard_score(labels.numpy()[there], logits.argmax(1).numpy()[there], average="macro")
    assert task.error(answers) == pytest.approx(100 * (1 - expected))
    assert answers.sum() == there.sum()
    by_picture = np.mean([task.error(each[None]) for each in answers])
    assert task.error(answers) != pytest.approx(by_picture)


def test_a_class_that_is_neither_there_nor_named_is_left_out():
    confusion = np.array([[3, 1, 0], [0, 4, 0], [0, 0, 0]])
    np.testing.assert_allclose(class_iou(confusion), [3 / 4, 4 / 5, np.nan])


def test_the_standard_error_is_that_of_other_draws_of_pictures(rng):
    task = Segmentation(3)
    labels = torch.from_numpy(rng.integers(0, 3, (400, 6, 6)).astype(np.uint8))
    good = torch.nn.functional.one_hot(labels.long(), 3).permute(0, 3, 1, 2) * torch.rand(400, 1, 1, 1) * 6
    answers = task.answers(torch.randn(400, 3, 6, 6) + good, labels)
    drawn = [task.error(answers[rng.integers(0, 400, 50)]) for _ in range(300)]
    told = [task.spread(answers[start : start + 50]) for start in range(0, 400, 50)]
    assert np.mean(told) == pytest.approx(np.std(drawn), rel=0.2)


def test_pictures_and_masks_move_together(rng):
    coarse = rng.integers(0, 5, (32, 4, 4))
    masks = torch.from_numpy(coarse.repeat(12, 1).repeat(12, 2).astype(np.uint8))
    images = masks[:, None].float()
    moved, labels = Augment(flip=True).with_masks(images, masks, 3)
    assert labels.shape == (32, 48, 48)
    assert (labels != masks).any((1, 2)).float().mean() > 0.5
    there = labels != IGNORED
    assert 0.001 < (~there).float().mean() < 0.1
    inside = there & ((moved[:, 0] - moved[:, 0].round()).abs() < 1e-4)  # not on a border of two classes
    assert inside.float().mean() > 0.7
    assert (moved[:, 0].round()[inside] == labels[inside]).float().mean() > 0.995


def test_masks_may_have_another_side_than_the_images(rng):
    masks = torch.from_numpy(rng.integers(0, 5, (4, 50, 50)).astype(np.uint8))
    images, labels = Augment(flip=False).with_masks(torch.randn(4, 3, 32, 32), masks, 0)
    assert images.shape == (4, 3, 32, 32)
    assert labels.shape == (4, 32, 32)


def test_balanced_training_weighs_rare_pixels_and_draws_rare_pictures(rng):
    labels = np.zeros((20, 10, 10), np.uint8)
    labels[:2, 0, 0] = 1
    task = Segmentation(2).balanced(labels)
    assert task.class_weights[1] > 10 * task.class_weights[0]
    drawn = task.frequencies(labels)
    assert (drawn[:2] == np.sqrt(0.5 / 0.1)).all()
    assert (drawn[2:] == 1).all()
