"""Fine-tuning: chosen networks of a front trained on by themselves, as NAT's are on ImageNet (section 4.2).

A job of its own: with a clock that is not the transfer's, a record, and checkpoints, all in a directory of the run
while it is under way. Each network is delivered as soon as it is trained, so that a stop at any moment loses nothing.
"""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from torch import Tensor, nn

from naturalize.conclude import OF_NO_USE, of_no_use
from naturalize.errors import UserError
from naturalize.files import check_content, checksum_of, write_json
from naturalize.last_adaptation import with_validation
from naturalize.preparing import RATE_OF_KEPT
from naturalize.run.checkpoints import Checkpoints
from naturalize.run.front import PUBLISHED, TRANSFER, networks_of, read_front, val_version
from naturalize.selection import Entry, Front, still_on_front
from naturalize.session import Session
from naturalize.space import Architecture
from naturalize.supernet import Subnet, Supernet
from naturalize.testing import measure_test, one_version, write_front
from naturalize.training.adapt import Extent, Step, TrainingState, cosine, make_optimizer, warm_up
from naturalize.training.evaluate import fold
from naturalize.workbench import Workbench

DIRECTORY = "finetuning"  # in a run, while a job is under way
RATE = 0.01  # where the cosine of each network starts
WARM_UP_SHARE = 0.05
KEPT_S = 0.1  # of the time of each network, for measuring it


class Job:
    """The fine-tuning that is under way in a run, kept in `job.json`.

    Attributes:
        asked: what its networks were chosen by.
        networks: architecture strings, in the order in which they are trained.
        budget_s: wall clock in all.
        begun_s: second of the job's clock at which the first training began; None before.
        done: architecture strings of those that were delivered, or found no better.
    """

    def __init__(self, directory: Path, facts: dict[str, Any]) -> None:
        self.directory = directory
        self.facts = facts

    @classmethod
    def of(cls, run: Path, asked: dict[str, list[str]], budget_s: float, choose: Callable[[], list[str]]) -> Job:
        """The job in a run's directory where it is the same one, to go on with; a new one where there is none.

        Args:
            run: its directory.
            asked: what the networks are chosen by, as the caller gave it.
            budget_s: wall clock in all.
            choose: gives the networks of a new job. One that goes on keeps its own: the front has changed since.

        Raises:
            UserError: another one is under way.
        """
        directory, version = run / DIRECTORY, read_front(run)["weights_version"]
        facts = {"asked": asked, "budget_s": budget_s, "weights_version": version}
        try:
            found = check_content(json.loads((directory / "job.json").read_text(encoding="utf-8")))
        except (OSError, ValueError, AttributeError):  # none, or a damaged one: nothing of it can be used
            found = None
        if found is None or found.get("weights_version") != version:
            facts |= {"networks": choose(), "used_s": 0.0, "begun_s": None, "done": []}
            shutil.rmtree(directory, ignore_errors=True)
            directory.mkdir()
            return cls(directory, facts)
        if any(found.get(name) != value for name, value in facts.items()):
            raise UserError(
                f"the fine-tuning of {', '.join(found['networks'])} in {found['budget_s']:.0f}s is under way in {run}: "
                f"give the same command to go on with it, or delete {directory} to forget it"
            )
        return cls(directory, found)

    @property
    def networks(self) -> list[str]:
        """Architecture strings."""
        return list(self.facts["networks"])

    @property
    def done(self) -> list[str]:
        """Architecture strings of those that need nothing more."""
        return list(self.facts["done"])

    @property
    def used_s(self) -> float:
        """Seconds of wall clock that the job has used, without pauses."""
        return float(self.facts["used_s"])

    @used_s.setter
    def used_s(self, seconds: float) -> None:
        self.write(used_s=seconds)

    def write(self, **facts: Any) -> None:
        """Change facts, durably."""
        self.facts |= facts
        write_json(self.directory / "job.json", {**self.facts, "checksum": checksum_of(self.facts)})

    def turn(self, number: int, used_s: float) -> Extent:
        """How long a network's training lasts: an equal share of what is left when the first one begins.

        Args:
            used_s: of the job's clock, by now.
        """
        if self.facts["begun_s"] is None:
            self.write(begun_s=used_s)
        begun_s = self.facts["begun_s"]
        share = max(1.0, (self.facts["budget_s"] - begun_s) / len(self.networks))
        return Extent(seconds=(1 - KEPT_S) * share, until=begun_s + (number + 1 - KEPT_S) * share)

    def forget(self) -> None:
        """Delete it: all is delivered."""
        shutil.rmtree(self.directory, ignore_errors=True)


