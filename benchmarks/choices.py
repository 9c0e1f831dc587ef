"""How a published network's supernet is best adapted: batches, rates, averages, teachers, for the same pictures.

    python benchmarks/choices.py flowers102 clothing
    python benchmarks/choices.py dtd10 --ways "as it is" "rate by cost" --seed 101
    python benchmarks/choices.py oxford_pets --ways "as it is" "rate 1e-4" --pictures 61440

Choices: 70% of the training pictures are used, the others answer; no test picture is opened. As in a transfer, the
whole of `efficientnet-lite0` is fine-tuned by itself from a probe (47 batches of 32), the subnets are fitted to it, and
then one architecture a batch is trained: the whole network at a random resolution in a third of the steps, the whole
with more or less left out in the others. Every way sees 10,240 pictures, or as many as are asked for, those with a
teacher 0.74 of them, as long as the others take. Errors in percent, with the shared classifier: means of the whole
network at nine resolutions from 24 to 128 px, of it up to 48 px and from 96 px on, of 8 trimmed subnets and of 6
uniform ones.
"""

import argparse
import copy
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from common import SHARED, write
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from naturalize import rng
from naturalize.data import Pixels, open_data
from naturalize.data.augment import Augment
from naturalize.objectives.exact import exact_counts
from naturalize.reconstruction import reconstruct
from naturalize.soft_targets import answers_of_others, beside_labels, shares_of
from naturalize.space import Architecture
from naturalize.supernet import Subnet, Supernet, make_family
from naturalize.tasks import Classification
from naturalize.training.adapt import CLIP, cosine, make_optimizer, warm_up
from naturalize.training.batches import Batches, TrainingImages
from naturalize.training.evaluate import fold, logits_of
from naturalize.warm_start import logistic_regression, without_classifier
from naturalize.weights import published_supernet, transplant
from naturalize.workbench import weight_decay

SIDES = (24, 32, 40, 48, 64, 80, 96, 112, 128)
FIT, FIT_SIDE, HELD_OUT, MOST_HELD_OUT = 128, 96, 0.3, 500
PICTURES, WITH_TEACHER = 160 * 64, 0.74  # that a way sees; share of them where a teacher answers too
TUNING, TUNING_RATE, SOFT_SIDE = 47, 2e-4, 224
NOT_SHARED = {"offsets", "shifts", "classifier"}  # parts of parameters' names
CPU = torch.device("cpu")

Rows = NDArray[np.int64]
Draw = Callable[[int], Architecture]
Errors = dict[str, float]


@dataclass(frozen=True)
class Way:
    """A way to adapt.

    Attributes:
        batch: pictures of a step.
        rate: of AdamW, where its cosine starts.
        whole: share of the steps for the whole network.
        average: share of the steps, at the end, whose weights are averaged.
        by_cost: the rate is that of the whole network times its multiply-adds over the subnet's, to this power.
        near: factor of the difference to the starting weights that gradients get in addition.
        teacher: weight of the fine-tuned whole network's answers in the loss; labels have the rest of 1.
        beta: decay of AdamW's second moments.
        smooth: of labels, which are as they are unless told; a transfer smooths them by a tenth.
        shared: factor of the rate of shared weights, those of the whole network, where a subnet learns.
        soft: weight of soft targets in the loss, as of `naturalize.soft_targets`, which labels have the rest of; by
            class, as there, where None.
    """

    batch: int = 32
    rate: float = 4e-4
    whole: float = 1 / 3
    average: float = 0.0
    by_cost: float = 0.0
    near: float = 0.0
    teacher: float = 0.0
    beta: float = 0.99
    smooth: float = 0.0
    shared: float = 1.0
    soft: float | None = 0.0


WAYS = {
    "as it is": Way(batch=64),
    "batches of 32": Way(),
    "batches of 16, rate 2.8e-4": Way(batch=16, rate=2.8e-4),
    "rate 2.8e-4": Way(rate=2.8e-4),
    "rate 8e-4": Way(rate=8e-4),
    "the whole network in two thirds of the steps": Way(whole=2 / 3),
    "average of the last 30%": Way(average=0.3),
    "rate by cost": Way(rate=3e-4, by_cost=0.25),
    "kept near the start": Way(near=0.01),
    "the fine-tuned network teaches": Way(teacher=0.5),
    "second moments decay by 0.999": Way(beta=0.999),
    "labels smoothed": Way(smooth=0.1),
    "rate 2e-4": Way(batch=64, rate=2e-4),
    "rate 1e-4": Way(batch=64, rate=1e-4),
    "rate 1e-4, by cost": Way(batch=64, rate=1e-4, by_cost=0.25),
    "shared weights at a quarter of the rate where subnets learn": Way(batch=64, shared=0.25),
    "shared weights learn from the whole network alone": Way(batch=64, shared=0.0),
    "soft targets": Way(batch=64, soft=None),
    "soft targets, half": Way(batch=64, soft=0.5),
    "soft targets, nine tenths": Way(batch=64, soft=0.9),
}


