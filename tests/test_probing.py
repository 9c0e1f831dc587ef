"""The published network read before anything is trained: its front, what a result keeps of it, what is said of it."""

import json
import shutil
import time
from contextlib import closing
from dataclasses import fields

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

import naturalize
import runs
from naturalize import lifecycle, nat, probing, schedule
from naturalize.classifiers import own_classifier
from naturalize.conclude import verdict
from naturalize.data import open_data
from naturalize.errors import Interrupted
from naturalize.run import Watch
from naturalize.run.front import PUBLISHED, TRANSFER, FrontNetwork
from naturalize.tensor_files import save_tensors
from naturalize.terminal import Terminal
from naturalize.training import evaluate
from naturalize.training.evaluate import logits_of
from naturalize.warm_start import logistic_regression
from naturalize.weights import published_supernet
from naturalize.workbench import open_workbench


@pytest.fixture(scope="module")
def photographs(clothes):
    """80 photographs of four kinds of clothes as arrays."""
    return clothes(64)


@pytest.fixture(scope="module")
def run(photographs, tmp_path_factory):
    """A short transfer whose untrained front was looked at on the way."""
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nat.Transfer, "prepare", wrapped(nat.Transfer.prepare, seen))
        patch.setattr(schedule, "INITIAL", 8)
        patch.setattr(schedule, "NEW", 4)
        out = tmp_path_factory.mktemp("runs") / "run"
        options = {"supernet": "efficientnet-lite0", "iterations": 1, "epochs": 1, "listeners": ()}
        return naturalize.transfer(photographs, out, **options), seen[0]


def wrapped(prepare, seen):
    def look(self):
        seen.append((json.loads((self.run.directory / "front.json").read_text()), network_answers(self.run)))
        prepare(self)

    return look


def test_a_run_that_is_stopped_before_anything_is_trained_can_be_ended(photographs, tmp_path):
    def stop(event):
        if event["event"] == "probed":
            raise Interrupted(15)

    with pytest.raises(Interrupted):
        naturalize.transfer(
            photographs, tmp_path / "run", supernet="efficientnet-lite0", budget="60s", listeners=[stop]
        )
    before = json.loads((tmp_path / "run" / "front.json").read_text())
    naturalize.finish(tmp_path / "run", data=photographs, listeners=())
    after = json.loads((tmp_path / "run" / "front.json").read_text())
    assert (before["state"], after["state"], after["weights_version"]) == ("stopped", "finished", -1)
    assert [n["architecture"] for n in after["networks"]] == [n["architecture"] for n in before["networks"]]
    assert all(network["test_error"] is not None for network in after["networks"])
    assert any("nothing was trained" in note for note in after["notes"])


def network_answers(run):
    model = naturalize.open_run(run.directory).best().module()
    return model(torch.zeros(1, 3, 8, 8)).shape


def test_a_front_of_usable_networks_is_there_before_anything_is_trained(run):
    (_, (front, shape)) = run
    assert front["state"] == "stopped"
    assert front["weights_version"] == -1
    networks = front["networks"]
    assert len(networks) >= 3
    assert all(network["origin"] == PUBLISHED and network["weights"] for network in networks)
    errors = [network["val_error_views"] for network in networks]
    assert errors == sorted(errors, reverse=True)
    assert front["probe_error"] == min(errors)
    assert shape == (1, 4)


def test_classifiers_are_those_of_scikit_learn_on_the_published_features(run, photographs):
    run, _ = run
    probes = probing.probes_of(run.directory)
    supernet = published_supernet("efficientnet-lite0")
    network = supernet.extract(supernet.family.space.largest).eval()
    network.head.classifier = nn.Identity()
    dataset = open_data(photographs)
    pictures = np.stack([dataset.pixels(row) for row in range(len(photographs[0]))]).transpose(0, 3, 1, 2)
    features = logits_of(network, np.ascontiguousarray(pictures), torch.device("cpu")).numpy()
    train, val = dataset.splits["train"], dataset.splits["val"]
    ours = features @ probes.weight[64].numpy().T + probes.bias[64].numpy()
    assert (ours.argmax(1)[val] != dataset.labels[val]).tolist() == probes.answers[64][0].tolist()
    mean, std = features[train].mean(0), features[train].std(0) + 1e-6
    theirs = LogisticRegression(max_iter=500).fit((features[train] - mean) / std, dataset.labels[train])
    agree = theirs.predict((features - mean) / std) == ours.argmax(1)
    assert agree[train].mean() > 0.95


