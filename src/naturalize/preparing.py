"""Preparation: a supernet is trained to have good subnets, before anything is searched."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from safetensors import SafetensorError
from torch import Tensor

from naturalize import rng
from naturalize.drawing import sandwich, trimmed, uniform
from naturalize.errors import UserError
from naturalize.planning import preparation_alone
from naturalize.probing import published_weights, start_of_classifier
from naturalize.run import Settings
from naturalize.run.settings import SHRINK
from naturalize.session import Session
from naturalize.space import Architecture
from naturalize.supernet import Family
from naturalize.supernet.family import Opened
from naturalize.tensor_files import load_tensors, save_tensors
from naturalize.training.adapt import Extent, Step, cosine, warm_up
from naturalize.warm_start import fit_body, set_classifier, start_classifiers
from naturalize.workbench import Workbench

RATE, RATE_OF_TRAINED = 0.1, 0.005  # learning rates at which cosines start: of new weights, of trained ones
RATE_OF_KEPT = 4e-4  # the same of AdamW, where norms keep their statistics
RATES = {"mini": 0.02}  # the same of trained weights that may move faster: they have less to lose
BEFORE_ADAPTATION = 0.5
WARM_UP_SHARE = 0.1


def peak_rate(settings: Settings, keeps_statistics: bool = False) -> float:
    """Learning rate at which its cosine starts, for training one architecture per batch."""
    if keeps_statistics:
        return RATE_OF_KEPT
    return RATE if settings.weights is None else RATES.get(settings.supernet, RATE_OF_TRAINED)


def prepare(session: Session, extent: Extent, end: float = 0.0) -> None:
    """Train weights version 0 of a transfer: by the sandwich rule, or one architecture a batch where weights allow it.

    Where subnets have been prepared already, it is a warm-up: architectures are drawn uniformly, and the rate rises
    linearly. Where only the largest network was trained and its statistics are kept, each batch trains the largest
    architecture with more or less left out. New classifiers on trained weights start from a linear probe.

    Args:
        session: of the run.
        extent: of the training.
        end: share of its cosine at which the learning rate ends, where no adaptation comes after.
    """
    bench = session.bench
    if not (bench.prepared or bench.run.keeps_statistics):
        train_by_sandwich(session, extent, end or BEFORE_ADAPTATION)
        return
    if bench.starts_whole and session.state["complete"] and bench.run.checkpoints.latest() is not None:
        fit_body(bench, bench.space.largest)
        bench.trainer.optimizer.state.clear()
    start(bench)
    peak = peak_rate(bench.run.settings, bench.run.keeps_statistics)
    rate = warm_up(cosine(0.0, end, peak), 1.0 if bench.prepared else WARM_UP_SHARE)
    draw = partial(uniform if bench.prepared else trimmed, bench.space, bench.seed)
    session.train("prepare", 0, lambda first: bench.trainer.adaptation_step(draw, first), extent, rate)


def start(bench: Workbench) -> None:
    """Fit the starting weights of a run to its pictures. No effect without such weights, or after a checkpoint."""
    if bench.run.settings.weights is None or bench.run.checkpoints.latest() is not None:
        return
    family = bench.supernet.family
    if bench.reads_published:
        start_from_published(bench)
        return
    archs = [sandwich(family, bench.seed, number) for number in range(len(family.bodies))]
    if bench.prepared:
        start_classifiers(bench, archs)
        return
    for largest, *_others in archs:
        fit_body(bench, largest)
    start_classifiers(bench, [[largest, *random] for largest, _smallest, *random in archs])


def start_from_published(bench: Workbench) -> None:
    """Fit the body of a published network, and give it the classifier of the probe."""
    (body,) = bench.supernet.family.bodies
    fit_body(bench, bench.supernet.family.space.largest)
    set_classifier(bench, body, *start_of_classifier(bench))


def start_again(bench: Workbench) -> None:
    """Reset a supernet that was trained from a published network to where it started."""
    bench.supernet.load_state_dict(published_weights(bench).state_dict())
    bench.trainer.optimizer.state.clear()
    start_from_published(bench)


def train_by_sandwich(session: Session, extent: Extent, curve: float = 1.0) -> None:
    """Train weights version 0 by the sandwich rule (Yu et al., BigNAS, ECCV 2020).

    Every batch trains the largest, the smallest and two random subnets; all but the largest are distilled from it.

    Args:
        session: of the run.
        extent: of the training.
        curve: share of a cosine to zero that the learning rate follows; 1 where no adaptation comes after.
    """
    bench = session.bench
    start(bench)
    peak = RATE if bench.run.settings.weights is None else RATE_OF_TRAINED  # for gradients of four, summed
    if bench.run.keeps_statistics:
        peak = RATE_OF_KEPT
    rate = warm_up(cosine(0.0, curve, peak), WARM_UP_SHARE)
    draw = partial(sandwich, bench.supernet.family, bench.seed)
    session.train("prepare", 0, lambda first: bench.trainer.sandwich_step(draw, first), extent, rate)


@dataclass(frozen=True)
class Phase:
    """A phase of progressive shrinking.

    Attributes:
        opened: options that its architectures take.
        epochs: of the phase in the paper; a budget is divided in proportion.
        rate: at which its cosine starts, as a share of the first phase's.
        subnets: architectures in a step.
    """

    name: str
    opened: Opened
    epochs: int
    rate: float = 1.0
    subnets: int = 1


def phases_of(family: Family) -> list[Phase]:
    """The phases full, kernel, depth twice, expansion twice, widths (method.md, section 3), if they open options.

    Epochs, rates (0.081, 0.03, 0.0025 and 0.0075 for 64 images) and subnets are those of Once-for-All on ImageNet.
    """
    most = family.options
    kernel = Opened(most.kernels)
    deep = replace(kernel, depths=most.depths)
    all_expansions = replace(deep, expansions=most.expansions)
    planned = [
        Phase("full", Opened(), 180),
        Phase("kernel", kernel, 120, 0.37),
        Phase("depth 1", replace(kernel, depths=min(2, most.depths)), 25, 0.031, 2),
        Phase("depth 2", deep, 120, 0.092, 2),
        Phase("expansion 1", replace(deep, expansions=min(2, most.expansions)), 25, 0.031, 4),
        Phase("expansion 2", all_expansions, 120, 0.092, 4),
        Phase("width", most, 120, 0.092, 4),
    ]
    return [phase for index, phase in enumerate(planned) if index == 0 or phase.opened != planned[index - 1].opened]


def shrink(session: Session, extent: Extent) -> None:
    """Train weights version 0 by Once-for-All's progressive shrinking; earlier phases complete versions below 0.

    The largest network, as it is after the first phase, teaches all others, unless another teacher was given. Channels
    are sorted by importance before each phase that opens expansions.
    """
    bench = session.bench
    start(bench)
    peak = peak_rate(bench.run.settings, bench.run.keeps_statistics)
    phases = phases_of(bench.supernet.family)
    total, done = sum(phase.epochs for phase in phases), 0
    for number, phase in enumerate(phases):
        version = number + 1 - len(phases)
        if session.version < version and session.state["complete"]:
            bench.trainer.optimizer.state.clear()
            if phase.name.startswith("expansion"):
                bench.supernet.sort_channels()
        rate = warm_up(cosine(0.0, 1.0, peak * phase.rate), WARM_UP_SHARE)
        part = extent.part(done / total, (done + phase.epochs) / total)
        session.train("prepare", version, partial(step_of, bench, phase), part, rate)
        done += phase.epochs


def step_of(bench: Workbench, phase: Phase, first: int) -> Step:
    """The step function of a phase: the first learns from labels and teacher, the others from a frozen network too."""
    draw = partial(opened, bench.supernet.family, bench.seed, phase)
    if phase.opened == Opened():
        return bench.trainer.adaptation_step(lambda step: draw(step)[0], first)
    return bench.trainer.distilled_step(draw, first, bench.trainer.teacher or frozen_largest(bench))


def opened(family: Family, seed: int, phase: Phase, step: int) -> Sequence[Architecture]:
    """The architectures of a step of a phase: all of one resolution and in one body, bodies taking turns."""
    codes = family.sample_opened(phase.subnets, rng.generator(seed, "shrink", step), phase.opened)
    codes[:, 0] = codes[0, 0]
    return family.space.architectures(family.in_body(codes, family.bodies[step % len(family.bodies)]))


def frozen_largest(bench: Workbench) -> Callable[[Tensor], Tensor]:
    """The largest network as it was at the first call; it is stored in the run, so that a resumed run has the same."""
    supernet, path = bench.supernet, bench.run.directory / "teacher.safetensors"
    teacher = supernet.extract(supernet.family.space.largest).train()
    if path.exists():
        try:
            teacher.load_state_dict(load_tensors(path)[0])
        except (OSError, SafetensorError, ValueError) as error:
            raise UserError(f"{path} is damaged ({error}): put it back from a copy, or prepare anew") from error
    else:
        save_tensors(path, teacher.state_dict())
    return teacher.of_normalised


def prepare_only(bench: Workbench) -> None:
    """Train weights version 0 with all of the budget, and measure the corners, for `naturalize prepare`."""
    extent = preparation_alone(bench)
    if bench.run.settings.method == SHRINK:
        shrink(Session(bench, begin=-len(phases_of(bench.supernet.family))), extent)
    else:
        train_by_sandwich(Session(bench), extent)
    smallest, largest = bench.error.measure(bench.supernet.family.space.corners()).values.tolist()
    bench.watch.event("prepared", smallest_error=smallest, largest_error=largest)
