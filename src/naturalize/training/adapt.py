"""Training loops of a supernet: adaptation (one architecture a batch) and preparation (sandwich rule)."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol, cast

import torch
from torch import Tensor, nn

from naturalize.errors import UserError
from naturalize.space import Architecture
from naturalize.supernet import Supernet
from naturalize.tasks import Task
from naturalize.training.batches import Batches, TrainingImages

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Step = Callable[[int], Tensor]  # from a step's number within its training to its loss, with gradients accumulated

MOMENTUM = 0.9
BETAS = 0.9, 0.99  # of AdamW
CLIP = 1.0  # length of the gradients, at most, where norms keep their statistics
HEADS = {"head", "heads"}  # in the names of a network's parameters
PATIENCE = 20  # batches in a row with a loss that is not finite, before training gives up


@dataclass(frozen=True)
class Extent:
    """The length of a training: in steps, in seconds of its own wall clock, or the first of both to pass.

    Attributes:
        until: with `seconds`, second of the run's clock at which it should end. A training that was interrupted has
            less time left than its extent says, since starting again takes some.
        pace: how much faster than the clock the extent passes: above 1 after a resume that must still end on time.
    """

    steps: int | None = None
    seconds: float | None = None
    until: float | None = None
    pace: float = 1.0

    def __post_init__(self) -> None:
        if self.steps is None and self.seconds is None:
            raise ValueError("an extent has steps or seconds")

    def fraction(self, state: TrainingState) -> float:
        """Share of the extent that is done, 0 to 1."""
        by_steps = 0.0 if self.steps is None else state.step / max(1, self.steps)
        by_seconds = 0.0 if self.seconds is None else state.seconds / max(1e-9, self.seconds)
        return min(1.0, max(by_steps, by_seconds))

    def part(self, start: float, end: float) -> Extent:
        """The part from `start` to `end`, both in 0..1; adjoining parts leave no step out."""
        steps = None if self.steps is None else round(end * self.steps) - round(start * self.steps)
        seconds = None if self.seconds is None else (end - start) * self.seconds
        late = None if self.until is None or self.seconds is None else self.until - (1.0 - end) * self.seconds
        return replace(self, steps=steps, seconds=seconds, until=late)

    def resumed(self, state: TrainingState, used_s: float) -> Extent:
        """The extent of a training that is resumed: it goes on along the same curve, and still ends on time."""
        if self.seconds is None or self.until is None:
            return self
        left = max(1.0, self.until - used_s)
        return replace(self, pace=max(1.0, (self.seconds - state.seconds) / left))


@dataclass
class TrainingState:
    """The state of a training; saved with each checkpoint.

    Attributes:
        step: steps done in this training.
        seconds: of its extent that have passed.
        skipped: batches without an update, since their loss was not finite.
    """

    step: int = 0
    seconds: float = 0.0
    skipped: int = 0
    in_a_row: int = field(default=0, repr=False)


class OnStep(Protocol):
    """Called after every step: reports, saves, and may raise to stop."""

    def __call__(self, state: TrainingState, loss: float, rate: float) -> None: ...


@dataclass
class Trainer:
    """The parts that all trainings of a supernet share: the wrapped supernet, its optimiser, its images.

    Attributes:
        fabric: device and precision.
        supernet, optimizer: as Fabric wrapped them.
        teacher: function from normalised images to another network's logits, to learn from besides the labels.
        labelled: whether the images have labels; otherwise the teacher's logits stand for them.
        keeps_statistics: whether batch norms train in evaluation mode, with the statistics that they have.
        soft: logits `(n, classes)` of targets in place of labels for the rows of images, which adaptation learns from.
    """

    fabric: Fabric
    supernet: Supernet
    optimizer: torch.optim.Optimizer
    task: Task
    images: TrainingImages
    batches: Batches
    teacher: Callable[[Tensor], Tensor] | None = None
    labelled: bool = True
    keeps_statistics: bool = False
    soft: Tensor | None = None

    def run(
        self,
        step: Step,
        state: TrainingState,
        extent: Extent,
        rate: Callable[[float], float],
        on_step: OnStep,
    ) -> None:
        """Train until the extent is spent.

        The learning rate follows the fraction done, so a longer step or a slower machine ends on the same curve.
        """
        self.supernet.train(not self.keeps_statistics)
        last = time.perf_counter()
        while (fraction := extent.fraction(state)) < 1.0:
            now = rate(fraction)
            for group in self.optimizer.param_groups:
                group["lr"] = now * group["times"]
            self.optimizer.zero_grad(set_to_none=True)
            loss = float(step(state.step))
            self.update(loss, state)
            state.step += 1
            now_s = time.perf_counter()
            state.seconds += (now_s - last) * extent.pace
            last = now_s
            on_step(state, loss, now)

    def update(self, loss: float, state: TrainingState) -> None:
        """Take a step of the optimiser, unless loss or gradients are not finite: then the weights stay as they are."""
        most = CLIP if self.keeps_statistics else math.inf
        length = self.fabric.clip_gradients(self.supernet, self.optimizer, max_norm=most, error_if_nonfinite=False)
        if math.isfinite(loss) and math.isfinite(float(cast(Tensor, length))):
            self.optimizer.step()
            state.in_a_row = 0
            return
        state.skipped += 1
        state.in_a_row += 1
        if state.in_a_row >= PATIENCE:
            raise UserError(
                f"the training loss was not finite for {PATIENCE} batches in a row: the last saved weights are whole; "
                "look at the data with `naturalize check`"
            )

    def adaptation_step(self, draw: Callable[[int], Architecture], first: int) -> Step:
        """A step function of one architecture per batch, drawn from the archive's distribution (NAT, section 3.4).

        Args:
            draw: function from a step's number over the whole run to its architecture.
            first: number of this adaptation's first step.
        """

        def step(number: int) -> Tensor:
            arch = draw(first + number)
            images, labels = self.batch(first + number, arch)
            logits = self.supernet(images, arch)
            if self.soft is None:
                loss = self.loss(logits, labels, self.targets(images))
            else:
                loss = self.task.distillation_loss(logits, self.soft[self.batches.rows(first + number)])
            self.fabric.backward(loss)
            return loss.detach()

        return step

    def sandwich_step(self, draw: Callable[[int], Sequence[Architecture]], first: int) -> Step:
        """A step function by the sandwich rule (Yu et al., BigNAS, ECCV 2020).

        The largest subnet learns from labels or teacher, the others from the largest. There is one backward per
        forward: summing losses before a backward breaks data-parallel training with unused weights.

        Args:
            draw: number of a step over the whole run to its architectures, the largest first.
            first: number of this training's first step.
        """

        def step(number: int) -> Tensor:
            largest: Tensor | None = None
            for arch in draw(first + number):
                images, labels = self.batch(first + number, arch)
                logits = self.supernet(images, arch)
                if largest is None:
                    loss = self.loss(logits, labels, self.targets(images))
                    largest, shown = logits.detach(), loss.detach()
                else:
                    loss = self.task.distillation_loss(logits, largest)
                self.fabric.backward(loss)
            return shown

        return step

    def distilled_step(
        self, draw: Callable[[int], Sequence[Architecture]], first: int, teacher: Callable[[Tensor], Tensor]
    ) -> Step:
        """A step function: all architectures learn from labels and a frozen teacher (Once-for-All, section 3.3).

        Args:
            draw: function from a step's number over the whole run to its architectures, all of one resolution.
            first: number of this training's first step.
            teacher: function from normalised images to logits.
        """

        def step(number: int) -> Tensor:
            archs = draw(first + number)
            images, labels = self.batch(first + number, archs[0])
            with torch.no_grad():
                targets = teacher(images)
            for arch in archs:
                loss = self.loss(self.supernet(images, arch), labels, targets)
                self.fabric.backward(loss)
            return loss.detach()

        return step

    def targets(self, images: Tensor) -> Tensor | None:
        """The teacher's logits, where there is a teacher."""
        return None if self.teacher is None else self.teacher(images)

    def loss(self, logits: Tensor, labels: Tensor, targets: Tensor | None) -> Tensor:
        """The loss against the labels, where images have some, plus that against a teacher's logits, where given."""
        losses = [self.task.loss(logits, labels)] if self.labelled else []
        if targets is not None:
            losses.append(self.task.distillation_loss(logits, targets))
        return torch.stack(losses).sum()

    def batch(self, step: int, arch: Architecture) -> tuple[Tensor, Tensor]:
        """Images of a step at the architecture's resolution, `(b, channels, r, r)`, and labels, `(b,)`."""
        resolution = self.supernet.family.resolutions[arch.code[0]]
        return self.images(self.batches.rows(step), resolution, step, self.supernet.normalize)


