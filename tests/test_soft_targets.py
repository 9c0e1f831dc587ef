"""Soft targets: who answers for which picture, how sure the answers are, and what is learnt from them."""

from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold, cross_val_predict
from torch import nn
from torch.nn import functional as F

import naturalize
from naturalize import nat
from naturalize.last_adaptation import with_validation
from naturalize.probing import published
from naturalize.run import Run
from naturalize.soft_targets import (
    FILE,
    answers_of_others,
    beside_labels,
    largest_affordable,
    learn_from_soft_targets,
    shares_of,
    soft_targets,
)
from naturalize.tasks import Classification
from naturalize.tensor_files import load_tensors
from naturalize.training.evaluate import logits_of
from naturalize.warm_start import DECAY

LITE = {"supernet": "efficientnet-lite0", "iterations": 1, "epochs": 1, "listeners": ()}
LONG = {"epochs": 400}  # so many that all pictures are read at 224 px


@pytest.fixture(scope="module")
def photographs(clothes):
    """60 photographs of four kinds of clothes, 64 px, as arrays."""
    return clothes(64)


def at_start(photographs, out, work, **options):
    """What `work` gives for the bench of a transfer, in place of its training."""
    found = []
    with pytest.MonkeyPatch.context() as patch, suppress(naturalize.UserError):  # no report where nothing is measured
        patch.setattr(nat, "transfer", lambda transfer: found.append(work(transfer.bench)))
        naturalize.transfer(photographs, out, **{**LITE, **options})
    return found[0]


def with_label(bench, row, label):
    """The bench with another label of one training picture."""
    images = bench.trainer.images
    labels = images.labels.clone()
    labels[row] = label
    other = type(images)(images.pixels, images.augment, images.seed)
    other.labels = labels
    return replace(bench, trainer=replace(bench.trainer, images=other))


def test_a_picture_is_answered_by_a_classifier_that_does_not_know_its_label(photographs, tmp_path):
    def work(bench):
        labels = bench.trainer.images.labels
        other = with_label(bench, 3, (int(labels[3]) + 1) % bench.task.classes)
        return soft_targets(bench, 64), soft_targets(other, 64), len(labels), len(bench.val)

    before, after, training, validation = at_start(photographs, tmp_path / "run", work)
    assert before.shape == after.shape == (training + validation, 4)
    same = (before - after).abs().amax(1) < 1e-4
    assert same[3], "its own"
    assert 0.1 * training < int(same[:training].sum()) < 0.3 * training, "those that are left out with it: a fifth"
    assert not same[training:].any(), "validation pictures are answered by a classifier on all training pictures"


def test_answers_are_those_of_the_published_network_with_a_classifier_on_the_other_pictures(photographs, tmp_path):
    """Against scikit-learn on features that are read here: as close to it as two foldings of it are to each other."""

    def work(bench):
        network = published(bench)
        network.head.classifier = nn.Identity()
        pixels = bench.trainer.images.pixels
        features = logits_of(network, pixels(np.arange(len(pixels)), 64), torch.device("cpu")).numpy()
        return soft_targets(bench, 64)[: len(pixels)], features, bench.trainer.images.labels.numpy()

    ours, features, labels = at_start(photographs, tmp_path / "run", work)
    standard = (features - features.mean(0)) / (features.std(0) + 1e-6)
    classifier = LogisticRegression(C=1 / (DECAY * 0.8 * len(labels)), max_iter=500)  # it sums losses, ours is a mean
    fives = KFold(5, shuffle=True, random_state=0), KFold(5, shuffle=True, random_state=1)
    theirs = [cross_val_predict(classifier, standard, labels, cv=cv, method="predict_proba") for cv in fives]
    agree = np.corrcoef(theirs[0].ravel(), theirs[1].ravel())[0, 1]
    assert np.corrcoef(ours.softmax(1).numpy().ravel(), theirs[0].ravel())[0, 1] > 0.97 * agree


def test_the_loss_is_that_of_labels_and_of_soft_targets_for_the_same_pictures(photographs, tmp_path):
    def work(bench):
        learn_from_soft_targets(bench)
        trainer, arch, number, task = bench.trainer, bench.space.largest, 5, bench.task
        found = trainer.adaptation_step(lambda _: arch, number)(0)
        rows = trainer.batches.rows(number)
        images, labels = trainer.batch(number, arch)
        with torch.no_grad():
            logits = trainer.supernet(images, arch)
        of_labels = torch.stack([task.loss(logits[i : i + 1], labels[i : i + 1]) for i in range(len(labels))])
        read = load_tensors(bench.run.directory / FILE)[0]["logits"]
        of_soft = -(read[rows].softmax(1) * F.log_softmax(logits, 1)).sum(1)
        right = (read[: len(trainer.images.labels)].argmax(1) == trainer.images.labels).numpy()
        by_class = [right[trainer.images.labels.numpy() == name].mean() for name in range(task.classes)]
        share = torch.tensor([max(0.0, 2 * by_class[label] - 1) for label in labels])
        joined = with_validation(bench)
        agree = torch.cat([trainer.images.labels, torch.from_numpy(bench.val.labels)])
        return found, of_labels, of_soft, share, joined.trainer, agree

    found, of_labels, of_soft, share, joined, labels = at_start(photographs, tmp_path / "run", work, **LONG)
    assert share.max() > 0
    assert len(share.unique()) > 1, "classes differ"
    assert found.item() == pytest.approx(((1 - share) * of_labels + share * of_soft).mean().item(), rel=1e-5)
    assert torch.equal(joined.images.labels, labels)
    assert len(joined.soft) == len(labels), "validation pictures have their answers where they come in"


