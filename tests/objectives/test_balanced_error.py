"""The balanced error: measured with error, from the same answers; as scikit-learn has it."""

import copy
import json
import re
from contextlib import closing
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.metrics import balanced_accuracy_score

from naturalize import finetuning, selection
from naturalize.conclude import of_no_use
from naturalize.data import Pixels, open_data
from naturalize.errors import UserError
from naturalize.objectives import deciding_error, parse_objectives
from naturalize.objectives.error import Chosen, Error
from naturalize.probing import Probes
from naturalize.report.insides import Insides
from naturalize.report.live import front_under_way
from naturalize.run.choosing import ordered
from naturalize.run.front import best
from naturalize.supernet import make_family
from naturalize.tasks import Classification, balanced_error, balanced_error_of, balanced_images
from naturalize.terminal import front_csv, front_table

OBJECTIVES = ("balanced-error", "madds")


@pytest.fixture(scope="module")
def data():
    """Digits of which the larger ones are rarer."""
    digits, draw = load_digits(), np.random.default_rng(0)
    kept = draw.random(len(digits.target)) < 0.6 / (1 + digits.target) ** 0.6
    return (digits.images[kept] * 15).astype(np.uint8), digits.target[kept]


@pytest.fixture(scope="module")
def run(data, tmp_path_factory, short_transfer):
    """A short transfer without `error` among its objectives."""
    return short_transfer(data, tmp_path_factory.mktemp("runs") / "run", OBJECTIVES)


@pytest.fixture(scope="module")
def front(run):
    """The content of front.json."""
    return json.loads((run.directory / "front.json").read_text(encoding="utf-8"))


def balanced_by_scikit_learn(run, data, network, split, views=1):
    """The mean over views of what scikit-learn makes of a network's own answers, in percent."""
    dataset = open_data(data, seed=run.settings.seed)
    dataset.scan_test()
    pixels = Pixels(dataset, dataset.splits[split], run.family.resolutions, views)
    module = run.network(network["architecture"]).module()
    found = []
    for view in range(views):
        with torch.no_grad():
            images = torch.from_numpy(pixels(np.arange(len(pixels)), network["resolution"], view))
            found.append(100 - 100 * balanced_accuracy_score(pixels.labels, module(images).argmax(1).numpy()))
    return float(np.mean(found))


def test_it_is_what_scikit_learn_makes_of_the_networks_answers(run, front, data):
    assert front["networks"]
    assert front["val_views"] > 1
    for network in front["networks"]:
        for split in ("val", "test"):
            told = network[f"{split}_balanced_error"]
            assert told == pytest.approx(balanced_by_scikit_learn(run, data, network, split), abs=1e-9)
        selected = balanced_by_scikit_learn(run, data, network, "val", front["val_views"])
        assert network["objectives"]["balanced-error"] == pytest.approx(selected, abs=1e-9)
    assert any(n["test_balanced_error"] > n["test_error"] + 3 for n in front["networks"]), "rare digits are harder"


def test_classes_without_pictures_are_left_out():
    assert balanced_error([1, 0, 2], [2, 0, 8]) == pytest.approx(100 * (1 / 2 + 1 / 4) / 2)
    assert balanced_error([0, 0], [0, 0]) is None
    confusion = [[3, 1, 0], [0, 0, 0], [5, 0, 5]]
    assert balanced_error_of(confusion) == pytest.approx(100 * (1 / 4 + 1 / 2) / 2)


def test_its_spread_is_that_of_a_mean_over_classes():
    """Drawn answers: each image of 40 of one class and 4 of another is wrong by a chance of 0.3."""
    labels, draw = np.repeat([0, 2], [40, 4]), np.random.default_rng(0)
    wrong = draw.random((20_000, 44)) < 0.3
    balanced = (wrong[:, :40].mean(axis=1) + wrong[:, 40:].mean(axis=1)) / 2
    images = balanced_images(labels)
    assert images == 15  # 2**2 / (1 / 40 + 1 / 4) = 14.5
    assert balanced.std() == pytest.approx((0.3 * 0.7 / images) ** 0.5, rel=0.03)
    assert balanced_images(np.repeat([0, 1, 2], 7)) == 21