def make_optimizer(
    network: nn.Module, weight_decay: float, adaptive: bool = False, head: float = 1.0
) -> torch.optim.Optimizer:
    """SGD with Nesterov momentum (NAT, section 4.3); weight decay on weights, not on norms, biases and kernel maps.

    Args:
        network: to train.
        weight_decay: of the weights.
        adaptive: AdamW in place of SGD, for norms that keep their statistics: these do not rescale gradients, which
            differ by orders of magnitude from layer to layer (docs/benchmarks.md).
        head: learning rate of heads as a multiple of the body's (`times` of a group of parameters).
    """
    groups: list[dict[str, Any]] = [
        {"params": [], "weight_decay": decay, "times": times} for times in (1.0, head) for decay in (weight_decay, 0.0)
    ]
    for name, parameter in network.named_parameters():
        plain = not (name.endswith("weight") and parameter.ndim > 1)
        groups[2 * (not HEADS.isdisjoint(name.split("."))) + plain]["params"].append(parameter)
    if adaptive:
        return torch.optim.AdamW(groups, lr=0.0, betas=BETAS, fused=True)
    return torch.optim.SGD(groups, lr=0.0, momentum=MOMENTUM, nesterov=True)


def cosine(start: float, end: float, peak: float) -> Callable[[float], float]:
    """A learning rate over 0..1: the part from `start` to `end`, in 0..1, of a cosine that goes from `peak` to zero."""

    def rate(fraction: float) -> float:
        position = start + (end - start) * fraction
        return peak * 0.5 * (1.0 + math.cos(math.pi * position))

    return rate


def warm_up(rate: Callable[[float], float], share: float) -> Callable[[float], float]:
    """The learning rate `rate`, but rising linearly from zero over the first `share`."""
    return lambda fraction: rate(fraction) * min(1.0, (fraction + 1e-3) / share)
