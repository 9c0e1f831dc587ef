"""The start from weights that were brought along: the body's function is kept, classifiers are fitted."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

import naturalize
from naturalize import preparing, rng, starting
from naturalize.space import Architecture
from naturalize.tasks import Classification
from naturalize.training.evaluate import logits_of
from naturalize.warm_start import (
    DECAY,
    features_of,
    fit_body,
    fitted_rows,
    logistic_regression,
    start_classifiers,
)


@pytest.fixture(scope="module")
def photographs(clothes):
    """80 photographs of four kinds of clothes as arrays."""
    return clothes(96)


def with_bench(data, out, work, monkeypatch, **options):
    """What `work` gives for the bench of a run that is about to be prepared."""
    found = []
    monkeypatch.setattr(preparing, "prepare_only", lambda bench: found.append(work(bench)))
    naturalize.prepare(data, out, epochs=1, listeners=(), **options)
    return found[0]


def largest_of(bench) -> Architecture:
    space = bench.supernet.family.space
    return space.largest


def seen_by(network, bench, arch):
    """Features of pictures under a network's own statistics."""
    network.head.classifier = nn.Identity()
    train = bench.trainer.images.pixels
    pixels = train(np.arange(len(train)), bench.subnets.resolution(arch))
    return logits_of(network, pixels, bench.device).clone()


@pytest.fixture
def statistics_are_the_users(monkeypatch):
    """As where training pictures are many."""
    monkeypatch.setattr(starting, "MANY_TRAINING_IMAGES", 0)


def test_calibrated_on_other_pictures_it_computes_what_it_did(
    photographs, tmp_path, monkeypatch, statistics_are_the_users
):
    def work(bench):
        arch = largest_of(bench)
        published = seen_by(bench.supernet.extract(arch).eval(), bench, arch)
        before = seen_by(bench.subnets.of(arch), bench, arch)
        fit_body(bench, arch)
        as_stored = seen_by(bench.supernet.extract(arch).eval(), bench, arch)
        after = seen_by(bench.subnets.of(arch), bench, arch)
        return [float((one - published).norm() / published.norm()) for one in (before, as_stored, after)]

    before, as_stored, after = with_bench(
        photographs, tmp_path / "run", work, monkeypatch, supernet="efficientnet-lite0"
    )
    assert before > 0.5
    assert as_stored < 1e-3
    assert after < 0.2


def test_narrow_networks_keep_more_of_the_features_than_by_the_norm_of_weights(
    photographs, tmp_path, monkeypatch, statistics_are_the_users
):
    def work(bench):
        family = bench.supernet.family
        narrow = family.space.upper.copy()
        narrow[2:] = len(family.kernels)  # the largest kernels with the least expansions
        (arch,) = family.space.architectures(family.space.repair(narrow[None]))
        fit_body(bench, largest_of(bench))
        whole = seen_by(bench.subnets.of(largest_of(bench)), bench, arch)

        def missed():
            return float((seen_by(bench.subnets.of(arch), bench, arch) - whole).norm() / whole.norm())

        by_what_they_do = missed()
        bench.supernet.sort_channels()
        return by_what_they_do, missed()

    ours, by_norm = with_bench(photographs, tmp_path / "run", work, monkeypatch, supernet="efficientnet-lite0")
    assert ours < 0.95 * by_norm


def test_a_probe_tells_more_than_chance_before_any_training(photographs, tmp_path, monkeypatch):
    def work(bench):
        arch = largest_of(bench)
        chance = bench.error.measure(bench.supernet.family.space.corners()[1:]).values[0]
        preparing.start(bench)
        rows = np.arange(20)
        assert features_of(bench, arch, rows).shape == (20, 1280)
        return chance, bench.error.measure(bench.supernet.family.space.corners()[1:]).values[0]

    chance, probed = with_bench(photographs, tmp_path / "run", work, monkeypatch, supernet="efficientnet-lite0")
    assert probed < 0.6 * chance


def test_bundled_features_tell_more_than_new_ones(photographs, tmp_path, monkeypatch):
    def work(bench):
        archs = [preparing.sandwich(bench.supernet.family, 0, 0)]
        start_classifiers(bench, archs)
        return bench.error.measure(bench.supernet.family.space.corners()).values.mean()

    small = photographs[0][:, ::3, ::3], photographs[1]
    bundled, new = (
        with_bench(small, tmp_path / name, work, monkeypatch, supernet="mini", scratch=name == "new")
        for name in ("bundled", "new")
    )
    assert bundled < new - 10.0