def test_one_forward_pass_measures_both(run, front):
    events = map(json.loads, (run.directory / "events.jsonl").read_text(encoding="utf-8").splitlines())
    seconds = [event["seconds"] for event in events if event["event"] == "iteration"]
    assert [list(each) for each in seconds] == [["error"]] * 2
    with closing(run.archive()) as archive:
        found = archive.measurements(run.context("error", front["val_weights_version"]))
        assert archive.versions("balanced-error", run.task_name) == []
    by_text = {arch.text: measurement.detail for arch, measurement in found.items()}
    for network in front["networks"]:
        if not network["own_classifier"]:
            assert network["objectives"]["balanced-error"] == by_text[network["architecture"]]["balanced_views"]


def test_the_front_and_the_choice_go_by_it(run, front):
    assert front["objectives"] == list(OBJECTIVES)
    assert front["reference"][0] == pytest.approx(90.0), "one class of ten alone"
    values = [(n["objectives"]["balanced-error"], n["madds"]) for n in front["networks"]]
    assert all(a[0] > b[0] for a, b in pairwise(values)), "more multiply-adds, fewer errors"
    decisions = [facts["hypervolume"] for facts in front["hypervolume"]]
    assert 0 < decisions[-1] <= 1
    two = [copy.copy(network) for network in run.front()[:1] * 2]
    for network, error, balanced in zip(two, (1.0, 9.0), (50.0, 5.0), strict=True):
        object.__setattr__(network, "val_error_views", error)
        object.__setattr__(network, "objectives", {"balanced-error": balanced})
    assert best(two) is two[0]
    assert best(two, by="balanced-error") is two[1]


def test_people_see_it_in_tables_and_in_the_report(run, front):
    table = front_table(run.front(), OBJECTIVES)
    assert table[0].split()[-4:] == ["val", "balanced", "test", "balanced"]
    assert table[1].split()[-1] == f"{front['networks'][0]['test_balanced_error']:.1f}%"
    assert "test balanced" not in front_table(run.front(), ("error", "madds"))[0]
    header, first, *_ = front_csv(run.front())
    row = dict(zip(header.split(","), first.split(","), strict=True))
    assert float(row["test_balanced_error"]) == front["networks"][0]["test_balanced_error"]
    assert float(row["balanced-error"]) == front["networks"][0]["objectives"]["balanced-error"]
    for by in ("balanced-error", "test_balanced_error", "val_balanced_error"):
        column = by if by != "balanced-error" else "objectives"
        values = [getattr(network, column) for network in ordered(run.front(), by)]
        values = [value["balanced-error"] for value in values] if by == "balanced-error" else values
        assert values == sorted(values)
    page = (run.directory / "report.html").read_text(encoding="utf-8")
    assert re.search(r'<select id="up">.*<option value="balanced-error" selected>balanced error', page)
    assert "balanced test error" in page


def test_a_front_under_way_goes_by_it(run, front):
    found = front_under_way(Insides(run.directory))
    assert found is not None
    values = [(n["objectives"]["balanced-error"], n["madds"]) for n in found["networks"]]
    assert all(a[0] > b[0] for a, b in pairwise(values))


def test_networks_that_stand_by_themselves_have_it_of_their_kept_answers(monkeypatch):
    """Answers that were kept are of validation images 1, 2, 5 and 6; of these 2, 5 and 6 are asked now."""
    family, labels = make_family("efficientnet-lite0", 64), np.array([0, 0, 1, 1, 0, 0, 0, 1])
    wrong = {64: np.array([[0, 1, 0, 1], [1, 1, 0, 0]], dtype=bool)}
    monkeypatch.setattr(selection, "probes_of", lambda *names: Probes({}, {}, np.array([1, 2, 5, 6]), wrong))
    bench = SimpleNamespace(
        run=SimpleNamespace(directory=None),
        task=Classification(2),
        error=SimpleNamespace(images=Chosen(SimpleNamespace(labels=labels), np.array([0, 2, 5, 6, 7]), 2)),
        val=SimpleNamespace(labels=labels),
        supernet=SimpleNamespace(family=family),
        problem=SimpleNamespace(allowed=lambda codes: np.ones(len(codes), dtype=bool)),
    )
    (found,) = selection.probed_measurements(bench)
    assert found.value == pytest.approx(100 * 3 / 6)
    plain, moved = (100 * np.mean([each[1], np.mean([each[2], each[3]])]) for each in wrong[64])
    assert found.detail["balanced"] == pytest.approx(plain)
    assert found.detail["balanced_views"] == pytest.approx((plain + moved) / 2)


