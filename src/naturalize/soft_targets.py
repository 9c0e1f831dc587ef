"""Soft targets: what the published network makes of each picture, by a classifier that has not learnt from it.

The network reads enlarged pictures, so it knows much that small networks at low resolutions cannot see; and what a
classifier answers to pictures that it never saw is honest about what is alike (labels tell nothing of that, and answers
to pictures that were learnt by heart hardly more). Subnets learn from these answers beside the labels: distillation
(Hinton et al., 2015) with a teacher that looks at every picture once. Figures are in docs/benchmarks.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor

from naturalize import journal, rng
from naturalize.beginning import TRAINING
from naturalize.probing import LEAST_BUDGET_S, affordable, features_at, published, seconds_of_a_pixel
from naturalize.progress import Progress, silent
from naturalize.tasks import Classification
from naturalize.tensor_files import load_tensors, save_tensors
from naturalize.warm_start import logistic_regression, without_classifier
from naturalize.workbench import Workbench

FILE, RESOLUTION = "soft-targets.safetensors", "resolution"  # in a run; what it says of itself, in pixels
READING = 0.01  # share of the time left, or of training, for reading pictures: short runs have better use for theirs
FOLDS = 5  # of the training pictures, each answered by a classifier that is fitted to the others


def learn_from_soft_targets(bench: Workbench) -> None:
    """Let the supernet learn from soft targets besides labels, where its run starts from one published network.

    The run gets `soft-targets.safetensors`, once, and again where a larger budget affords a larger resolution. Nothing
    happens where there is no time to read all pictures, where a class has fewer than `FOLDS` of them in the mean,
    where classes are balanced, or where a picture has several.
    """
    if not has_soft_targets(bench):
        return
    labels = bench.trainer.images.labels
    budget_s = bench.run.settings.budget_s
    side = int(bench.archive.decide(journal.soft(budget_s), lambda: largest_affordable(bench)))
    path = bench.run.directory / FILE
    logits, read_at = kept(path)
    if side > read_at:
        logits = soft_targets(bench, side)
        save_tensors(path, {"logits": logits}, {RESOLUTION: str(side)})
    elif not read_at:
        return
    shares = shares_of(logits, labels, bench.task.classes)
    every = torch.cat([labels, torch.from_numpy(np.asarray(bench.val.labels))])
    bench.trainer.soft = beside_labels(bench.classification, logits, every, shares).to(bench.device)


def has_soft_targets(bench: Workbench) -> bool:
    """Whether a run has soft targets, if there is time to read all pictures."""
    enough = len(bench.trainer.images.labels) >= FOLDS * bench.task.classes
    one_class = isinstance(bench.task, Classification)  # right or wrong, as `shares_of` asks
    return one_class and enough and bench.reads_published and not bench.run.settings.balanced


def kept(path: Path) -> tuple[Tensor, int]:
    """Logits of a file of soft targets, and the resolution that was read; none, 0 where it is not there or damaged."""
    try:
        tensors, facts = load_tensors(path)
        return tensors["logits"], int(facts[RESOLUTION])
    except (OSError, SafetensorError, ValueError, KeyError):  # they can be had again
        return torch.empty(0, 0), 0


def shares_of(logits: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Share of soft targets in the loss for pictures of each class, `(classes,)`.

    None where half of a class's soft targets or fewer are right, all where all are: a rare class, which the published
    network takes for a frequent one, is learnt from its labels.

    Args:
        logits: `(n, classes)`, those of the training pictures first.
        labels: of the training pictures, `(m,)`.
        classes: number of classes.
    """
    right = (logits[: len(labels)].argmax(1) == labels).float()
    pictures = torch.bincount(labels, minlength=classes).clamp(min=1)
    return (2 * torch.bincount(labels, right, minlength=classes) / pictures - 1).clamp(min=0)


def beside_labels(task: Classification, logits: Tensor, labels: Tensor, shares: Tensor) -> Tensor:
    """Logits `(n, classes)` of targets that are soft ones in part, and smoothed labels for the rest.

    Args:
        task: whose labels are smoothed.
        logits, labels: soft targets `(n, classes)` and labels `(n,)`.
        shares: of soft targets for each class, `(classes,)`.
    """
    share = shares[labels, None]
    return ((1 - share) * task.smoothed(labels) + share * logits.softmax(1)).log()


def largest_affordable(bench: Workbench) -> int:
    """The largest resolution, no smaller than those that are trained, that all pictures can be read at; 0 for none."""
    settings, trained = bench.run.settings, bench.run.trained[-1]
    sides = [side for side in bench.run.family.resolutions if side >= trained]
    if settings.budget_s is None:
        epochs = (settings.iterations or 1) * (settings.epochs or 1)
        return max(affordable(sides, 1.0, READING * epochs * TRAINING * trained**2), default=0)
    if settings.budget_s < LEAST_BUDGET_S:
        return 0
    pictures, left_s = len(bench.trainer.images.labels) + len(bench.val), settings.budget_s - bench.watch.used_s
    return max(affordable(sides, seconds_of_a_pixel(bench) * pictures, READING * left_s), default=0)


def soft_targets(bench: Workbench, side: int) -> Tensor:
    """Logits of soft targets, `(n, classes)`: for all training pictures, then for all validation pictures.

    Args:
        bench: of a run that starts from one published network.
        side: resolution at which it reads, in pixels.
    """
    network, images, val = without_classifier(published(bench)), bench.trainer.images, bench.val
    with bench.watch.phase("soft", resolution=side):
        of_train = features_at(bench, network, images.pixels, np.arange(len(images.pixels)), side, "soft")
        of_val = features_at(bench, network, val, np.arange(len(val)), side, "soft")
    with bench.watch.phase("folds"):
        contents = [bench.dataset.entries[row].content for row in bench.dataset.splits["train"]]
        answers = answers_of_others(
            bench.classification, of_train, images.labels, contents, bench.seed, bench.watch.progress
        )
        weight, bias = logistic_regression(bench.classification, of_train, images.labels)
        return torch.cat([answers, of_val @ weight.T + bias])


def answers_of_others(
    task: Classification,
    features: Tensor,
    labels: Tensor,
    contents: Sequence[bytes],
    seed: int,
    progress: Progress = silent,
) -> Tensor:
    """Logits `(n, classes)` of linear classifiers: each picture's is fitted to those of other folds.

    Args:
        task: whose loss is minimised.
        features, labels: `(n, d)` and `(n,)`.
        contents: of the n pictures; equal ones are in one fold, so that no copy tells a picture's label.
        seed: of the folds.
        progress: called after each fold.
    """
    distinct, number = np.unique(contents, return_inverse=True)
    folds = (rng.generator(seed, "folds").permutation(len(distinct)) % FOLDS)[number]
    answers = torch.empty(len(features), task.classes)
    for fold in range(FOLDS):
        held_out = torch.from_numpy(folds == fold)
        weight, bias = logistic_regression(task, features[~held_out], labels[~held_out])
        answers[held_out] = features[held_out] @ weight.T + bias
        progress("folds", fold + 1, FOLDS + 1)
    return answers
