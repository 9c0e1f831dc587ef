"""Soft targets: what the published network makes of each picture, by a classifier that has not learnt from it.

The network reads enlarged pictures, so it knows much that small networks at low resolutions cannot see; and what a
classifier answers to pictures that it never saw is honest about what is alike (labels tell nothing of that, and answers
to pictures that were learnt by heart hardly more). Subnets learn from these answers beside the labels: distillation
(Hinton et al., 2015) with a teacher that looks at every picture once. Figures are in docs/benchmarks.md.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor

from naturalize import journal, rng
from naturalize.probing import affordable, features_at, published, seconds_of_a_pixel
from naturalize.tasks import Classification
from naturalize.tensor_files import load_tensors, save_tensors
from naturalize.warm_start import logistic_regression, without_classifier
from naturalize.workbench import Workbench

FILE, RESOLUTION = "soft-targets.safetensors", "resolution"  # in a run; what it says of itself, in pixels
READING = 0.01  # share of a budget, at most, for reading the pictures: short ones have better use for their time
FOLDS = 5  # of the training pictures, each answered by a classifier that is fitted to the others


def learn_from_soft_targets(bench: Workbench) -> None:
    """Let the supernet learn from soft targets besides labels, where its run starts from one published network.

    The run gets `soft-targets.safetensors`, once, and again where a larger budget affords a larger resolution. Nothing
    happens where the budget has no time to read all pictures, where a class has fewer than `FOLDS` of them in the mean,
    or where classes are balanced.
    """
    few = len(bench.trainer.images.labels) < FOLDS * bench.task.classes
    if few or not bench.reads_published or bench.run.settings.balanced:
        return
    budget_s = bench.run.settings.budget_s
    side = int(bench.archive.decide(journal.soft(budget_s), lambda: largest_affordable(bench)))
    path = bench.run.directory / FILE
    logits, read_at = kept(path)
    if side > read_at:
        logits = soft_targets(bench, side)
        save_tensors(path, {"logits": logits}, {RESOLUTION: str(side)})
    elif not read_at:
        return
    share = share_of(logits, bench.trainer.images.labels)
    if share:
        bench.trainer.soft, bench.trainer.soft_share = logits.to(bench.device), share


def kept(path: Path) -> tuple[Tensor, int]:
    """Logits of a file of soft targets, and the resolution that was read; none, 0 where it is not there or damaged."""
    try:
        tensors, facts = load_tensors(path)
        return tensors["logits"], int(facts[RESOLUTION])
    except (OSError, SafetensorError, ValueError, KeyError):  # they can be had again
        return torch.empty(0, 0), 0


def share_of(logits: Tensor, labels: Tensor) -> float:
    """Share of soft targets in the loss: none where half of them or fewer are right, all where all are.

    Args:
        logits: `(n, classes)`, those of the training pictures first.
        labels: of the training pictures, `(m,)`.
    """
    right = float((logits[: len(labels)].argmax(1) == labels).float().mean())
    return max(0.0, 2 * right - 1)


def largest_affordable(bench: Workbench) -> int:
    """The largest resolution, no smaller than those that are trained, that all pictures can be read at; 0 for none."""
    budget_s = bench.run.settings.budget_s
    sides = [side for side in bench.run.family.resolutions if side >= bench.run.trained[-1]]
    if budget_s is None:
        return sides[-1]
    pictures = len(bench.trainer.images.pixels) + len(bench.val)
    return max(affordable(sides, seconds_of_a_pixel(bench) * pictures, READING * budget_s), default=0)


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
        answers = answers_of_others(bench.task, of_train, images.labels, bench.seed)
        weight, bias = logistic_regression(bench.task, of_train, images.labels)
        return torch.cat([answers, of_val @ weight.T + bias])


def answers_of_others(task: Classification, features: Tensor, labels: Tensor, seed: int) -> Tensor:
    """Logits `(n, classes)` of linear classifiers: each picture's is fitted to those of other folds.

    Args:
        task: whose loss is minimised.
        features, labels: `(n, d)` and `(n,)`.
        seed: of the folds.
    """
    folds = rng.generator(seed, "folds").permutation(len(features)) % FOLDS
    answers = torch.empty(len(features), task.classes)
    for held_out in (torch.from_numpy(folds == number) for number in range(FOLDS)):
        weight, bias = logistic_regression(task, features[~held_out], labels[~held_out])
        answers[held_out] = features[held_out] @ weight.T + bias
    return answers