def test_weights_from_nothing_are_left_alone(tmp_path, monkeypatch):
    def work(bench):
        before = {name: tensor.clone() for name, tensor in bench.supernet.state_dict().items()}
        preparing.start(bench)
        return all(torch.equal(before[name], tensor) for name, tensor in bench.supernet.state_dict().items())

    draw = np.random.default_rng(0)
    data = draw.integers(0, 255, (40, 16, 16, 3)).astype(np.uint8), np.repeat(["a", "b"], 20)
    assert with_bench(data, tmp_path / "run", work, monkeypatch, supernet="mini", scratch=True)


def test_bodies_of_a_run_give_their_features_to_new_classifiers(tmp_path, monkeypatch):
    draw = np.random.default_rng(0)
    images = draw.integers(0, 100, (60, 16, 16, 3)).astype(np.uint8)
    images[20:40, :8] += 100
    images[40:, :, :8] += 100
    data = images, np.repeat(["a", "b", "c"], 20)
    naturalize.prepare(data, tmp_path / "first", supernet="mini", scratch=True, epochs=12, listeners=())

    def work(bench):
        start_classifiers(bench, [preparing.sandwich(bench.supernet.family, 0, 0)])
        return bench.error.measure(bench.supernet.family.space.corners()).values

    errors = with_bench(data, tmp_path / "second", work, monkeypatch, supernet=tmp_path / "first")
    assert (errors < 45.0).all()  # 67 by chance


@pytest.mark.parametrize("classes", [2, 5])
def test_the_regression_is_that_of_scikit_learn(classes):
    draw = np.random.default_rng(0)
    labels = draw.integers(0, classes, 200)
    features = draw.normal(3.0, 2.0, (200, 7)) * np.arange(1, 8) + labels[:, None] * draw.normal(0, 3, 7)
    task = Classification(classes, label_smoothing=0.0)
    weight, bias = logistic_regression(task, torch.tensor(features, dtype=torch.float32), torch.from_numpy(labels))
    ours = torch.softmax(torch.tensor(features, dtype=torch.float32) @ weight.T + bias, 1).numpy()
    standard = (features - features.mean(0)) / features.std(0, ddof=1)
    decay = DECAY if classes > 2 else 0.5 * DECAY  # of two classes it fits one difference in place of two halves
    theirs = LogisticRegression(C=1 / (len(labels) * decay), max_iter=1000, tol=1e-8).fit(standard, labels)
    assert np.abs(ours - theirs.predict_proba(standard)).max() < 2e-3


def test_classes_without_pictures_are_not_told():
    features, labels = torch.randn(50, 4), torch.randint(0, 2, (50,))
    weight, bias = logistic_regression(Classification(3), features, labels)
    assert not ((features @ weight.T + bias).argmax(1) == 2).any()


def test_a_classifier_is_fitted_to_pictures_of_every_class():
    """60 classes, most pictures of one of them, room for 64: each class has one, the first that was drawn."""
    labels = torch.cat([torch.zeros(1000, dtype=torch.int64), torch.arange(60).repeat(3)])
    images = SimpleNamespace(labels=labels)
    bench = SimpleNamespace(trainer=SimpleNamespace(images=images), task=Classification(60), seed=4)
    rows = fitted_rows(bench, 64)
    assert len(set(rows.tolist())) == len(rows) == 64
    assert set(labels[rows].tolist()) == set(range(60))
    drawn = rng.generator(4, "probe").permutation(len(labels))
    assert all(next(row for row in drawn if labels[row] == name) in rows for name in range(60))
    assert np.array_equal(fitted_rows(bench, len(labels)), np.arange(len(labels)))


def test_where_classes_have_many_pictures_they_are_drawn_as_they_come():
    labels = torch.arange(4).repeat(250)
    bench = SimpleNamespace(
        trainer=SimpleNamespace(images=SimpleNamespace(labels=labels)), task=Classification(4), seed=4
    )
    drawn = rng.generator(4, "probe").permutation(1000)[:200]
    assert np.array_equal(fitted_rows(bench, 200), np.sort(drawn))
