"""Segmentation: its head, its metric against scikit-learn's, and a run from pictures with masks to a file."""

import json
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image
from sklearn.metrics import jaccard_score

import naturalize
from naturalize import schedule, workbench
from naturalize.data import augment
from naturalize.data.augment import Augment
from naturalize.data.masks import IGNORED, palette
from naturalize.errors import UserError
from naturalize.exporting.network import Network
from naturalize.exporting.onnx_file import onnx_bytes
from naturalize.objectives.exact import exact_counts
from naturalize.predicting import open_model, predict_with, write_mask
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


def count(seen, module, inputs, output):
    seen.append(module.weight.numel() * output.shape[2] * output.shape[3])


@pytest.mark.parametrize("name", sorted(SIDES))
def test_counts_are_those_of_the_modules(name, rng):
    supernet, side = supernet_of(name), SIDES[name]
    counts = exact_counts(supernet.family, Segmentation(5), 3)
    codes = supernet.family.space.sample(3, rng)
    for row, arch in enumerate(supernet.family.space.architectures(codes)):
        network, seen = supernet.extract(arch).eval(), [0]
        for module in network.modules():
            if isinstance(module, torch.nn.Conv2d):
                module.register_forward_hook(partial(count, seen))
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


@pytest.mark.parametrize("side", [5, 16])
def test_answers_are_those_of_counting_pixel_by_pixel(side, rng):
    """Logits of another size than masks, channels last, with ties: the first of the largest is the answer."""
    logits = torch.from_numpy(rng.integers(-2, 3, (3, 4, side, side)).astype(np.float32))
    labels = torch.from_numpy(rng.choice([0, 1, 2, 3, IGNORED], (3, 16, 16)).astype(np.uint8))
    expected = np.zeros((3, 4, 4), np.int64)
    large = torch.nn.functional.interpolate(logits, size=(16, 16), mode="bilinear").numpy()
    for picture, row, column in np.ndindex(3, 16, 16):
        if labels[picture, row, column] != IGNORED:
            predicted = int(np.argmax(large[picture, :, row, column]))
            expected[picture, labels[picture, row, column], predicted] += 1
    answers = Segmentation(4).answers(logits.contiguous(memory_format=torch.channels_last), labels)
    assert (answers.numpy() == expected).all()


def test_a_class_that_is_neither_there_nor_named_is_left_out():
    confusion = np.array([[3, 1, 0], [0, 4, 0], [0, 0, 0]])
    np.testing.assert_allclose(class_iou(confusion), [3 / 4, 4 / 5, np.nan])


def test_logits_that_are_no_numbers_are_wrong_everywhere():
    labels = torch.zeros(2, 4, 4, dtype=torch.uint8)
    logits = torch.zeros(2, 3, 4, 4)
    logits[:, 0] = 1
    logits[1, 2, 0, 0] = torch.nan
    answers = Segmentation(3).answers(logits, labels)
    assert answers[0].tolist() == [[16, 0, 0], [0, 0, 0], [0, 0, 0]]
    assert answers[1].tolist() == [[0, 16, 0], [0, 0, 0], [0, 0, 0]]


def test_where_nothing_has_a_class_the_error_is_100():
    labels = torch.full((1, 4, 4), IGNORED, dtype=torch.uint8)
    task = Segmentation(3)
    assert task.error(task.answers(torch.zeros(1, 3, 4, 4), labels)) == 100
    assert task.chance(labels.numpy()) == 100


def test_the_standard_error_is_that_of_other_draws_of_pictures(rng):
    task = Segmentation(3)
    labels = torch.from_numpy(rng.integers(0, 3, (400, 6, 6)).astype(np.uint8))
    good = torch.nn.functional.one_hot(labels.long(), 3).permute(0, 3, 1, 2) * torch.rand(400, 1, 1, 1) * 6
    answers = task.answers(torch.randn(400, 3, 6, 6) + good, labels)
    drawn = [task.error(answers[rng.integers(0, 400, 50)]) for _ in range(300)]
    told = [task.spread(answers[start : start + 50]) for start in range(0, 400, 50)]
    assert np.mean(told) == pytest.approx(np.std(drawn), rel=0.2)


def test_pictures_and_masks_move_together(rng, monkeypatch):
    monkeypatch.setattr(augment, "RECOLOURED", 0.0)
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


