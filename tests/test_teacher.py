"""Teachers: other networks that a preparation learns from, with labels and without."""

import json
import shutil

import numpy as np
import pytest
import torch
from torch import nn

import naturalize
import runs
from naturalize.data import Pixels, open_data
from naturalize.errors import UserError
from naturalize.teacher import Teacher, open_teacher
from runs import command


def loosened(root, folder):
    """The pictures of class folders in one folder, their classes in their names."""
    folder.mkdir()
    for path in root.rglob("*.png"):
        shutil.copy(path, folder / f"{path.parent.name}-{path.name}")
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return runs.grey_pictures(tmp_path_factory.mktemp("data") / "bands", n=24)


@pytest.fixture(scope="module")
def loose(data):
    return loosened(data, data.parent / "loose")


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    run = tmp_path_factory.mktemp("finished") / "run"
    command("transfer", data, "--iterations", "1", "--epochs", "1", "--seed", "1", "--out", run)
    return run


class Brightest(nn.Module):
    """Knows the three classes of `runs.grey_pictures` without a weight: by the brightest band."""

    def forward(self, pixels):
        rows = pixels.float().mean((1, 3))
        side = rows.shape[1] / 8
        bands = [rows[:, round(2 * k * side) : round((2 * k + 3) * side)].mean(1) for k in range(3)]
        return torch.stack(bands, 1) / 5


def test_pictures_without_classes_are_learnt_from_any_module(tmp_path):
    loose, out = loosened(runs.grey_pictures(tmp_path / "bands", n=60), tmp_path / "loose"), tmp_path / "run"
    asked = {"epochs": 12, "seed": 1, "listeners": ()}
    run = naturalize.prepare(str(loose), out, teacher=Brightest(), **asked)
    assert run.class_names == ["0", "1", "2"]
    assert runs.events(out, "prepared")[0]["largest_error"] < 20.0  # of pictures that were not trained on
    largest = open_teacher(str(out))
    largest.teach([], 1, run.family.resolutions[-1])
    dataset = open_data(loose, without_classes=True)
    rows = dataset.splits["val"]
    pixels = torch.from_numpy(Pixels(dataset, rows, [largest.resolution])(np.arange(len(rows)), largest.resolution))
    told = ["abc"[k] for k in largest(pixels).argmax(1).tolist()]
    assert np.mean(np.array(told) == np.array([dataset.paths[row][0] for row in rows])) > 0.8
    with pytest.raises(UserError, match="came from Python"):
        naturalize.resume(out, listeners=())
    assert naturalize.prepare(str(loose), out, teacher=Brightest(), **asked).directory == out


def test_a_run_teaches_and_the_supernet_is_the_start_of_a_transfer(loose, finished, data, tmp_path):
    said = command("prepare", loose, "--teacher", finished, "--epochs", "2", "--out", tmp_path / "supernet")
    assert "no classes, grey pictures" in said
    assert naturalize.open_run(tmp_path / "supernet").class_names == ["a", "b", "c"]
    out = tmp_path / "run"
    command("transfer", data, "--supernet", tmp_path / "supernet", "--iterations", "1", "--epochs", "1", "--out", out)
    assert naturalize.open_run(out).front()


def test_stopped_and_resumed_it_keeps_its_teacher(loose, finished, tmp_path):
    asked = ["--teacher", finished, "--epochs", "2", "--seed", "1"]
    command("prepare", loose, *asked, "--out", tmp_path / "unbroken")
    command("prepare", loose, *asked, "--out", tmp_path / "broken", signals="prepare:2:SIGTERM", code=143)
    command("resume", tmp_path / "broken")
    assert runs.rates(tmp_path / "broken") == runs.rates(tmp_path / "unbroken")


@pytest.mark.parametrize("method", ["sandwich", "shrink"])
def test_with_labels_both_teach(data, finished, tmp_path, method):
    asked = {"scratch": True, "method": method, "epochs": 6, "seed": 1, "listeners": ()}
    naturalize.prepare(str(data), tmp_path / "alone", **asked)
    naturalize.prepare(str(data), tmp_path / "taught", teacher=finished, **asked)
    alone, taught = (runs.events(tmp_path / name, "epoch")[0]["loss"] for name in ("alone", "taught"))
    assert 1.5 * alone < taught < 2.5 * alone  # two losses of about the same size at the start


def test_a_saved_network_teaches(loose, finished, tmp_path):
    front = json.loads((finished / "front.json").read_text())
    path = finished / front["networks"][-1]["weights"]
    run = naturalize.prepare(str(loose), tmp_path / "run", teacher=path, epochs=1, listeners=())
    assert run.class_names == ["a", "b", "c"]


def test_its_own_classifier_goes_on(tmp_path):
    folder = tmp_path / "loose"
    folder.mkdir()
    photographs = open_data("clothing")
    for number in range(32):
        photographs.picture(number).save(folder / f"{number}.png")
    lite0 = {"supernet": "efficientnet-lite0", "teacher": "efficientnet-lite0"}
    run = naturalize.prepare(str(folder), tmp_path / "run", **lite0, epochs=1, listeners=())
    assert len(run.class_names) == 1000
    loss = runs.events(tmp_path / "run", "epoch")[0]["loss"]
    assert loss < 6.5  # a new classifier would start at log 1000 = 6.9


def teacher(known, channels=1):
    class Constant(nn.Module):
        def forward(self, pixels):
            return torch.arange(3.0).expand(len(pixels), 3) + 0 * pixels.float().mean()

    return Teacher(Constant(), known, channels)


def test_it_answers_in_the_order_of_the_classes_asked_for():
    knows = teacher(["a", "b", "c"])
    knows.teach(["c", "a"], 1, 16)
    assert knows(torch.zeros(1, 1, 16, 16)).tolist() == [[2.0, 0.0]]
    assert knows.class_names == ["c", "a"]


def test_it_sees_pictures_at_its_own_size_and_colours():
    seen = []

    class Looks(nn.Module):
        def forward(self, pixels):
            seen.append(tuple(pixels.shape))
            return pixels.float().mean((2, 3))

    looks = Teacher(Looks(), None, channels=3, resolution=24)
    looks.teach([], 1, 32)
    looks(torch.full((5, 1, 16, 16), 7.0))
    assert seen[-1] == (5, 3, 24, 24)


@pytest.mark.parametrize(
    ("known", "channels", "asked", "pictures", "message"),
    [
        (["a", "b", "c"], 1, ["a", "dog"], 1, "does not know dog"),
        (["a", "b", "c"], 1, [], 3, "takes grey pictures"),
        (None, 1, ["a", "b"], 1, "tells 3 classes apart, the pictures have 2"),
    ],
)
def test_one_that_does_not_fit(known, channels, asked, pictures, message):
    with pytest.raises(UserError, match=message):
        teacher(known, channels).teach(asked, pictures, 16)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("resnet", "resnet"),
        ("mini", "no published classifier"),
        ("{here}/none.safetensors", "no network at"),
        ("{here}", "is no run"),
    ],
)
def test_a_source_that_is_none(loose, tmp_path, source, message):
    with pytest.raises(UserError, match=message):
        naturalize.prepare(str(loose), tmp_path / "run", teacher=source.format(here=tmp_path), listeners=())
    assert not (tmp_path / "run").exists()


def test_pictures_without_classes_need_a_teacher(loose, tmp_path):
    with pytest.raises(UserError, match="no class folders"):
        naturalize.prepare(str(loose), tmp_path / "run", listeners=())
