"""The trainings of a run: restored from the latest checkpoint, saved now and then, completed as weights versions."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from naturalize.errors import Interrupted
from naturalize.machine import choose_threads
from naturalize.run import read_events
from naturalize.run.checkpoints import Checkpoints
from naturalize.supernet import Supernet
from naturalize.training.adapt import Extent, Step, TrainingState
from naturalize.workbench import Workbench

MOMENTUM = "momentum_buffer"  # as SGD calls it
SAVE_S = 30.0  # a kill loses no more training than this
LONG_S = 30.0  # seconds of a training for which the number of threads is chosen anew


class Session:
    """Trains the supernet of a run from one weights version to the next.

    Version 0 is the prepared supernet, each adaptation adds one. Between versions, checkpoints hold a training that is
    under way; opening a session takes up the latest of them.

    Args:
        bench: of the run.
        begin: version to count from: -1, or -n where preparation has n phases, each of which ends in a version.
        checkpoints: those of the run unless told: a training that branches off has its own.
        steps_before: steps of the run before this session's first.
    """

    def __init__(
        self, bench: Workbench, begin: int = -1, checkpoints: Checkpoints | None = None, steps_before: int = 0
    ) -> None:
        self.bench = bench
        self.checkpoints = checkpoints or bench.run.checkpoints
        self.state: dict[str, Any] = {"version": begin, "complete": True, "steps_before": steps_before}
        self._saved = time.monotonic()
        path = bench.run.directory / "events.jsonl"
        told = (event for event in read_events(path) if event.get("event") == "epoch")
        self._told = {(event["phase"], event["version"], event["epoch"]) for event in told}
        name = self.checkpoints.latest()
        if name is not None:
            self.load(name)

    @property
    def version(self) -> int:
        """The weights version that was last completed."""
        return int(self.state["version"])

    def load(self, name: str) -> None:
        """Take up a checkpoint: weights, momentum, place in its training.

        Files know neither device nor memory format, and a fused optimiser pairs elements as they lie in memory: each
        tensor of its state gets both of its parameter, which counts of steps need on a GPU too.
        """
        weights, moments, self.state = self.checkpoints.load(name)
        self.bench.supernet.load_state_dict(weights)
        parameters = dict(self.bench.supernet.named_parameters())
        for key, tensor in moments.items():
            of, _, kind = key.partition(":")
            state = self.bench.trainer.optimizer.state[parameters[of]]
            like = parameters[of].detach()
            state[kind or MOMENTUM] = tensor.to(like.device) if kind == "step" else torch.empty_like(like).copy_(tensor)

    def train(
        self, phase: str, version: int, steps: Callable[[int], Step], extent: Extent, rate: Callable[[float], float]
    ) -> None:
        """Train until a weights version is complete; nothing to do where it is.

        Args:
            phase: `prepare`, `adapt`, `last` or `finetune`.
            version: to complete.
            steps: function from the number of the first step, counted over the whole run, to the step function.
            extent: of the training.
            rate: function from the share of the extent done to the learning rate.
        """
        if self.version >= version:
            return
        state = TrainingState() if self.state["complete"] else TrainingState(**self.state["training"])
        first = self.state["steps_before"]
        watch, trainer = self.bench.watch, self.bench.trainer
        per_epoch = trainer.batches.per_epoch

        def under_way() -> dict[str, Any]:
            training = {"step": state.step, "seconds": state.seconds, "skipped": state.skipped}
            return {"version": version - 1, "complete": False, "steps_before": first, "training": training}

        def on_step(state: TrainingState, loss: float, rate: float) -> None:
            epoch = -(-state.step // per_epoch)  # the last one may be cut short by the clock, and is reported too
            ends = extent.fraction(state) >= 1.0
            if (state.step % per_epoch == 0 or ends) and (phase, version, epoch) not in self._told:
                self._told.add((phase, version, epoch))
                facts = {"loss": round(loss, 4), "rate": rate, "skipped": state.skipped}
                watch.event("epoch", phase=phase, version=version, epoch=epoch, step=state.step, **facts)
            if time.monotonic() - self._saved > SAVE_S:
                self.save(under_way())
            try:
                watch.progress(phase, int(1000 * extent.fraction(state)), 1000)
            except Interrupted:
                self.save(under_way())
                raise

        with watch.phase(phase, iteration=version - 1, version=version):
            if (extent.seconds or 0.0) >= LONG_S and isinstance(self.bench.supernet, Supernet):  # no network by itself
                choose_threads(self.bench)
            extent = extent.resumed(state, watch.used_s)
            trainer.run(steps(first), state, extent, rate, on_step)
            self.save({"version": version, "complete": True, "steps_before": first + state.step})

    def save(self, state: dict[str, Any]) -> None:
        """Write a checkpoint; beside it only those of the last completed and last measured version are kept."""
        weights = self.bench.supernet.state_dict()
        self.checkpoints.save(weights, self.moments(), state)
        self.state = state
        closed = self.bench.archive.iterations()
        self.checkpoints.prune([state["version"], *(facts["weights_version"] for facts in closed[-1:])])
        self._saved = time.monotonic()

    def moments(self) -> dict[str, Tensor]:
        """The tensors that the optimiser keeps: momentum by the parameter's name, all others as `name:kind`."""
        state = self.bench.trainer.optimizer.state
        return {
            name if kind == MOMENTUM else f"{name}:{kind}": tensor
            for name, parameter in self.bench.supernet.named_parameters()
            for kind, tensor in state.get(parameter, {}).items()
            if isinstance(tensor, Tensor)
        }