class Counting:
    """Images that note how many are asked for at once."""

    def __init__(self, images):
        self.images, self.asked = images, []

    def __len__(self):
        return len(self.images)

    def __getattr__(self, name):
        return getattr(self.images, name)

    def __call__(self, rows, *options):
        self.asked.append(len(rows))
        return self.images(rows, *options)


def test_C5_validation_is_read_some_batches_at_a_time(run, photographs, tmp_path, monkeypatch):
    monkeypatch.setattr(evaluate, "PIXELS", 1)
    monkeypatch.setattr(evaluate, "FEWEST", 2)
    monkeypatch.setattr(evaluate, "BATCHES", 2)
    shutil.copytree(run[0].directory, tmp_path / "run")
    copied = naturalize.open_run(tmp_path / "run")
    watch = Watch([], time.monotonic())
    dataset = open_data(photographs, seed=copied.settings.seed, jpeg_side=copied.jpeg_side)
    with lifecycle.attached(copied, watch) as archive:
        bench = open_workbench(copied, dataset, archive, watch)
        assert len(bench.val) > 4
        bench.val = bench.error.images = Counting(bench.val)
        own_classifier(bench, copied.family.space.largest)
        assert max(bench.val.asked) == 4
        bench.val.asked.clear()
        (tmp_path / "run" / probing.FILE).unlink()
        probing.probe(bench)
        assert max(bench.val.asked) == 4


def test_the_result_keeps_the_published_network_where_nothing_found_is_better(run):
    run, (before, _) = run
    front = json.loads((run.directory / "front.json").read_text())
    assert front["state"] == "finished"
    assert {network["origin"] for network in front["networks"]} <= {TRANSFER, PUBLISHED}
    for network in before["networks"]:
        better = [
            other
            for other in front["networks"]
            if other["madds"] <= network["madds"] and other["val_error_views"] <= network["val_error_views"]
        ]
        assert better, "each network of the untrained front is on the front, or beaten by one"
    for network in front["networks"]:
        assert network["test_error"] is not None
        assert (run.directory / network["weights"]).exists()


def test_norms_keep_their_statistics_through_a_whole_run(run):
    run, _ = run
    assert run.keeps_statistics
    published = published_supernet("efficientnet-lite0").state_dict()
    trained = run.trained_supernet().state_dict()
    moved = 0
    for name, tensor in published.items():
        if name.endswith(("running_mean", "running_var")):
            same = trained[name].sort().values, tensor.sort().values  # channels of expansions are in another order
            torch.testing.assert_close(*same)
        elif name.endswith("gamma"):
            moved += int(not torch.equal(trained[name].sort().values, tensor.sort().values))
    assert moved > 0


def test_what_a_front_lacks_is_said():
    assert verdict(made_up(*[TRANSFER] * 5)) == []
    (left_out,) = verdict(made_up(*[TRANSFER] * 5), 2)
    assert left_out == "2 networks of the front had to be left out: there was no time to test more"
    (nothing,) = verdict(made_up(*[PUBLISHED] * 5) | {"weights_version": -1})
    assert nothing.startswith("nothing was trained")
    (few,) = verdict(made_up(TRANSFER))
    assert few.startswith("only 1 network on the front")
    untrained, few = verdict(made_up(PUBLISHED, PUBLISHED, TRANSFER))
    assert untrained.startswith("2 of the front's 3 networks are the published one")
    assert "--budget" in few


def made_up(*origins, error=10.0, test_error=None):
    """front.json as far as its verdict reads it."""
    names = [field.name for field in fields(FrontNetwork)]
    numbers = {"val_error": error, "val_error_views": error, "val_images": 50, "madds": 1, "test_error": test_error}
    networks = [dict.fromkeys(names) | numbers | {"origin": origin} for origin in origins]
    return {"networks": networks, "majority_error": {"val": 50.0, "test": 4.8}, "weights_version": 1}