class Work:
    """A set's pictures, a supernet whose largest network was fine-tuned, and that network."""

    def __init__(self, name: str, seed: int, pictures: int) -> None:
        self.seed, self.pictures = seed, pictures
        data = open_data(SHARED / f"{name}-train.parquet")
        rows = np.concatenate([data.splits["train"], data.splits["val"]])
        rows = rows[np.random.default_rng(seed).permutation(len(rows))]
        used = round((1 - HELD_OUT) * len(rows))
        self.train, self.held_out = Pixels(data, rows[:used], SIDES), Pixels(data, rows[used:][:MOST_HELD_OUT], SIDES)
        self.contents = [data.entries[row].content for row in rows[:used]]
        self.images = TrainingImages(self.train, Augment(flip=True), seed)
        self.family = make_family("efficientnet-lite0", SIDES[-1], SIDES)
        self.space, self.task = self.family.space, Classification(len(data.class_names))
        self.madds = exact_counts(self.family, self.task, 3)["madds"]
        self.wholes = self.space.architectures(self.space.wholes())
        self.supernet, self.teacher = self.tuned()

    def tuned(self) -> tuple[Supernet, Subnet]:
        """The supernet from which all ways start, and its largest network."""
        source = published_supernet("efficientnet-lite0")
        mean, std = (part.flatten().tolist() for part in (source.normalize.mean, source.normalize.std))
        made = Supernet(self.family, {"default": self.task.heads(self.family)}, mean, std)
        transplant(made, source)
        made = made.to(memory_format=torch.channels_last).eval()
        body = without_classifier(self.plain(made, self.space.largest))
        seen = logits_of(body, self.train(np.arange(len(self.train)), SIDES[-1]), CPU).clone()
        weight, bias = logistic_regression(self.task, seen, self.images.labels)
        with torch.no_grad():
            made.head_of(0).classifier.weight.copy_(weight)
            made.head_of(0).classifier.bias.copy_(bias)

        def draw(step: int) -> Architecture:
            return self.wholes[-1 if step % 2 else rng.generator(self.seed, "tune", step).integers(len(self.wholes))]

        self.adapt(made, Way(rate=TUNING_RATE), TUNING, draw)
        teacher = self.plain(made, self.space.largest)
        some = np.sort(rng.generator(self.seed, "fit").permutation(len(self.train))[:FIT])
        reconstruct(made.body(self.space.largest), teacher, torch.from_numpy(self.train(some, FIT_SIDE)))
        return made, teacher

    def plain(self, supernet: Supernet, arch: Architecture) -> Subnet:
        """A subnet with the statistics that it is deployed with."""
        return supernet.extract(arch).eval().to(memory_format=torch.channels_last)

    def adapted(self, way: Way) -> Supernet:
        """The supernet after a way's training."""
        supernet, steps = copy.deepcopy(self.supernet), self.pictures // way.batch
        if way.teacher:
            steps = round(WITH_TEACHER * steps)

        def draw(step: int) -> Architecture:
            generator = rng.generator(self.seed, "draw", step)
            if generator.random() < way.whole:
                return self.wholes[generator.integers(len(self.wholes))]
            return self.space.architectures(self.space.sample_trimmed(1, generator))[0]

        self.adapt(supernet, way, steps, draw)
        return supernet

    def adapt(self, supernet: Supernet, way: Way, steps: int, draw: Draw) -> None:
        """Train a supernet for some steps; it is left with the average that the way asks for."""
        optimizer = make_optimizer(supernet, weight_decay(len(self.train)), adaptive=True)
        not_shared = {id(p) for name, p in supernet.named_parameters() if NOT_SHARED & set(name.split("."))}
        for group in list(optimizer.param_groups):
            own = [p for p in group["params"] if id(p) in not_shared]
            group["params"] = [p for p in group["params"] if id(p) not in not_shared]
            optimizer.add_param_group({**group, "params": own, "own": True})
        batches, rate = Batches(len(self.train), way.batch, self.seed), warm_up(cosine(0.0, 1.0, way.rate), 0.1)
        start = {name: weight.detach().clone() for name, weight in supernet.named_parameters()}
        averaged: list[dict[str, Tensor]] = []
        largest = float(self.madds(self.space.wholes()[-1:])[0])
        for step in range(steps):
            arch = draw(step)
            cost = float(self.madds(np.array([arch.code]))[0]) / largest
            for group in optimizer.param_groups:
                group["lr"], group["betas"] = rate(step / steps) * cost**-way.by_cost, (0.9, way.beta)
                if arch not in self.wholes and not group.get("own"):
                    group["lr"] *= way.shared
            optimizer.zero_grad(set_to_none=True)
            side = SIDES[arch.code[0]]
            rows = batches.rows(step)
            pictures, labels = self.images(rows, side, step, supernet.normalize)
            self.loss(way, supernet(pictures, arch), pictures, labels, rows).backward()
            if way.near:
                for name, weight in supernet.named_parameters():
                    if weight.grad is not None and ".classifier." not in name:
                        weight.grad.add_(weight.detach() - start[name], alpha=way.near)
            nn.utils.clip_grad_norm_(supernet.parameters(), CLIP)
            optimizer.step()
            if step >= (1 - way.average) * steps:
                averaged.append({name: weight.detach().clone() for name, weight in supernet.named_parameters()})
        if averaged:
            for name, weight in supernet.named_parameters():
                weight.detach().copy_(torch.stack([each[name] for each in averaged]).mean(0))

    def loss(self, way: Way, logits: Tensor, pictures: Tensor, labels: Tensor, rows: Rows) -> Tensor:
        """Against labels, and soft targets or the teacher's answers where the way has some."""
        if way.soft is None:
            return self.task.distillation_loss(logits, self.beside_labels[rows])
        own = F.cross_entropy(logits, labels, label_smoothing=way.smooth)
        if way.soft:
            return (1 - way.soft) * own + way.soft * self.task.distillation_loss(logits, self.soft_targets[rows])
        if not way.teacher:
            return own
        with torch.no_grad():
            answers = self.teacher.of_normalised(pictures)
        return (1 - way.teacher) * own + way.teacher * self.task.distillation_loss(logits, answers)

    @cached_property
    def soft_targets(self) -> Tensor:
        """Logits of soft targets for the pictures in use, `(n, classes)`."""
        source = published_supernet("efficientnet-lite0")
        body = without_classifier(source.extract(source.family.space.largest).eval())
        features = logits_of(body, self.train(np.arange(len(self.train)), SOFT_SIDE), CPU).clone()
        return answers_of_others(self.task, features, self.images.labels, self.contents, self.seed)

    @cached_property
    def beside_labels(self) -> Tensor:
        """Logits of the targets that a transfer has, `(n, classes)`."""
        labels = self.images.labels
        shares = shares_of(self.soft_targets, labels, self.task.classes)
        return beside_labels(self.task, self.soft_targets, labels, shares)

    def errors(self, supernet: Supernet) -> Errors:
        """Of the whole network by resolution, of trimmed and of uniform subnets, on held-out pictures."""
        space, truth = self.space, torch.from_numpy(self.held_out.labels)
        groups = {
            "whole": self.wholes,
            "trimmed": space.architectures(space.sample_trimmed(8, np.random.default_rng(5))),
            "uniform": space.architectures(space.sample(6, np.random.default_rng(6))),
        }
        found: dict[str, list[float]] = {}
        for group, archs in groups.items():
            for arch in archs:
                pixels = self.held_out(np.arange(len(truth)), SIDES[arch.code[0]])
                logits = logits_of(fold(self.plain(supernet, arch)), pixels, CPU)
                found.setdefault(group, []).append(100.0 * float(self.task.wrong(logits, truth).float().mean()))
        parts = {"whole": found["whole"], "to 48 px": found["whole"][:4], "from 96 px": found["whole"][-3:]}
        parts |= {group: found[group] for group in ("trimmed", "uniform")}
        return {part: round(float(np.mean(errors)), 2) for part, errors in parts.items()}


def main() -> None:
    """Adapt, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", default=["flowers102", "clothing"])
    parser.add_argument("--seed", type=int, default=100)
    parser.add_argument("--pictures", type=int, default=PICTURES, help="that a way sees")
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    asked = parser.parse_args()
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    table: dict[str, dict[str, Errors]] = {}
    for name in asked.sets:
        work = Work(name, asked.seed, asked.pictures)
        table[name] = {"the start": work.errors(work.supernet)}
        print(f"{name}  the start  {table[name]['the start']}", flush=True)
        for way in asked.ways:
            start = time.perf_counter()
            table[name][way] = work.errors(work.adapted(WAYS[way]))
            print(f"{name}  {way}  {table[name][way]}  {time.perf_counter() - start:.0f} s", flush=True)
    write(
        "choices" if asked.pictures == PICTURES else f"choices-{asked.pictures}",
        {"seed": asked.seed, "pictures": asked.pictures, "errors": table},
    )


if __name__ == "__main__":
    main()
