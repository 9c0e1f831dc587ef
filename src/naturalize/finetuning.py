"""Fine-tuning: chosen networks of a front train further, each by itself, as NAT's do on ImageNet (section 4.2).

It is a job with its own clock, record and checkpoints, kept in a directory of the run while it is under way. Each
network is delivered as soon as it is trained, so that a stop at any moment loses nothing.
"""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from torch import Tensor, nn

from naturalize.conclude import OF_NO_USE, of_no_use
from naturalize.errors import UserError
from naturalize.files import check_content, checksum_of, write_json
from naturalize.last_adaptation import with_validation
from naturalize.preparing import RATE_OF_KEPT
from naturalize.quantizing import measure_again
from naturalize.run.checkpoints import Checkpoints
from naturalize.run.front import PUBLISHED, TRANSFER, WHOLE, networks_of, read_front, val_version
from naturalize.selection import Entry, Front, error_of, set_errors, still_on_front
from naturalize.session import Session
from naturalize.space import Architecture
from naturalize.supernet import Subnet, Supernet
from naturalize.testing import measure_test, one_version, write_front
from naturalize.training.adapt import Extent, Step, TrainingState, cosine, make_optimizer, warm_up
from naturalize.training.evaluate import fold
from naturalize.workbench import Workbench

DIRECTORY = "finetuning"  # in a run, while a job is under way
RATE = 0.01  # learning rate at which the cosine of each network starts
WARM_UP_SHARE = 0.05
KEPT_S = 0.1  # share of each network's time that is kept for measuring it


class Job:
    """The fine-tuning that is under way in a run, kept in `job.json`.

    Attributes:
        asked: the limits or architecture strings that chose its networks.
        networks: architecture strings, in the order in which they are trained.
        budget_s: wall clock in all.
        begun_s: second of the job's clock at which the first training began; None before.
        done: architecture strings of networks that were delivered, or found no better.
    """

    def __init__(self, directory: Path, facts: dict[str, Any]) -> None:
        self.directory = directory
        self.facts = facts

    @classmethod
    def of(cls, run: Path, asked: dict[str, list[str]], budget_s: float, choose: Callable[[], list[str]]) -> Job:
        """The job under way in a run, where it is the same one; a new job where there is none.

        Args:
            run: directory of the run.
            asked: the limits or architecture strings that choose the networks, as the caller gave them.
            budget_s: wall clock in all.
            choose: returns the strings of a new job's networks. A job that goes on keeps its own, since the front has
                changed.

        Raises:
            UserError: another job is under way.
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
        """Architecture strings, in the order of training."""
        return list(self.facts["networks"])

    @property
    def done(self) -> list[str]:
        """Architecture strings of the networks that need nothing more."""
        return list(self.facts["done"])

    @property
    def used_s(self) -> float:
        """Seconds of wall clock that the job has used, without pauses."""
        return float(self.facts["used_s"])

    @used_s.setter
    def used_s(self, seconds: float) -> None:
        self.write(used_s=seconds)

    def write(self, **facts: Any) -> None:
        """Change facts, and write them to disk."""
        self.facts |= facts
        write_json(self.directory / "job.json", {**self.facts, "checksum": checksum_of(self.facts)})

    def turn(self, number: int, used_s: float) -> Extent:
        """Extent of a network's training: an equal share of the time that is left when the first one begins.

        Args:
            number: of the network, from 0.
            used_s: seconds of the job's clock by now.
        """
        if self.facts["begun_s"] is None:
            self.write(begun_s=used_s)
        begun_s = self.facts["begun_s"]
        share = max(1.0, (self.facts["budget_s"] - begun_s) / len(self.networks))
        return Extent(seconds=(1 - KEPT_S) * share, until=begun_s + (number + 1 - KEPT_S) * share)

    def forget(self) -> None:
        """Delete the job's directory, once all is delivered."""
        shutil.rmtree(self.directory, ignore_errors=True)


def finetune(bench: Workbench, job: Job) -> None:
    """Train each network for its share of the time; one that became better on validation replaces the old one.

    Networks that learnt from the validation pictures before train on with them. Validation cannot judge these, so each
    replaces the old one. front.json keeps the earlier numbers, and the test split is read for each new network. In the
    end, dominated networks leave the front, where validation can judge all.
    """
    front = read_front(bench.run.directory)
    bench.choose_images(val_version(front))
    learning = with_validation(bench)
    for number, text in enumerate(job.networks):
        if text in job.done:
            continue
        entry = next(entry for entry in front["networks"] if entry["architecture"] == text)
        arch, judged = bench.supernet.family.space.parse(text), is_judged(bench, front, entry)
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