def test_N01_a_result_that_is_no_better_than_the_most_frequent_class_says_so():
    (told,) = verdict(made_up(*[TRANSFER] * 5, test_error=95.0))
    assert told.startswith(
        "the most accurate network is 95.0% wrong, and always answering the most frequent class 4.8%"
    )
    assert verdict(made_up(*[TRANSFER] * 5, test_error=4.0)) == []
    (untested,) = verdict(made_up(*[TRANSFER] * 5, error=60.0))
    assert "60.0% wrong" in untested


def test_N01_pictures_of_one_class_tell_nothing():
    front = made_up(*[TRANSFER] * 5, test_error=0.0)
    front["majority_error"]["test"] = 0.0
    assert verdict(front) == []


def test_N01_under_balanced_classes_the_rare_ones_count_as_much():
    """200 images of one class and 8 of another: 10% wrong is worse than 4%, but knows both classes."""
    front = made_up(*[TRANSFER] * 5, test_error=10.0)
    for network in front["networks"]:
        network["test_confusion"] = [[180, 20], [1, 7]]
    assert "10.0% wrong, and always" in verdict(front)[0]
    assert verdict(front, balanced=True) == []
    for network in front["networks"]:
        network["test_confusion"] = [[200, 0], [8, 0]]
    (told,) = verdict(front, balanced=True)
    assert told.startswith("the most accurate network is 50.0% wrong where each class counts the same, and always")