@pytest.mark.parametrize(("right", "share"), [(0, 0.0), (4, 0.0), (5, 0.25), (6, 0.5), (8, 1.0)])
def test_the_more_often_they_are_right_for_a_class_the_more_is_learnt_from_them(right, share):
    """The class at hand is number 1; class 0 is always right, class 3 has no pictures."""
    labels = torch.tensor([1] * 8 + [0] * 100 + [2])
    answers = torch.where((labels != 1) | (torch.arange(109) < right), labels, 0)
    answers[-1] = 0
    validation = torch.zeros(5, 4)
    logits = torch.cat([F.one_hot(answers, 4).float(), validation])
    assert shares_of(logits, labels, 4).tolist() == [1.0, share, 0.0, 0.0]


def test_a_rare_class_that_is_taken_for_a_frequent_one_is_learnt_from_labels():
    """95 of 100 pictures are of one class and nothing tells the others: a constant answer is right 95 times."""
    labels = torch.tensor([0] * 380 + [1] * 20)
    features = torch.randn(400, 8, generator=torch.Generator().manual_seed(0))
    logits = answers_of_others(Classification(2), features, labels, [str(n) for n in range(400)], 0)
    targets = beside_labels(Classification(2), logits, labels, shares_of(logits, labels, 2)).softmax(1)
    assert torch.allclose(targets[-20:, 1], torch.tensor(0.95))


def test_copies_of_a_picture_are_in_one_fold():
    """Labels by chance, four copies of each picture: only what is learnt from copies is right."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(2, (60,), generator=generator).repeat(4)
    features = torch.randn(60, 64, generator=generator).repeat(4, 1)
    task = Classification(2)

    def right(contents):
        return (answers_of_others(task, features, labels, contents, 0).argmax(1) == labels).float().mean()

    assert right([str(n) for n in range(240)]) > 0.95
    assert right([str(n % 60) for n in range(240)]) < 0.7


def test_they_are_made_once_and_again_where_the_file_is_damaged(photographs, tmp_path):
    def work(bench):
        path, made = bench.run.directory / FILE, []
        for _ in range(3):
            learn_from_soft_targets(bench)
            made.append((path.stat().st_mtime_ns, bench.trainer.soft.clone()))
            if len(made) == 2:
                path.write_bytes(path.read_bytes()[:-7])
        return made

    (first_s, first), (second_s, second), (third_s, third) = at_start(photographs, tmp_path / "run", work, **LONG)
    assert first_s == second_s < third_s
    assert torch.equal(first, second)
    assert torch.equal(first, third)


def test_the_largest_resolution_that_there_is_time_for_is_read(photographs, tmp_path):
    def work(bench):
        settings = bench.run.settings
        found = {}
        for budget_s in (30.0, 61.0, 3600.0):
            run = bench.run.with_settings(replace(settings, budget_s=budget_s, iterations=None, epochs=None))
            found[budget_s] = largest_affordable(replace(bench, run=run))
        for epochs in (1, 150, 30 * 30):
            run = bench.run.with_settings(replace(settings, iterations=1, epochs=epochs))
            found[epochs] = largest_affordable(replace(bench, run=run))
        return found, bench.run.family.resolutions, bench.run.trained

    found, resolutions, trained = at_start(photographs, tmp_path / "run", work)
    assert found[900] == found[3600.0] == resolutions[-1]
    assert found[1] == 0, "an epoch takes hardly longer"
    assert found[150] == max(side for side in resolutions if side**2 <= 0.01 * 150 * 3.2 * trained[-1] ** 2)
    assert found[30.0] == 0, "no time in so short a budget"
    assert found[61.0] == 0 or found[61.0] >= trained[-1]


def test_a_run_that_goes_on_with_a_larger_budget_reads_what_that_affords(photographs, tmp_path):
    def work(bench):
        found = []
        for budget_s, share_of_time in ((60.0, 0.0), (3600.0, 1.0), (120.0, 0.0)):
            settings = replace(bench.run.settings, budget_s=budget_s, iterations=None, epochs=None)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(naturalize.soft_targets, "READING", share_of_time)
                learn_from_soft_targets(replace(bench, run=bench.run.with_settings(settings)))
            found.append(bench.trainer.soft)
        return found, bench.run.directory

    (short, long, shorter), directory = at_start(photographs, tmp_path / "run", work)
    assert short is None
    assert torch.equal(shorter, long), "what was read stays"
    tensors, facts = load_tensors(directory / FILE)
    assert tensors["logits"].shape == long.shape
    assert int(facts["resolution"]) == 224


@pytest.mark.parametrize("options", [{"supernet": "mini"}, {"balanced": True}])
def test_there_are_none_without_a_published_network_or_with_balanced_classes(options, photographs, tmp_path):
    def work(bench):
        learn_from_soft_targets(bench)
        return bench.trainer.soft, (bench.run.directory / FILE).exists()

    assert at_start(photographs, tmp_path / "run", work, **{**LONG, **options}) == (None, False)


def test_a_whole_transfer_learns_from_them(photographs, tmp_path, monkeypatch):
    monkeypatch.setattr(naturalize.soft_targets, "READING", 100.0)
    told = []
    run = naturalize.transfer(photographs, tmp_path / "run", **{**LITE, "listeners": [told.append]})
    phases = [event["phase"] for event in told if event["event"] == "phase"]
    assert phases.index("probe") < phases.index("soft") < phases.index("folds") < phases.index("prepare")
    assert phases.count("soft") == 1
    assert len(load_tensors(run.directory / FILE)[0]["logits"]) == sum(
        Run(run.directory).facts["data"]["splits"][split] for split in ("train", "val")
    )