def test_colours_change_by_picture_and_keep_what_is_where(rng):
    """What is lighter than its surroundings stays so; a mean moves by 0.9 standard deviations at most."""
    images = torch.from_numpy(rng.standard_normal((400, 3, 6, 6)))
    made = augment.recoloured(images, torch.from_numpy(rng.random((4, 400))))
    assert (made == images).all((1, 2, 3)).float().mean() == pytest.approx(0.2, abs=0.06)
    moved = made.mean((1, 2, 3)) - images.mean((1, 2, 3))
    assert 0.85 < moved.abs().max() < 0.9 + 1e-5
    grey, new = images.mean(1).flatten(1), made.mean(1).flatten(1)
    contrast = new.std(1) / grey.std(1)
    assert 0.4 - 1e-4 < contrast.min() < 0.45 < 1.55 < contrast.max() < 1.6 + 1e-4
    assert torch.equal(new.argmax(1), grey.argmax(1))
    colour = (made - made.mean(1, keepdim=True)).flatten(1).std(1) / (images - images.mean(1, keepdim=True)).flatten(
        1
    ).std(1)
    assert (colour / contrast).max() == pytest.approx(1.6, abs=0.05)
    one = torch.randn(9, 1, 4, 4)
    assert (augment.recoloured(one, torch.rand(4, 9)).mean((2, 3)) != one.mean((2, 3))).any(), (
        "grey ones change as well"
    )


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


def test_classes_weigh_by_the_fourth_root_of_their_pixels():
    labels = np.full((2, 9, 9), IGNORED, np.uint8)
    labels[:, :8, :8] = 0
    labels[0, 0, :8] = 1
    weights = Segmentation(3).weighted(labels).class_weights
    assert weights[1] / weights[0] == pytest.approx((120 / 8) ** 0.25)
    assert weights[2] / weights[0] == pytest.approx(120**0.25)  # no pixel at all counts as one


def scenes(n, seed=0):
    """Pictures `(n, 24, 32, 3)` of a red square and a blue one on grey, and their masks: 0, 1 and 2."""
    draw = np.random.default_rng(seed)
    pictures = draw.integers(90, 130, (n, 24, 32, 3)).astype(np.uint8)
    masks = np.zeros((n, 24, 32), np.uint8)
    for row in range(n):
        for value, channel in ((1, 0), (2, 2)):
            top, left = draw.integers(0, 14), draw.integers(0, 22)
            there = np.s_[row, top : top + 10, left : left + 10]
            masks[there] = value
            pictures[there] = 30
            pictures[(*there, channel)] = 220
    return pictures, masks


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schedule, "INITIAL", 12)
        patch.setattr(schedule, "NEW", 4)
        patch.setattr(workbench, "MASKED", 12)
        out = tmp_path_factory.mktemp("scenes") / "run"
        return naturalize.transfer(scenes(60), out, iterations=1, epochs=6, seed=1, listeners=())


def test_a_run_learns_pixels_and_tells_their_error(run):
    front = json.loads((run.directory / "front.json").read_text())
    assert front["kind"] == "segmentation"
    assert front["class_names"] == ["0", "1", "2"]
    best = min(front["networks"], key=lambda network: network["test_error"])
    assert best["test_error"] < 45 < front["majority_error"]["test"]
    confusion = np.array(best["test_confusion"])
    assert confusion.sum() == best["test_images"] * 32 * 32  # masks are squares of the longer side
    assert best["test_error"] == pytest.approx(100 - 100 * class_iou(confusion).mean())
    assert 0 < best["val_spread"] < 10


def test_its_file_has_the_error_of_its_network(run, tmp_path):
    exported = naturalize.export(run, tmp_path / "model.onnx")
    assert exported.agreement == 100
    assert exported.error == pytest.approx(exported.network_error)
    int8 = naturalize.export(run, tmp_path / "small.onnx", format="onnx-int8")
    assert int8.agreement > 80