def is_judged(bench: Workbench, front: Front, entry: Entry) -> bool:
    """Whether validation can judge a network: it has not learnt from these pictures.

    Under a budget the last adaptation has, as have the classifiers of the whole network that was trained by itself.
    """
    if entry["origin"] == WHOLE:
        return bench.run.settings.budget_s is None
    return one_version(front) or entry["origin"] == PUBLISHED


def takes_place(bench: Workbench, entry: Entry, subnet: Subnet, arch: Architecture, judged: bool) -> bool:
    """Whether a trained network replaces the old one; if so, update its entry."""
    before = {name: entry[name] for name in ("val_error", "val_error_views", "test_error")}
    after, was = copy.deepcopy(entry), error_of(bench, entry)
    if judged:
        set_errors(bench, after, *errors_of(bench, subnet, arch))
    won = not judged or error_of(bench, after) < was
    bench.watch.event(
        "finetuned",
        architecture=entry["architecture"],
        before=was,
        after=error_of(bench, after) if judged else None,
        kept=won,
    )
    if won and judged:
        entry |= after
        measure_again(bench, entry, subnet)
    if won:
        entry |= {
            "origin": TRANSFER if judged else entry["origin"],
            "before_finetuning": entry.get("before_finetuning") or before,
        }
    return won


def deliver(bench: Workbench, front: Front, job: Job, text: str, subnet: Subnet, judged: bool) -> None:
    """Read the test split for a network that replaces an old one, and write the front with it.

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


def errors_of(bench: Workbench, subnet: Subnet, arch: Architecture) -> tuple[float, dict[str, Any]]:
    """Validation error of a subnet in percent, the mean over views, and the details of a measurement of error."""
    return bench.error.of_answers(bench.error.answers_by_view(fold(copy.deepcopy(subnet)), arch))


def trained_in(job: Job, number: int, bench: Workbench, subnet: Subnet, arch: Architecture) -> Subnet:
    """A job's network after its training. The training has its own checkpoints, to go on after a stop."""
    by_itself, step = alone(bench, subnet, arch)
    session = Session(by_itself, number, Checkpoints(job.directory / job.networks[number]))
    extent = job.turn(number, bench.watch.used_s)
    session.train("finetune", number + 1, lambda first: step, extent, rate_of(by_itself))
    return bench.subnets.calibrated(subnet, arch)


def trained(bench: Workbench, subnet: Subnet, arch: Architecture, extent: Extent) -> Subnet:
    """The subnet after a training by itself, without checkpoints, and calibrated."""
    by_itself, step = alone(bench, subnet, arch)

    def on_step(state: TrainingState, loss: float, rate: float) -> None:
        bench.watch.progress("finetune", int(1000 * extent.fraction(state)), 1000)

    by_itself.trainer.run(step, TrainingState(), extent, rate_of(by_itself), on_step)
    return bench.subnets.calibrated(subnet, arch)


def alone(bench: Workbench, subnet: Subnet, arch: Architecture) -> tuple[Workbench, Step]:
    """A workbench that trains one subnet in place of the supernet, and the step function of that training."""
    trainer, resolution = bench.trainer, bench.subnets.resolution(arch)
    (decay, *_) = (group["weight_decay"] for group in trainer.optimizer.param_groups)
    head = trainer.optimizer.param_groups[-1]["times"]
    subnet.to(trainer.fabric.device)
    plain = OfNormalised(subnet)
    network, optimizer = trainer.fabric.setup(plain, make_optimizer(plain, decay, trainer.keeps_statistics, head))

    def step(number: int) -> Tensor:
        images, labels = trainer.images(trainer.batches.rows(number), resolution, number, subnet.normalize)
        loss = bench.task.loss(network(images), labels)
        trainer.fabric.backward(loss)
        return loss.detach()

    by_itself = replace(trainer, supernet=network, optimizer=optimizer)
    return replace(bench, supernet=cast(Supernet, plain), trainer=by_itself), step


class OfNormalised(nn.Module):
    """A subnet that takes normalised images, as training batches are."""

    def __init__(self, subnet: Subnet) -> None:
        super().__init__()
        self.subnet = subnet

    def forward(self, images: Tensor) -> Tensor:
        return self.subnet.of_normalised(images)


def rate_of(bench: Workbench) -> Any:
    """The function from the share of a training done, 0 to 1, to its learning rate."""
    peak = RATE_OF_KEPT if bench.trainer.keeps_statistics else RATE
    return warm_up(cosine(0.0, 1.0, peak), WARM_UP_SHARE)