def test_weights_from_nothing_are_not_read(photographs, tmp_path, monkeypatch):
    monkeypatch.setattr(nat.Transfer, "prepare", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        naturalize.transfer(
            photographs, tmp_path / "run", supernet="efficientnet-lite0", scratch=True, iterations=1, listeners=()
        )
    assert not (tmp_path / "run" / probing.FILE).exists()
    assert not lifecycle.has_front(naturalize.open_run(tmp_path / "run"))


def test_a_run_that_is_stopped_in_preparation_leaves_a_front_that_can_be_exported(photographs, tmp_path, monkeypatch):
    def stopped(self):
        raise Interrupted(2)

    with monkeypatch.context() as patch:
        patch.setattr(nat.Transfer, "prepare", stopped)
        with pytest.raises(Interrupted):
            naturalize.transfer(
                photographs, tmp_path / "run", supernet="efficientnet-lite0", iterations=1, epochs=1, listeners=()
            )
    assert (tmp_path / "run" / "report.html").exists()
    best = naturalize.open_run(tmp_path / "run").best()
    exported = naturalize.export(tmp_path / "run", tmp_path / "model.onnx")
    assert exported.path.exists()
    assert best.measured.origin == PUBLISHED


def test_requirements_that_leave_out_the_published_network_leave_no_front_before_training(
    photographs, tmp_path, monkeypatch
):
    def stopped(self):
        raise Interrupted(2)

    monkeypatch.setattr(nat.Transfer, "prepare", stopped)
    options = {"supernet": "efficientnet-lite0", "iterations": 1, "epochs": 1, "require": "params<3M"}
    for _ in range(2):
        with Terminal() as terminal, pytest.raises(Interrupted):
            naturalize.transfer(photographs, tmp_path / "run", listeners=[terminal], **options)
        assert not (tmp_path / "run" / "front.json").exists()


def test_in_very_little_time_nothing_is_searched_and_few_validation_pictures_answer(photographs, tmp_path, monkeypatch):
    monkeypatch.setattr(probing, "FEWEST", 5)
    monkeypatch.setattr(probing, "IMAGES_PER_S", 0)
    told = []
    out = tmp_path / "run"
    naturalize.transfer(photographs, out, supernet="efficientnet-lite0", budget="30s", listeners=[told.append])
    (plan,) = (event for event in told if event["event"] == "plan")
    assert (plan["iterations"], plan["val_images"], plan["final_images"]) == (0, 5, 5)
    assert len(probing.probes_of(out).rows) == 5
    phases = [event["phase"] for event in told if event["event"] == "phase"]
    assert "search" not in phases
    assert phases.count("measure") == 1
    rates = [event["rate"] for event in runs.events(out, "epoch") if event["phase"] == "prepare"]
    assert rates[-1] < max(rates) / 4, "the rate has fallen before the front is chosen"
    front = json.loads((out / "front.json").read_text())
    assert (front["state"], front["val_weights_version"], front["weights_version"]) == ("finished", 0, 1)
    assert all(network["val_images"] == 5 for network in front["networks"])


def test_where_the_budget_is_spent_before_training_the_published_network_is_the_result(photographs, tmp_path):
    def stop(event):
        if event["event"] == "probed":
            raise Interrupted(15)

    out, options = tmp_path / "run", {"supernet": "efficientnet-lite0", "budget": "30s"}
    with pytest.raises(Interrupted):
        naturalize.transfer(photographs, out, listeners=[stop], **options)
    with closing(naturalize.open_run(out).archive(read_only=False)) as archive:
        archive.used_s = 31.0
    told = []
    naturalize.transfer(photographs, out, listeners=[told.append], **options)
    assert not [event for event in told if event["event"] in ("plan", "machine")], "no time goes into planning"
    front = json.loads((out / "front.json").read_text())
    assert (front["state"], front["weights_version"]) == ("finished", -1)
    assert {network["origin"] for network in front["networks"]} == {PUBLISHED}
    assert all(network["test_error"] is not None for network in front["networks"])
    assert any(note.startswith("nothing was trained") for note in front["notes"])


def test_where_reading_was_late_fewer_pictures_are_read(photographs, tmp_path, monkeypatch):
    monkeypatch.setattr(probing, "SHARE", 0.0)
    monkeypatch.setattr(probing, "MOST_SHARE", 1e-9)
    monkeypatch.setattr(probing, "LATE_PICTURES", 6)
    monkeypatch.setattr(probing, "LATE_OF_A_CLASS", 2)
    fitted = []
    monkeypatch.setattr(
        probing, "logistic_regression", lambda *given: fitted.append(len(given[2])) or logistic_regression(*given)
    )
    monkeypatch.setattr(nat.Transfer, "prepare", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        naturalize.transfer(photographs, tmp_path / "run", supernet="efficientnet-lite0", budget="60s", listeners=())
    probes = probing.probes_of(tmp_path / "run")
    assert len(probes.rows) == 8, "two of each of four classes"
    assert len(probes.resolutions) == probing.LEAST
    assert fitted == [8] * probing.LEAST + [8 * probing.LEAST]


@pytest.mark.parametrize(("used_s", "read"), [(0.5, 900), (10.0, 900), (30.0, 300), (29.0, 310)])
def test_as_many_times_fewer_are_read_as_reading_is_late(used_s, read):
    assert probing.by_lateness(900, used_s, 10.0) == read


def test_grey_photographs_are_normalised_as_the_published_network_was_trained(photographs, tmp_path, monkeypatch):
    grey = photographs[0].mean(axis=3, keepdims=True).astype(np.uint8), photographs[1]
    monkeypatch.setattr(nat.Transfer, "prepare", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
    for name, pictures in (("grey", grey), ("colour", (grey[0].repeat(3, axis=3), grey[1]))):
        with pytest.raises(KeyboardInterrupt):
            naturalize.transfer(
                pictures, tmp_path / name, supernet="efficientnet-lite0", iterations=1, epochs=1, listeners=()
            )
    runs = [naturalize.open_run(tmp_path / name) for name in ("grey", "colour")]
    assert runs[0].facts["pixels"]["mean"] == [127.0]
    errors = [[network.val_error_views for network in run.front()] for run in runs]
    assert errors[0] == pytest.approx(errors[1], abs=5.0)


def test_probes_of_an_older_naturalize_are_read(tmp_path):
    found = {"0.rows": torch.arange(3), "64.weight": torch.zeros(2, 4), "64.bias": torch.zeros(2)}
    save_tensors(tmp_path / probing.FILE, found | {"64.wrong": torch.tensor([[0, 1, 1]], dtype=torch.uint8)})
    answers = probing.probes_of(tmp_path).answers[64]
    assert answers.dtype == bool
    assert answers.tolist() == [[False, True, True]]