class Answers(Error):
    """Answers that are given, in place of a network's."""

    def __init__(self, labels, wrong):
        self.task = Classification(2)
        self.images = SimpleNamespace(labels=labels, views=1)
        self.given = torch.from_numpy(wrong)

    def answers_by_view(self, network, arch):
        return [self.given]


@pytest.mark.parametrize(("objectives", "won"), [(["error", "balanced-error"], True), (OBJECTIVES, False)])
def test_fine_tuning_is_judged_by_error_where_that_is_an_objective(objectives, won, monkeypatch):
    """Nine images of one class and one of another: the network learns the common class and forgets the rare one."""
    labels, wrong = np.repeat([0, 1], [9, 1]), np.repeat([False, True], [9, 1])
    bench = SimpleNamespace(
        error=Answers(labels, wrong),
        run=SimpleNamespace(settings=SimpleNamespace(objectives=objectives)),
        watch=SimpleNamespace(event=lambda *names, **facts: None),
    )
    monkeypatch.setattr(finetuning, "fold", lambda network: network)
    entry = {"architecture": "1", "origin": "transfer", "test_error": None, "objectives": {"balanced-error": 22.2}}
    entry |= {"val_error": 40.0, "val_error_views": 40.0}
    assert finetuning.takes_place(bench, entry, None, None, judged=True) == won
    assert entry["val_error"] == (10.0 if won else 40.0)
    assert entry["objectives"]["balanced-error"] == (50.0 if won else 22.2)


def test_a_result_that_knows_one_class_alone_says_so(front):
    """99 images of one class and one of another: always answering the first is 1% wrong, and of no use."""
    blind = copy.deepcopy(front) | {"networks": front["networks"][:1], "majority_error": {"val": 20.0, "test": 1.0}}
    blind["networks"][0] |= {"test_error": 0.9, "test_confusion": [[99, 0], [1, 0]]}
    (told,) = of_no_use(blind, balanced=False)
    assert told.startswith("the most accurate network is 50.0% wrong where each class counts the same")
    assert of_no_use(blind | {"objectives": ["error", "balanced-error"]}, balanced=False) == []


def test_which_error_decides():
    assert deciding_error(["error", "balanced-error", "madds"]) == "error"
    assert deciding_error(["madds", "balanced-error"]) == "balanced-error"
    assert deciding_error(["madds"]) == "error"
    assert parse_objectives(["balanced-error@default", "madds"]) == OBJECTIVES
    assert parse_objectives(["balanced-error", "error:int8"]) == ("balanced-error", "error:int8")


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["balanced-error@x"], "this run has one task, `default`; write `balanced-error`"),
        (["balanced_error", "madds"], "unknown objective 'balanced_error': did you mean balanced-error"),
        (["balanced-error", "balanced-error"], "an objective is given twice"),
        (["madds", "size"], "without error the smallest network wins: add it, as -o error -o madds -o size"),
    ],
)
def test_what_makes_no_sense_is_told_in_one_line(names, words):
    with pytest.raises(UserError, match=words):
        parse_objectives(names)


def test_a_limit_on_it_is_refused(run):
    with pytest.raises(UserError, match="balanced-error is measured, so a limit on it cannot be kept"):
        run.best("balanced-error<5")
    with pytest.raises(UserError, match="balanced-error is no cost"):
        run.choose(at="balanced-error=5")
