"""Choices of adaptation, measured on validation: rates, averaging, distillation, batch size, augmentation.

    python benchmarks/adaptation.py cifar10 --supernet mini --images 5000 --budget 3m --seeds 2 --runs /tmp/adaptation
    python benchmarks/adaptation.py food101_6 --supernet efficientnet-lite0 --budget 5m --seeds 2 --runs /tmp/adaptation

Every run prepares as a transfer does, then adapts to uniform draws with the rest of the same time, kept on one CPU, as
many at once as there are CPUs. Printed are the errors of the smallest subnet, 8 random ones and the largest, on all
images that were not trained on: no result is told of these data. Seeds begin at 200, apart from those of results.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import product
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import torch
from common import SHARED, answer_all_unseen, each_on_a_cpu, write
from three_ways import data_of

from naturalize import api, nat, preparing, schedule, workbench
from naturalize.data import augment
from naturalize.drawing import uniform
from naturalize.preparing import prepare
from naturalize.session import Session
from naturalize.training.adapt import Extent, Step, Trainer, TrainingState, cosine
from naturalize.workbench import Workbench

FIRST_SEED, SUBNETS = 200, 8
OWN_END = 0.85  # of the budget, for training; the rest measures

Patch = tuple[Any, str, Any]
update = Trainer.update


def with_head_rate(factor: float) -> Callable[..., None]:
    """`Trainer.update` by which the classifiers learn so many times as fast as the rest."""

    def scaled(self: Trainer, loss: float, state: TrainingState) -> None:
        for name, parameter in self.supernet.named_parameters():
            if ".classifier." in name and parameter.grad is not None:
                parameter.grad.mul_(factor)
        update(self, loss, state)

    return scaled


def with_average(decay: float) -> Callable[..., None]:
    """`Trainer.update` that keeps an exponential moving average of the weights beside them."""

    def averaged(self: Trainer, loss: float, state: TrainingState) -> None:
        update(self, loss, state)
        kept = self.__dict__.setdefault("average", {})
        with torch.no_grad():
            for name, parameter in self.supernet.named_parameters():
                kept.setdefault(name, parameter.detach().clone()).lerp_(parameter, 1 - decay)

    return averaged


def labels_alone(trainer: Trainer, own: Workbench, first: int) -> Step:
    """One uniform architecture a batch, as NAT adapts."""
    return trainer.adaptation_step(partial(uniform, own.supernet.family.space, own.seed), first)


def from_the_largest(trainer: Trainer, own: Workbench, first: int) -> Step:
    """The largest from the labels, a uniform architecture from the largest, on the same batch."""
    space = own.supernet.family.space
    return trainer.sandwich_step(lambda step: [space.largest, uniform(space, own.seed, step)], first)


def at_rate(rate: float) -> list[Patch]:
    """Adaptation and warm-up begin at this rate."""
    return [(module, "peak_rate", lambda settings, kept=False: rate) for module in (nat, preparing)]


WAYS: dict[str, list[Patch]] = {
    "as it is": [],
    "no warm start": [(preparing, "start", lambda own: None)],
    "rate 0.002": at_rate(0.002),
    "rate 0.005": at_rate(0.005),
    "rate 0.01": at_rate(0.01),
    "rate 0.02": at_rate(0.02),
    "rate 0.05": at_rate(0.05),
    "rate 0.1": at_rate(0.1),
    "preparation at 0.02": [(preparing, "RATE_OF_TRAINED", 0.02)],
    "preparation at 0.002": [(preparing, "RATE_OF_TRAINED", 0.002)],
    "head x 5": [(Trainer, "update", with_head_rate(5.0))],
    "head x 0.2": [(Trainer, "update", with_head_rate(0.2))],
    "average 0.99": [(Trainer, "update", with_average(0.99))],
    "average 0.998": [(Trainer, "update", with_average(0.998))],
    "from the largest": [(sys.modules[__name__], "labels_alone", from_the_largest)],
    "batch 32": [(workbench, "batch_size", lambda images: 32)],
    "batch 128": [(workbench, "batch_size", lambda images: 128)],
    "decay 2e-4": [(workbench, "weight_decay", lambda images: 2e-4)],
    "turns x 2": [(augment, "TURN", 2 * augment.TURN), (augment, "ZOOM", 2 * augment.ZOOM)],
    "no cutout": [(augment, "CUTOUT", 0.0)],
    "preparation 0.02": [(schedule, "PREPARATION", 0.02)],
    "preparation 0.1": [(schedule, "PREPARATION", 0.1)],
    "preparation 0.7": [(schedule, "PREPARATION", 0.7)],
}


@contextmanager
def patched(patches: list[Patch]) -> Iterator[None]:
    """Attributes exchanged for a while."""
    before = [(owner, name, getattr(owner, name)) for owner, name, _ in patches]
    try:
        for owner, name, value in patches:
            setattr(owner, name, value)
        yield
    finally:
        for owner, name, value in before:
            setattr(owner, name, value)


def adapt_only(own: Workbench) -> None:
    """In place of `preparing.prepare_only`: prepare, adapt, and measure."""
    settings, watch, session = own.run.settings, own.watch, Session(own)
    assert settings.budget_s is not None
    until = OWN_END * settings.budget_s
    share = schedule.WARM_UP if own.prepared else schedule.PREPARATION
    prepare(session, Extent(seconds=share * (until - watch.used_s)))
    rate = cosine(0.0, 1.0, preparing.peak_rate(settings, own.run.keeps_statistics))
    step = partial(labels_alone, own.trainer, own)
    session.train("adapt", 1, step, Extent(seconds=until - watch.used_s), rate)
    for name, weight in own.trainer.__dict__.get("average", {}).items():  # under the names that Fabric gives
        own.supernet.get_parameter(name.removeprefix("_forward_module.")).detach().copy_(weight)
    answer_all_unseen(own)
    space = own.supernet.family.space
    codes = np.concatenate([space.corners(), space.sample(SUBNETS, np.random.default_rng(0))])
    errors = own.error.measure(codes).values
    watch.event("adapted", smallest=errors[0], largest=errors[1], random=errors[2:].mean(), steps=session.state)


def run_one(job: tuple[int, str], data: Any, supernet: str, budget: str, runs: Path) -> tuple[str, list[float]]:
    """Errors of one run, of a seed and a way: smallest, mean of random ones, largest."""
    number, way = job
    seed = FIRST_SEED + number
    told: list[dict[str, Any]] = []
    preparing.prepare_only = adapt_only  # type: ignore[assignment]
    out = runs / f"{way.replace(' ', '-')}-{seed}"
    with patched([patch for part in way.split(" + ") for patch in WAYS[part]]):
        api.prepare(data, out, supernet=supernet, budget=budget, seed=seed, listeners=[told.append])
    (found,) = (event for event in told if event["event"] == "adapted")
    errors = [round(float(found[name]), 2) for name in ("smallest", "random", "largest")]
    print(way, seed, errors, found["steps"]["steps_before"], "steps", flush=True)
    return way, errors


def main() -> None:
    """Run, print and write the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--supernet", default="mini")
    parser.add_argument("--images", type=int, help="a seeded part of the data, at one size; all unless told")
    parser.add_argument("--budget", default="3m")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--ways", nargs="*", default=list(WAYS), help="some of them, or several at once as 'a + b'")
    parser.add_argument("--runs", type=Path, required=True)
    asked = parser.parse_args()
    data = data_of(asked.data, asked.images) if asked.images else SHARED / f"{asked.data}-train.parquet"
    runs = asked.runs / f"{asked.data}-{asked.supernet}"
    run = partial(run_one, data=data, supernet=asked.supernet, budget=asked.budget, runs=runs)
    every = each_on_a_cpu(run, product(range(asked.seeds), asked.ways))
    table = {way: [errors for name, errors in every if name == way] for way in asked.ways}
    print(f"{asked.data}, {asked.supernet}, {asked.budget}: validation error in percent, mean of {asked.seeds} seeds")
    for way, rows in table.items():
        smallest, random, largest = (mean(column) for column in zip(*rows, strict=True))
        print(f"{way:>20}  smallest {smallest:6.2f}  random {random:6.2f}  largest {largest:6.2f}")
    write(f"adaptation-{asked.data}-{asked.supernet}", {"budget": asked.budget, "errors": table})


if __name__ == "__main__":
    main()
