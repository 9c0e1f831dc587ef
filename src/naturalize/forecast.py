"""The steps of a transfer and what they would take here, without doing them: `transfer --dry-run`.

Numbers are those of the pace that the run itself would ask. Seconds come from networks that are timed for it: answers
as for the plan of a budget, steps of training by a line through those of a few networks, in multiply-adds.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch

from naturalize import probing, rng, schedule, soft_targets, whole
from naturalize.classifiers import PICTURES
from naturalize.data.machine import allowed_cpus
from naturalize.drawing import ARCHITECTURES
from naturalize.initial import first_members, wholes
from naturalize.machine import RESIZE_S, measure_costs, random_networks
from naturalize.nat import share_of_wholes
from naturalize.objectives import COST
from naturalize.objectives.latency import file_of
from naturalize.pace import Pace
from naturalize.planning import pace_of, planned
from naturalize.probing import extent_of_reading, seconds_of_a_pixel, sides_to_probe
from naturalize.run import Settings
from naturalize.schedule import Costs
from naturalize.soft_targets import has_soft_targets, largest_affordable
from naturalize.space import Codes
from naturalize.training.adapt import TrainingState
from naturalize.whole import BATCH, sides_allowed
from naturalize.workbench import Workbench, model_s, modelled

FILES = (
    "run.toml", "splits.json", "pixels.safetensors", "archive.sqlite", "events.jsonl", "pictures/", "supernet/",
    "networks/", "front.json", "report.html",
)  # fmt: skip
TIMED_STEPS = 8  # networks that training is timed on
DRAWS = 500  # architectures that tell what a step takes in the mean


@dataclass(frozen=True)
class Step:
    """A step of a transfer.

    Attributes:
        words: what it does.
        seconds: that it would take here, all times together.
        networks: that it measures each time; a search may find fewer, and keep more than it must of the largest.
        epochs, steps: of its training, each time.
        times: how often it comes, one after the other.
    """

    words: str
    seconds: float
    networks: int | None = None
    epochs: float | None = None
    steps: int | None = None
    times: int = 1


def foreseen(bench: Workbench, settings: Settings) -> list[Step]:
    """The steps of a transfer in order; those that are alike, and follow each other, are one.

    Args:
        bench: of a run that is to be thrown away, in which nothing is trained yet. It has no latencies: their models
            take minutes.
        settings: those of the transfer, latencies included.
    """
    steps = [Step("read the data, begin the run", bench.watch.used_s)]
    if names := modelled(settings):
        steps.append(Step(f"model {' and '.join(names)}, at most", len(names) * model_s(settings)))
    costs = measure_costs(bench)
    if bench.reads_published:
        steps.append(Step("read the published network", probing_s(bench)))
    if settings.budget_s is not None:
        return [*steps, *by_clock(bench, costs, settings.budget_s, sum(step.seconds for step in steps))]
    torch.set_num_threads(allowed_cpus())  # as a run by number has it
    return [*steps, *by_number(bench, costs)]


def by_clock(bench: Workbench, costs: Costs, budget_s: float, used_s: float) -> Iterator[Step]:
    """The steps of a budget by its plan, which begins after `used_s` seconds."""
    images = extent_of_reading(bench)[1] if bench.reads_published else len(bench.val)
    plan = planned(bench, costs, -1, budget_s, used_s, images)
    yield Step(f"prepare the supernet: {preparation(bench)}", plan.prepare_until - used_s)
    if plan.iterations:
        words = f"{span(1, plan.iterations)}: measure on {plan.val_images:,} pictures, search, adapt"
        yield Step(words, plan.iterations * plan.iteration_s, plan.members, times=plan.iterations)
    trained_s = schedule.adapted_until(plan, budget_s, 1.0) - plan.final_from
    yield Step(f"select the front, train it on{' anew' * plan.anew}", trained_s)
    yield Step("classifiers, test, networks, report", budget_s - plan.final_from - trained_s)


def by_number(bench: Workbench, costs: Costs) -> Iterator[Step]:
    """The steps of a number of iterations."""
    pace, training, per_epoch = pace_of(bench, -1), Training.timed(bench), bench.trainer.batches.per_epoch
    if bench.reads_published:
        yield from of_the_whole(bench, training, pace)
    elif bench.starts_whole:
        yield tuning(bench, training, pace)
    steps = pace.preparation()[0].steps or 0
    seconds = steps * training.preparation_s(bench) + resizing_s(bench)
    yield Step(f"prepare the supernet: {preparation(bench)}", seconds, epochs=steps / per_epoch, steps=steps)
    measure_s, step_s = costs.measure_s(len(bench.val) * bench.val.views), training.adaptation_s(bench)
    *iterations, last = passes(bench, pace)
    number = 1
    for (members, steps), alike in groupby(iterations):
        n = len(list(alike))
        seconds = n * (members * measure_s + costs.search_s + steps * step_s)
        words = f"{span(number, n)}: measure, search, adapt"
        yield Step(words, seconds, members, steps / per_epoch, steps, n)
        number += n
    yield Step("measure, select the front", last[0] * measure_s, last[0])
    yield Step("classifiers, test, networks, report", ending_s(bench, costs))


def files(bench: Workbench, settings: Settings) -> list[str]:
    """Files and directories of the run that follows; those of a published network where there is time for them."""
    found = [*FILES, *(file_of(name) for name in modelled(settings))]
    if bench.reads_published:
        found += [probing.FILE, *[soft_targets.FILE] * has_soft_targets(bench), whole.FILE, whole.WEIGHTS]
    return found


def passes(bench: Workbench, pace: Pace) -> Iterator[tuple[int, int]]:
    """Networks that each measuring pass holds, and steps of the adaptation after it; 0 after the last.

    The largest networks are in all passes but the first, where one network was published.
    """
    first = {arch for arch, _ in first_members(bench, pace.initial)}
    members, missing, t = len(first), len({*bench.space.architectures(wholes(bench))} - first), 0
    while pace.goes_on(t, begun=False):
        yield members, pace.adaptation(t)[2].steps or 0
        kept, new = pace.next_members(t, lambda: [])
        members, missing, t = min(kept, members) + missing + new, 0, t + 1
    yield members, 0


def span(first: int, n: int) -> str:
    """The words for n iterations from a first one on."""
    return f"iteration {first}" if n == 1 else f"iterations {first} to {first + n - 1}"


def preparation(bench: Workbench) -> str:
    """What the steps of the preparation train, in words (`preparing.prepare`)."""
    if bench.prepared:
        return "uniform draws"
    return "the largest, trimmed" if bench.run.keeps_statistics else "largest, smallest, two others"


def probing_s(bench: Workbench) -> float:
    """Seconds to read the published network at several resolutions, within its share of a budget."""
    until, answered, views, fitted = extent_of_reading(bench)
    read = reading_s(bench, sides_to_probe(bench), answered * views + fitted)
    return min(read, max(0.0, until - bench.watch.used_s))


def reading_s(bench: Workbench, sides: list[int], pictures: int) -> float:
    """Seconds in which the published network reads pictures at some resolutions, in pixels."""
    return seconds_of_a_pixel(bench) * pictures * sum(side**2 for side in sides)


def of_the_whole(bench: Workbench, training: Training, pace: Pace) -> Iterator[Step]:
    """The steps that come before the preparation where one network was published."""
    _, answered, _, fitted = extent_of_reading(bench)
    side = largest_affordable(bench) if has_soft_targets(bench) else 0
    if side:
        pictures = len(bench.trainer.images.labels) + len(bench.val)
        yield Step(f"make soft targets at {side} px", reading_s(bench, [side], pictures))
    sides = sides_allowed(bench)
    if sides:
        yield tuning(bench, training, pace)
        words = ", ".join(map(str, sides))
        yield Step(f"read it at {words} px", reading_s(bench, sides, answered + fitted))


def tuning(bench: Workbench, training: Training, pace: Pace) -> Step:
    """The step in which the whole network is trained by itself."""
    steps, size = pace.tuning().steps or 0, min(BATCH, bench.trainer.batches.size)
    epochs = steps * size / len(bench.trainer.images.labels)
    return Step("fine-tune the whole network", steps * training.tuning_s(bench), epochs=epochs, steps=steps)


def resizing_s(bench: Workbench) -> float:
    """Seconds to make each picture of train and val once at every trained resolution."""
    pictures = len(bench.trainer.images.labels) + len(bench.val) * bench.val.views
    return RESIZE_S * pictures * len(bench.run.trained)


def ending_s(bench: Workbench, costs: Costs) -> float:
    """Seconds of what follows the selection, for a front of the usual size."""
    tests = len(bench.dataset.splits["test"])
    images = min(PICTURES, len(bench.trainer.images.labels)) + len(bench.val) * bench.val.views + tests
    whole_s = reading_s(bench, sides_allowed(bench), tests) if bench.reads_published else 0.0
    return schedule.FRONT * costs.measure_s(images) + costs.read_test_s + whole_s + schedule.REPORT_S


@dataclass(frozen=True)
class Training:
    """Seconds of a step of training: `fixed_s` for each network, `madd_s` for each of its multiply-adds on an image."""

    fixed_s: float
    madd_s: float

    @classmethod
    def timed(cls, bench: Workbench) -> Training:
        """Train some networks twice, for one batch each; the faster time of each counts. The rate is zero."""
        trainer, archs, seconds = bench.trainer, random_networks(bench, TIMED_STEPS), []
        trainer.supernet.train(not trainer.keeps_statistics)
        step = trainer.adaptation_step(lambda number: archs[number], 0)
        for number, arch in enumerate(archs):
            trainer.batch(number, arch)  # pictures are resized once, and not at every step
            taken = []
            for _ in range(2):
                bench.watch.progress("machine", number, len(archs))
                start = time.perf_counter()
                trainer.optimizer.zero_grad(set_to_none=True)
                trainer.update(float(step(number)), TrainingState())
                taken.append(time.perf_counter() - start)
            seconds.append(min(taken))
        madds = madds_of(bench, bench.space.codes(archs))
        mean_s, mean, apart = float(np.mean(seconds)), float(madds.mean()), madds - madds.mean()
        slope = float(apart @ np.array(seconds) / max(1.0, float(apart @ apart)))
        slope = min(max(0.0, slope), mean_s / mean)
        return cls(mean_s - slope * mean, slope)

    def step_s(self, madds: float, networks: int = 1) -> float:
        """Seconds of a step that trains networks of `madds` multiply-adds together."""
        return networks * self.fixed_s + madds * self.madd_s

    def preparation_s(self, bench: Workbench) -> float:
        """Seconds of a step of the preparation, in the mean."""
        if bench.prepared or bench.run.keeps_statistics:
            return self.step_s(float(drawn_madds(bench)))
        corners = madds_of(bench, bench.space.corners())
        return self.step_s(float(corners.sum()) + (ARCHITECTURES - 2) * drawn_madds(bench), ARCHITECTURES)

    def adaptation_s(self, bench: Workbench) -> float:
        """Seconds of a step of an adaptation, in the mean, as if its networks were drawn like the first ones."""
        whole = share_of_wholes(bench)
        largest = float(madds_of(bench, bench.space.wholes()).mean())
        return self.step_s((1 - whole) * drawn_madds(bench) + whole * largest)

    def tuning_s(self, bench: Workbench) -> float:
        """Seconds of a step of the whole network's own training, in the mean."""
        madds = madds_of(bench, bench.space.wholes())
        size = bench.trainer.batches.size
        return self.step_s((madds[-1] + madds.mean()) / 2 * min(BATCH, size) / size)


def madds_of(bench: Workbench, codes: Codes) -> np.ndarray:
    """Multiply-adds of architectures. `(n, d) -> (n,)`."""
    return np.asarray(bench.problem.exact[COST](codes), dtype=np.float64)


def drawn_madds(bench: Workbench) -> float:
    """Multiply-adds of an architecture that a step draws, in the mean."""
    sample = bench.space.sample_trimmed if bench.starts_whole else bench.space.sample
    return float(madds_of(bench, sample(DRAWS, rng.generator(bench.seed, "forecast"))).mean())