def test_a_budget_and_the_command_line_do_as_well(tmp_path):
    """Published weights of photographs, the whole network trained first, and a last adaptation on all pictures."""
    for name in ("images", "masks"):
        (tmp_path / "scenes" / name).mkdir(parents=True)
    for row, (picture, mask) in enumerate(zip(*scenes(40), strict=True)):
        Image.fromarray(picture).resize((96, 72)).save(tmp_path / "scenes" / "images" / f"{row}.jpg")
        Image.fromarray(mask).resize((96, 72), 0).save(tmp_path / "scenes" / "masks" / f"{row}.png")
    command = [sys.executable, "-m", "naturalize", "transfer", tmp_path / "scenes", "--budget", "40s", "--balanced"]
    done = subprocess.run([*command, "--out", tmp_path / "run"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    front = json.loads((tmp_path / "run" / "front.json").read_text())
    assert front["state"] == "finished"
    assert front["supernet"] == "efficientnet-lite0"
    assert all(network["test_error"] is not None for network in front["networks"])
    done = subprocess.run([*command, "-o", "balanced-error"], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 2
    assert "balanced-error is of pictures that have one class each" in done.stderr
    assert not (tmp_path / "runs").exists()


def test_it_goes_on_where_it_was(run):
    again = naturalize.transfer(scenes(60), run.directory, iterations=1, epochs=6, seed=1, listeners=())
    assert [network.architecture for network in again.front()] == [network.architecture for network in run.front()]
    pictures, masks = scenes(60)
    masks[0, 0, 0] = 2
    with pytest.raises(UserError, match="the data are not those"):
        naturalize.transfer((pictures, masks), run.directory, iterations=1, epochs=6, seed=1, listeners=())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("new")
    for row, picture in enumerate(scenes(4, seed=5)[0]):
        Image.fromarray(picture).save(folder / f"{row}.png")
    return folder


def test_ignored_pixels_are_white_in_the_report(run):
    """Squares of one colour alone: 255 is drawn over a corner of every mask."""
    from naturalize.testing import write_masks

    truth = np.full((1, 32, 32), IGNORED, np.uint8)
    pixels = SimpleNamespace(indices=np.array([10**6]), resolutions=[32], labels=truth, __call__=None)
    show = lambda rows, side: np.zeros((1, 3, side, side), np.uint8)  # noqa: E731
    shown = type("Shown", (), {**vars(pixels), "__call__": lambda self, rows, side: show(rows, side)})()
    name = write_masks(SimpleNamespace(run=run), shown, 0, "x", np.zeros((32, 32), np.uint8))
    picture = np.asarray(Image.open(run.directory / name))
    (run.directory / name).unlink()
    third = picture.shape[0]
    assert (picture[:, third + 2 : 2 * third + 2] == 255).all()


def test_a_teacher_of_pixels_is_no_teacher_of_pictures(run, tmp_path):
    folder = tmp_path / "loose"
    folder.mkdir()
    for row, picture in enumerate(scenes(8)[0]):
        Image.fromarray(picture).save(folder / f"{row}.png")
    with pytest.raises(UserError, match="the teacher names pixels: give pictures with masks"):
        naturalize.prepare(folder, tmp_path / "out", teacher=run.directory, epochs=1, listeners=())
    assert not (tmp_path / "out").exists()


def test_predictions_are_masks_of_the_pictures_size(run, folder, tmp_path):
    rows = list(naturalize.predict(run, folder))
    truth = scenes(4, seed=5)[1]
    assert np.mean([row.mask == mask for row, mask in zip(rows, truth, strict=True)]) > 0.8
    path = naturalize.export(run, tmp_path / "model.onnx").path
    for row, again in zip(rows, naturalize.predict(path, folder), strict=True):
        assert (row.mask == again.mask).mean() > 0.99
    command = [sys.executable, "-m", "naturalize", "predict", path, folder]
    done = subprocess.run([*command, "--to", tmp_path / "masks"], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[0].startswith(f"{folder}/0.png\t{tmp_path}/masks{folder}/0.png.png\t0 ")
    for row in rows:
        written = Image.open(f"{tmp_path}/masks{row.path}.png")
        assert (np.asarray(written) == row.mask).all()
        assert Image.open(f"{tmp_path}/masks{row.path}.over.jpg").size == (32, 24)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "naturalize: this network answers with masks: say where to write them, as --to masks\n"


def test_the_example_beside_a_file_writes_masks(run, folder, tmp_path):
    naturalize.export(run, tmp_path / "model.onnx")
    command = [sys.executable, tmp_path / "model_example.py", folder / "1.png"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={"PATH": ""})
    assert done.stdout == f"{folder}/1.png: {folder}/1.png.mask.png\n"
    (row,) = naturalize.predict(run, folder / "1.png")
    mask = np.asarray(Image.open(folder / "1.png.mask.png"))
    (folder / "1.png.mask.png").unlink()
    assert mask.shape == (24, 32)
    assert (mask == row.mask).mean() > 0.9  # it takes the nearest pixel, where predict enlarges logits


def test_the_report_shows_masks_and_iou(run):
    page = (run.directory / "report.html").read_text()
    assert "IoU by class" in page
    front = json.loads((run.directory / "front.json").read_text())
    for network in front["networks"]:
        for worst in network["test_worst"]:
            width, height = Image.open(run.directory / worst["picture"]).size
            assert width == 3 * height + 4


def test_a_preparation_leaves_values_out_too(tmp_path):
    pictures, masks = scenes(12)
    masks[:, :4] = 9
    run = naturalize.prepare((pictures, masks), tmp_path / "out", epochs=1, ignore=[9], listeners=())
    assert run.class_names == ["0", "1", "2"]
    again = naturalize.prepare((pictures, masks), tmp_path / "out", epochs=1, ignore=[9], listeners=())
    assert again.settings.ignore == (9,)
    with pytest.raises(UserError, match="other settings: ignore"):
        naturalize.prepare((pictures, masks), tmp_path / "out", epochs=1, listeners=())
    with pytest.raises(UserError, match="--ignore names values of masks"):
        naturalize.prepare("digits", tmp_path / "other", epochs=1, ignore=[9], listeners=())


def test_masks_are_written_without_a_second_look_at_the_picture(run, folder, tmp_path):
    model = open_model(run)
    copies = [shutil.copy(folder / f"{row}.png", tmp_path) for row in range(4)]
    for row in predict_with(model, copies):
        Path(row.path).unlink(missing_ok=True)
        write_mask(model, row, tmp_path / "masks")
        over = np.asarray(Image.open(f"{tmp_path}/masks{row.path}.over.jpg"), float)
        assert abs(over - np.asarray(row.picture, float) / 2 - palette()[row.mask] / 2.0).mean() < 12
