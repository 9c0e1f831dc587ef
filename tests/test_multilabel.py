"""Several labels a picture: the metric against scikit-learn's, and a run from a table of 0 and 1 to a file."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.metrics import average_precision_score
from torch.nn import functional as F

import naturalize
from naturalize import schedule
from naturalize.api import error_of
from naturalize.data import Pixels, open_data
from naturalize.errors import UserError
from naturalize.exporting import Check, OnnxModel, export
from naturalize.tasks import MultiLabel
from naturalize.tasks.confidence import NONE
from naturalize.tasks.multilabel import Precision
from naturalize.training.evaluate import logits_on
from naturalize.warm_start import logistic_regression, places

NAMES = ("even", "loop", "large")


def drawn(rng, n=60, ties=False):
    scores, labels = rng.normal(size=n), (rng.random(n) < 0.3).astype(float)
    return (scores.round() if ties else scores + labels), labels


def brute_force(scores, labels):
    """Of each image of the class, the share of the class in all images that score no less; their mean."""
    shares = [labels[scores >= score].mean() for score in scores[labels == 1]]
    return np.mean(shares) if shares else np.nan


@pytest.mark.parametrize("ties", [False, True])
def test_average_precision_is_scikit_learns_and_what_it_is_by_definition(rng, ties):
    for _ in range(20):
        scores, labels = drawn(rng, ties=ties)
        found = Precision(scores, labels)
        assert found.value == pytest.approx(average_precision_score(labels, scores))
        assert found.value == pytest.approx(brute_force(scores, labels))
        left = [brute_force(np.delete(scores, row), np.delete(labels, row)) for row in range(len(labels))]
        np.testing.assert_allclose(found.without(), left)


def test_a_class_of_no_image_has_no_precision_and_is_left_out_of_the_mean(rng):
    scores, labels = drawn(rng)
    assert np.isnan(Precision(scores, np.zeros(60)).value)
    one = np.eye(60)[3]
    assert np.isnan(Precision(scores, one).without()[3])
    logits, truth = torch.tensor(np.stack([scores, scores], 1)), torch.tensor(np.stack([labels, 0 * labels], 1))
    task = MultiLabel(2)
    expected = 100 - 100 * average_precision_score(labels, scores)
    assert task.error(task.answers(logits, truth)) == pytest.approx(expected, abs=1e-4)
    assert task.error(task.answers(logits, 0 * truth)) == 100


def test_the_standard_error_is_that_of_other_draws_of_images(rng):
    labels = (rng.random((800, 4)) < [0.5, 0.4, 0.3, 0.2]).astype(np.uint8)
    task = MultiLabel(4)
    answers = task.answers(torch.tensor(rng.normal(size=(800, 4)) + labels), torch.tensor(labels))
    told = [task.spread(answers[start : start + 80]) for start in range(0, 800, 80)]
    errors = [task.error(answers[rng.integers(0, 800, 80)]) for _ in range(300)]
    assert np.mean(told) == pytest.approx(np.std(errors), rel=0.2)


def test_logits_that_are_no_numbers_say_the_contrary():
    labels = torch.tensor([[1, 0], [0, 1], [1, 0]])
    logits = torch.tensor([[5.0, -5.0], [-5.0, 5.0], [torch.nan, 0.0]])
    task = MultiLabel(2)
    answers = task.answers(logits, labels)
    assert task.error(answers) == pytest.approx(100 - 100 * np.mean([(1 + 2 / 3) / 2, 1 / 2]))


def test_the_loss_asks_for_each_label_alone():
    logits, labels = torch.randn(6, 3), torch.tensor([[1, 0, 1]] * 6)
    task = MultiLabel(3, label_smoothing=0.0)
    expected = F.binary_cross_entropy_with_logits(logits, labels.float()) * 3
    torch.testing.assert_close(task.loss(logits, labels), expected)
    torch.testing.assert_close(task.distillation_loss(logits, 50.0 * (2.0 * labels - 1)), expected)


def test_answers_that_are_the_same_for_all_have_the_error_of_chance(rng):
    labels = (rng.random((50, 3)) < 0.4).astype(np.uint8)
    labels[:, 2] = 0
    task = MultiLabel(3)
    assert task.chance(labels) == pytest.approx(task.error(task.answers(torch.zeros(50, 3), torch.tensor(labels))))


def test_a_probe_knows_labels_that_features_hold(rng):
    labels = torch.tensor((rng.random((300, 3)) < 0.4).astype(np.uint8))
    features = torch.randn(300, 8) + 3.0 * F.pad(labels.float(), (0, 5))
    task = MultiLabel(3)
    weight, bias = logistic_regression(task, features[:200], labels[:200])
    assert task.error(task.answers(features[200:] @ weight.T + bias, labels[200:])) < 5


def test_pictures_of_each_label_come_first():
    labels = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    assert places(labels).tolist() == [0, 0, 6, 2, 1, 0]
    assert places(np.array([0, 0, 1, 0, 1])).tolist() == [0, 1, 0, 2, 1]


def test_rare_labels_are_drawn_more_often():
    labels = np.zeros((100, 2), np.uint8)
    labels[:60, 0] = 1
    labels[:5, 1] = 1
    found = MultiLabel(2).frequencies(labels)
    assert found[:5] == pytest.approx(np.sqrt(0.5 / 0.05))
    assert (found[5:] == 1).all()


def digits(folder, n=200):
    """A table of handwritten digits with what is true of each number, and an id."""
    found = load_digits()
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["path,id,even,loop,large"]
    for row, number in enumerate(found.target[:n].tolist()):
        Image.fromarray((found.images[row] * 15).astype(np.uint8)).save(folder / f"{row}.png")
        lines.append(f"{row}.png,{row},{int(number % 2 == 0)},{int(number in (0, 6, 8, 9))},{int(number > 4)}")
    (folder / "digits.csv").write_text("\n".join(lines), encoding="utf-8")
    return folder / "digits.csv"


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return digits(tmp_path_factory.mktemp("digits"))


OPTIONS = {"iterations": 1, "epochs": 3, "seed": 1, "listeners": ()}


@pytest.fixture(scope="module")
def run(table, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schedule, "INITIAL", 12)
        patch.setattr(schedule, "NEW", 4)
        return naturalize.transfer(table, tmp_path_factory.mktemp("runs") / "run", **OPTIONS)


@pytest.fixture(scope="module")
def front(run):
    return json.loads((run.directory / "front.json").read_text())


def test_a_run_learns_labels_and_tells_their_error(run, front, table):
    assert front["kind"] == "multi-label"
    assert front["class_names"] == list(NAMES)
    dataset = open_data(table, seed=1)
    rows = dataset.splits["test"]
    labels = dataset.labels[rows]
    for network in front["networks"]:
        assert network["test_confusion"] is None
        chosen = run.network(network["architecture"])
        pixels, cpu = Pixels(dataset, rows, [network["resolution"]]), torch.device("cpu")
        logits = logits_on(chosen.load().subnet, pixels, np.arange(len(rows)), network["resolution"], cpu)
        expected = average_precision_score(labels, logits.numpy(), average=None)
        assert network["test_labels"]["images"] == labels.sum(0).tolist()
        np.testing.assert_allclose(network["test_labels"]["average_precision"], expected, atol=1e-4)
        assert network["test_error"] == pytest.approx(100 - 100 * expected.mean(), abs=1e-3)
        assert 0 < network["test_spread"] < 10
    best = min(network["test_error"] for network in front["networks"])
    assert best < 25 < front["majority_error"]["test"]


def test_its_file_has_the_error_of_its_network(run, tmp_path):
    exported = naturalize.export(run, tmp_path / "model.onnx")
    assert exported.error == pytest.approx(exported.network_error)


@pytest.mark.slow
def test_its_int8_file_names_the_same_labels(run, tmp_path):
    assert naturalize.export(run, tmp_path / "small.onnx", format="onnx-int8").agreement > 80


def predicted(*arguments, code=0):
    command = [sys.executable, "-m", "naturalize", "predict", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return done


def test_predictions_are_all_labels_above_the_threshold(run, table, tmp_path):
    pictures = [table.with_name(f"{row}.png") for row in range(200)]
    rows = list(naturalize.predict(run, pictures, threshold=0.0))
    assert all(len(row.labels) == 3 for row in rows)
    assert all(sorted(row.labels.values(), reverse=True) == list(row.labels.values()) for row in rows)
    truth = open_data(table, seed=1).labels[:200]
    scores = np.array([[row.labels[name] for name in NAMES] for row in rows])
    assert ((scores > 0.5) == truth).mean() > 0.75
    likely = list(naturalize.predict(run, pictures))
    for row, above in zip(rows, likely, strict=True):
        assert above.labels == {name: chance for name, chance in row.labels.items() if chance >= 0.5}
        assert above.name == (next(iter(above.labels)) if above.labels else None)
    path = naturalize.export(run, tmp_path / "model.onnx").path
    few = next(row for row in likely if len(row.labels) > 1), next(row for row in likely if not row.labels)
    lines = predicted(path, *(row.path for row in few)).stdout.splitlines()
    assert lines[0].split("\t")[1::2] == list(few[0].labels)
    assert lines[1].split("\t") == [few[1].path, "none of these", f"{few[1].probability:.4f}"]
    command = [sys.executable, tmp_path / "model_example.py", few[0].path, few[1].path]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={"PATH": ""})
    assert done.stdout == f"{few[0].path}: {', '.join(few[0].labels)}\n{few[1].path}: none of these\n"


def test_cards_say_that_a_sigmoid_belongs_there(run, tmp_path):
    path = naturalize.export(run, tmp_path / "model.onnx").path
    assert OnnxModel(path).card["activation"] == "sigmoid"


def test_the_report_shows_precisions_and_no_confusion(run, front):
    page = (run.directory / "report.html").read_text()
    assert "Average precision by class" in page
    assert "Confusion matrix" not in page
    assert "Most frequent confusions" not in page
    assert "Answering all images alike would be" in page
    worst = front["networks"][0]["test_worst"]
    assert 0 < len(worst) <= 12
    for one in worst:
        assert one["class"] != one["predicted"]
        assert set(f"{one['class']}, {one['predicted']}".split(", ")) <= {*NAMES, NONE}


def test_it_goes_on_where_it_was(run, table):
    again = naturalize.transfer(table, run.directory, **OPTIONS)
    assert [network.architecture for network in again.front()] == [network.architecture for network in run.front()]


def test_what_several_labels_have_not_is_told(run, table, tmp_path):
    with pytest.raises(UserError, match="balanced-error is of pictures that have one class each: of several labels"):
        naturalize.transfer(table, tmp_path / "out", **OPTIONS, objectives=("balanced-error", "madds"))
    with pytest.raises(UserError, match="the teacher gives a picture several labels, and these have one class"):
        naturalize.prepare(
            (np.zeros((9, 8, 8), np.uint8) + np.arange(9)[:, None, None].astype(np.uint8), [*NAMES] * 3),
            tmp_path / "out", teacher=run.directory, epochs=1, listeners=(),
        )  # fmt: skip
    assert not (tmp_path / "out").exists()


def test_a_file_that_differs_from_its_card_is_not_kept(run, tmp_path):
    chosen = run.best()
    stored = run.stored("check")
    pixels = stored(np.arange(len(stored)), chosen.measured.resolution)
    error, spread = error_of(run.task)
    network = chosen.load()
    export(network, tmp_path / "right.onnx", None, Check(pixels, stored.labels, error, spread))
    with pytest.raises(UserError, match=r"wrong\.onnx was not kept: the error on 31 check pictures is 62"):
        export(network, tmp_path / "wrong.onnx", None, Check(pixels, 1 - stored.labels, error, spread))


@pytest.mark.slow
def test_photographs_start_from_a_published_network(tmp_path):
    """A probe, the whole network trained first, a last adaptation on all pictures, and classifiers of its networks."""
    draw, lines = np.random.default_rng(0), ["path,red,blue"]
    for row in range(60):
        picture, there = draw.integers(90, 130, (72, 96, 3)).astype(np.uint8), draw.random(2) < 0.5
        for channel in np.flatnonzero(there) * 2:
            top, left = draw.integers(0, 42), draw.integers(0, 66)
            picture[top : top + 30, left : left + 30] = 30
            picture[top : top + 30, left : left + 30, channel] = 220
        Image.fromarray(picture).save(tmp_path / f"{row}.png")
        lines.append(f"{row}.png,{int(there[0])},{int(there[1])}")
    (tmp_path / "list.csv").write_text("\n".join(lines), encoding="utf-8")
    run = naturalize.transfer(tmp_path / "list.csv", tmp_path / "run", budget="40s", balanced=True, listeners=())
    front = json.loads((run.directory / "front.json").read_text())
    assert front["state"] == "finished"
    assert front["supernet"] == "efficientnet-lite0"
    assert front["probe_error"] < front["majority_error"]["val"]
    assert min(network["test_error"] for network in front["networks"]) < front["majority_error"]["test"]
