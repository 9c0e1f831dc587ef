"""Ways to prepare a supernet, at the same budget and on the same data: largest, 20 random and smallest subnet.

    python benchmarks/preparation.py --classes 20 --budget 7m --seeds 3 --runs /tmp/preparation

- sandwich: as `naturalize prepare`: largest, smallest, two random subnets a batch, distilled from the largest.
- alpha: the same with AlphaNet's adaptive alpha-divergence in place of cross-entropy (Wang et al., ICML 2021).
- delayed: the largest alone for half of the time, then the sandwich rule (Venkatesha et al., arXiv 2407.06167).
- shrink: Once-for-All's progressive shrinking, as `naturalize prepare --method shrink`.
- random: one random subnet a batch, from the labels alone.

Classes of CIFAR-100, so few that minutes teach them; accuracies of calibrated subnets on a fifth of their training
images, which no training sees. Each run is kept on one CPU, as many at once as there are.
"""

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import torch
from common import SHARED, each_on_a_cpu, write
from torch import Tensor

from naturalize import api, preparing
from naturalize.data import Pixels, open_data
from naturalize.drawing import sandwich, uniform
from naturalize.objectives.error import Error
from naturalize.preparing import RATE, WARM_UP_SHARE, train_by_sandwich
from naturalize.session import Session
from naturalize.space import Architecture
from naturalize.tasks import Classification
from naturalize.training.adapt import Extent, Step, cosine, warm_up
from naturalize.training.subnets import Subnets

CROSS_ENTROPY = Classification.distillation_loss
CLIP = 5.0  # of importance ratios
SUBNETS = 20


def alpha_divergence(logits: Tensor, teacher: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """Value of the divergence of each row, and a loss with its gradient, ratios clipped (AlphaNet, section 4)."""
    q, p = logits.detach().softmax(1), teacher.softmax(1)
    ratio = p / q.clamp_min(1e-12)
    if alpha == 1:
        value, weight = (q * ratio * ratio.clamp_min(1e-12).log()).sum(1), ratio
    else:
        powered = (ratio**alpha).clamp(0, CLIP)
        base = 1 / (alpha * (alpha - 1))
        value, weight = (q * (powered - 1) * base).sum(1), powered / alpha + base
    return value, -(q * weight * logits.log_softmax(1)).sum(1)


def adaptive_loss(task: Classification, logits: Tensor, teacher: Tensor) -> Tensor:
    """In place of `Classification.distillation_loss`: of each image the larger of two divergences."""
    (low, low_loss), (high, high_loss) = (alpha_divergence(logits, teacher.detach(), alpha) for alpha in (-1, 1))
    return torch.where(low > high, low_loss, high_loss).mean()


def trained_by(session: Session, extent: Extent, step_of: Callable[[int], Step]) -> None:
    """A training from nothing with the rate of the sandwich rule."""
    session.train("prepare", 0, step_of, extent, warm_up(cosine(0.0, 1.0, RATE), WARM_UP_SHARE))


def delayed(session: Session, extent: Extent) -> None:
    """The largest alone, then the sandwich rule."""
    trainer, family = session.bench.trainer, session.bench.supernet.family
    (largest,) = family.space.architectures(family.space.corners()[1:])
    start = session.bench.watch.used_s
    assert extent.seconds is not None

    def step_of(first: int) -> Step:
        whole = trainer.sandwich_step(partial(sandwich, family, session.bench.seed), first)
        alone = trainer.adaptation_step(lambda step: largest, first)
        half = start + extent.seconds / 2  # type: ignore[operator]
        return lambda number: (alone if session.bench.watch.used_s < half else whole)(number)

    trained_by(session, extent, step_of)


def random(session: Session, extent: Extent) -> None:
    """One uniform architecture a batch."""
    trainer, space = session.bench.trainer, session.bench.supernet.family.space
    draw: Callable[[int], Architecture] = partial(uniform, space, session.bench.seed)
    trained_by(session, extent, lambda first: trainer.adaptation_step(draw, first))


WAYS: Sequence[str] = ("sandwich", "alpha", "delayed", "shrink", "random")


def cifar100(classes: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The training images of the first classes, a fifth of them for validation; no test image is read."""
    from datasets import load_dataset

    table = load_dataset("parquet", data_files=str(SHARED / "cifar100-train.parquet"), split="train")
    names = np.array(table.features["label"].names)
    order = np.random.default_rng(0).permutation(len(table))
    order = order[np.array(table["label"])[order] < classes]
    parts = {}
    for split, rows in (("val", order[: len(order) // 5]), ("train", order[len(order) // 5 :])):
        chosen = table.select(rows)
        pixels = np.stack([np.asarray(image.convert("RGB")) for image in chosen["image"]])
        parts[split] = pixels, names[chosen["label"]]
    return {**parts, "test": (parts["val"][0][:100], parts["val"][1][:100])}


def run_one(job: tuple[int, str], data: Any, budget: str, runs: Path) -> tuple[str, list[float]]:
    """Accuracies of one run, of a seed and a way: largest, mean of random ones, smallest."""
    seed, way = job
    preparing.train_by_sandwich = {"delayed": delayed, "random": random}.get(way, train_by_sandwich)
    Classification.distillation_loss = adaptive_loss if way == "alpha" else CROSS_ENTROPY  # type: ignore[method-assign]
    out = runs / f"{way}-{seed}"
    method = "shrink" if way == "shrink" else "sandwich"
    run = api.prepare(data, out, supernet="mini", scratch=True, method=method, budget=budget, seed=seed, listeners=())
    supernet, space, dataset = run.trained_supernet(), run.family.space, open_data(data)
    images = Pixels(dataset, dataset.splits["val"], run.family.resolutions)
    error = Error(Subnets(supernet, run.stored("calibration"), torch.device("cpu")), run.task, images)
    codes = np.concatenate([space.corners(), space.sample(SUBNETS, np.random.default_rng(0))])
    found = 100.0 - error.measure(codes).values
    accuracy = [round(float(value), 2) for value in (found[1], found[2:].mean(), found[0])]
    print(way, seed, accuracy, flush=True)
    return way, accuracy


def main() -> None:
    """Run, print and write the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classes", type=int, default=20)
    parser.add_argument("--budget", default="7m")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--runs", type=Path, required=True)
    asked = parser.parse_args()
    run = partial(run_one, data=cifar100(asked.classes), budget=asked.budget, runs=asked.runs)
    every = each_on_a_cpu(run, product(range(asked.seeds), WAYS))
    table = {way: [accuracy for name, accuracy in every if name == way] for way in WAYS}
    print(f"{asked.classes} classes, {asked.budget}: accuracy in percent, mean (sd) over {asked.seeds} seeds")
    for way, rows in table.items():
        cells = [f"{mean(c):6.2f} ({stdev(c) if len(c) > 1 else 0:.2f})" for c in zip(*rows, strict=True)]
        print(f"{way:>9}  largest {cells[0]}  random {cells[1]}  smallest {cells[2]}")
    write("preparation", {"classes": asked.classes, "budget": asked.budget, "accuracy": table})


if __name__ == "__main__":
    main()