def finetune(bench: Workbench, job: Job) -> None:
    """Train each network for its share of the time; those that became better on validation take the old ones' places.

    Networks that learnt from the validation pictures too go on with them: these cannot judge any more, so each takes
    the old one's place. front.json keeps what the numbers were before, and the test split is read for the networks that
    are replaced. In the end, what another network is better than in everything leaves the front.
    """
    front = read_front(bench.run.directory)
    bench.choose_images(val_version(front))
    learning = with_validation(bench)
    for number, text in enumerate(job.networks):
        if text in job.done:
            continue
        entry = next(entry for entry in front["networks"] if entry["architecture"] == text)
        arch, judged = bench.supernet.family.space.parse(text), one_version(front) or entry["origin"] == PUBLISHED
        (measured,) = (network for network in networks_of(front) if network.architecture == text)
        subnet = bench.run.load(measured).subnet
        subnet = trained_in(job, number, bench if judged else learning, subnet, arch)
        if takes_place(bench, entry, subnet, arch, judged):
            deliver(bench, front, job, text, subnet, judged)
        job.write(done=[*job.done, text])
    if one_version(front):
        front["networks"] = still_on_front(bench, front)
        write_front(bench, front)
    job.forget()


def takes_place(bench: Workbench, entry: Entry, subnet: Subnet, arch: Architecture, judged: bool) -> bool:
    """Whether a trained network takes the place of the old one; its entry then says what it comes to."""
    before = {name: entry[name] for name in ("val_error", "val_error_views", "test_error")}
    views, plain = errors_of(bench, subnet, arch) if judged else (None, None)
    won = views is None or views < entry["val_error_views"]
    bench.watch.event(
        "finetuned", architecture=entry["architecture"], before=entry["val_error_views"], after=views, kept=won
    )
    if won and judged:
        entry |= {"val_error": plain, "val_error_views": views, "val_images": len(bench.error.images)}
    if won:
        entry |= {"origin": TRANSFER, "before_finetuning": entry.get("before_finetuning") or before}
    return won


def deliver(bench: Workbench, front: Front, job: Job, text: str, subnet: Subnet, judged: bool) -> None:
    """Read the test split for a network that takes an old one's place, and write the front with it.

    Networks of the job stay until it ends, dominated or not: some are yet to be trained.
    """
    with bench.watch.phase("final", version=front["weights_version"]):
        measure_test(bench, front, finetuned={text: subnet})
    if judged:
        kept = still_on_front(bench, front)
        front["networks"] = [n for n in front["networks"] if n in kept or n["architecture"] in job.networks]
    others = [note for note in front["notes"] if OF_NO_USE not in note]
    front["notes"] = [*others, *of_no_use(front, bench.run.settings.balanced)]
    write_front(bench, front)


def errors_of(bench: Workbench, subnet: Subnet, arch: Architecture) -> tuple[float, float]:
    """Percent of the validation images: the mean over views, and that of the plain view."""
    wrong, images = bench.error.wrong_by_view(fold(copy.deepcopy(subnet)), arch), len(bench.error.images)
    return 100.0 * float(np.mean(wrong)) / images, 100.0 * wrong[0] / images


def trained_in(job: Job, number: int, bench: Workbench, subnet: Subnet, arch: Architecture) -> Subnet:
    """A network of a job after its training, which checkpoints of its own let go on after a stop."""
    by_itself, step = alone(bench, subnet, arch)
    session = Session(by_itself, number, Checkpoints(job.directory / job.networks[number]))
    extent = job.turn(number, bench.watch.used_s)
    session.train("finetune", number + 1, lambda first: step, extent, rate_of(by_itself))
    return bench.subnets.calibrated(subnet, arch)


def trained(bench: Workbench, subnet: Subnet, arch: Architecture, extent: Extent) -> Subnet:
    """The subnet after a training of its own in one go, with statistics of its own."""
    by_itself, step = alone(bench, subnet, arch)

    def on_step(state: TrainingState, loss: float, rate: float) -> None:
        bench.watch.progress("finetune", int(1000 * extent.fraction(state)), 1000)

    by_itself.trainer.run(step, TrainingState(), extent, rate_of(by_itself), on_step)
    return bench.subnets.calibrated(subnet, arch)


def alone(bench: Workbench, subnet: Subnet, arch: Architecture) -> tuple[Workbench, Step]:
    """The workbench on which a subnet, in place of the supernet, is what is trained; and the step of its training."""
    trainer, resolution = bench.trainer, bench.subnets.resolution(arch)
    (decay, *_) = (group["weight_decay"] for group in trainer.optimizer.param_groups)
    subnet.to(trainer.fabric.device)
    plain = OfNormalised(subnet)
    network, optimizer = trainer.fabric.setup(plain, make_optimizer(plain, decay, trainer.keeps_statistics))

    def step(number: int) -> Tensor:
        images, labels = trainer.images(trainer.batches.rows(number), resolution, number, subnet.normalize)
        loss = bench.task.loss(network(images), labels)
        trainer.fabric.backward(loss)
        return loss.detach()

    by_itself = replace(trainer, supernet=network, optimizer=optimizer)
    return replace(bench, supernet=cast(Supernet, plain), trainer=by_itself), step


class OfNormalised(nn.Module):
    """A subnet that is given normalised images, as batches of training are."""

    def __init__(self, subnet: Subnet) -> None:
        super().__init__()
        self.subnet = subnet

    def forward(self, images: Tensor) -> Tensor:
        return self.subnet.of_normalised(images)


def rate_of(bench: Workbench) -> Any:
    """Share of a training done to learning rate."""
    peak = RATE_OF_KEPT if bench.trainer.keeps_statistics else RATE
    return warm_up(cosine(0.0, 1.0, peak), WARM_UP_SHARE)
