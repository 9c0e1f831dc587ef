"""The study of how to train: plainly, from nothing, one data set or several at once (ablations of NAT)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from naturalize import nat
from naturalize.data import open_data
from naturalize.data.augment import Augment
from naturalize.joint.asked import joint_settings
from naturalize.joint.lifecycle import work_jointly
from naturalize.lifecycle import work
from naturalize.nat import Transfer
from naturalize.options import chosen_supernet, make_settings
from naturalize.preparing import peak_rate
from naturalize.run import parse_budget
from naturalize.run.watch import Listener
from naturalize.study.study import Cell, Row, Study
from naturalize.study.ways import cells_of, directory_of, outcome, ways_study
from naturalize.training.adapt import Extent, OnStep, Step, Trainer, TrainingState
from naturalize.training.batches import TrainingImages
from naturalize.workbench import Workbench

JOINT = "joint"
WAYS = {
    "nat": "a transfer as it is",
    "plain": "a transfer with pictures mirrored at most, and a constant learning rate",
    "scratch": "a transfer from nothing",
}
SEVERAL = {**WAYS, JOINT: "one search over all data sets, in the time of their transfers together"}
CONSTANT = 0.5  # of the rate at which the cosine starts: its mean


def training_study(
    sets: Mapping[str, str],
    out: Path,
    budget: str,
    supernet: str | None,
    seeds: Sequence[int],
    listeners: Sequence[Listener] = (),
) -> Study:
    """A cell for each data set, way and seed, and one for each joint run, whose rows are a data set's each.

    Args:
        sets, out, supernet, seeds, listeners: as of `adaptation_study`.
        budget: of each run, as `"5m"`; a joint run has it for each data set.
    """

    @cache
    def common() -> str | None:
        return common_supernet(sets, supernet)

    def measure(cell: Cell) -> list[Row]:
        directory, way, seed = directory_of(cell, out), cell["way"], cell["seed"]
        if way == JOINT:
            together = f"{len(sets) * parse_budget(budget):.3f}s"
            settings = joint_settings(sets, together, None, None, supernet=common(), seed=seed)
            run = work_jointly(sets, directory, settings, listeners, None)
            return [{"data": name, **outcome(run.run(name))} for name in sets]
        source = sets[cell["data"]]
        settings = make_settings(source, budget, None, None, supernet=common(), seed=seed)
        if way == "scratch":
            settings = replace(settings, weights=None)
        do = plain_transfer if way == "plain" else None
        return [outcome(work(source, directory, settings, listeners, None, do=do))]

    ways, cells = WAYS, cells_of(list(sets), budget, list(WAYS), seeds)
    if len(sets) > 1:
        ways, cells = SEVERAL, cells + cells_of(["+".join(sets)], budget, [JOINT], seeds)
    question = "What do augmentation and schedule, trained weights, and other data sets bring?"
    return ways_study("training", question, ways, list(sets), budget, cells, measure)


def common_supernet(sets: Mapping[str, str], supernet: str | None) -> str | None:
    """The supernet of all runs: the one that was asked for, or that a joint run of the data sets chooses."""
    if supernet is not None or len(sets) == 1:
        return supernet
    largest = max((open_data(source) for source in sets.values()), key=lambda dataset: dataset.side)
    return chosen_supernet(make_settings("", None, None, None), largest).supernet


# plain training ------------------------------------------------------------------------------------------------------


class Mirroring(Augment):
    """Mirrors half of the pictures, where a mirrored one still is of its class, and does nothing else."""

    def __call__(self, images: Tensor, seed: int) -> Tensor:
        """As of `Augment`."""
        return torch.where(self.chosen(images, seed)[:, None, None, None], images.flip(-1), images)

    def with_masks(self, images: Tensor, masks: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        """As of `Augment`."""
        labels = F.interpolate(masks[:, None].float(), size=images.shape[-1], mode="nearest-exact")[:, 0].long()
        chosen = self.chosen(images, seed)[:, None, None]
        return self(images, seed), torch.where(chosen, labels.flip(-1), labels)

    def chosen(self, images: Tensor, seed: int) -> Tensor:
        """Which of the images are mirrored, `(n,)`."""
        chances = torch.rand(len(images), generator=torch.Generator().manual_seed(seed)).to(images.device)
        return chances < (0.5 if self.flip else 0.0)


@dataclass
class ConstantRate(Trainer):
    """A trainer whose learning rate is always the same.

    Attributes:
        constant: the rate.
    """

    constant: float = 0.0

    def run(
        self, step: Step, state: TrainingState, extent: Extent, rate: Callable[[float], float], on_step: OnStep
    ) -> None:
        """As of `Trainer`, whatever the rate is to be."""
        super().run(step, state, extent, lambda fraction: self.constant, on_step)


def plainly(bench: Workbench) -> Workbench:
    """The workbench with plain augmentation and a constant learning rate for all of its trainings."""
    trainer = bench.trainer
    images = TrainingImages(trainer.images.pixels, Mirroring(trainer.images.augment.flip), bench.seed)
    constant = CONSTANT * peak_rate(bench.run.settings, bench.run.keeps_statistics)
    return replace(bench, trainer=ConstantRate(**{**vars(trainer), "images": images}, constant=constant))


def plain_transfer(bench: Workbench) -> None:
    """Run a transfer that trains plainly."""
    nat.transfer(Transfer(plainly(bench)))
