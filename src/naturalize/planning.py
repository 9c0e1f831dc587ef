"""The pace of a run: by the number of iterations that was asked for, or by a plan of its budget on this machine."""

from __future__ import annotations

import numpy as np

from naturalize import journal, schedule
from naturalize.classifiers import images_of_a_classifier
from naturalize.machine import choose_threads, epoch_s, measure_costs
from naturalize.pace import LEAST_S, ByClock, ByNumber, Pace
from naturalize.probing import probes_of
from naturalize.schedule import Costs, Plan
from naturalize.training.adapt import Extent
from naturalize.workbench import Workbench

ALONE = 0.95  # share of a budget for a preparation that nothing comes after


def pace_of(bench: Workbench, version: int) -> Pace:
    """The pace of a run.

    Args:
        bench: of the run.
        version: weights version that the run has by now, -1 where preparation is to come.
    """
    settings, archive = bench.run.settings, bench.archive
    if settings.budget_s is not None:
        plan = plan_of(bench, version, settings.budget_s)
        return ByClock(archive, settings.budget_s, plan, bench.fewest, lambda: bench.watch.used_s)
    return ByNumber(archive, settings.iterations or 1, settings.epochs or 1, bench.trainer.batches.per_epoch)


def plan_of(bench: Workbench, version: int, budget_s: float) -> Plan:
    """The plan of a budget: the recorded one, or a new one where there is none for this budget."""
    archive = bench.archive
    found = archive.decision(journal.plan(budget_s))
    if found is not None:
        choose_threads(bench)
        return Plan(**found)
    probes = probes_of(bench.run.directory)
    val_images = len(bench.val) if probes is None else len(probes.rows)
    plan = planned(bench, measure_costs(bench), version, budget_s, bench.watch.used_s, val_images)
    archive.decide(journal.CHOSEN_IMAGES, lambda: (plan.val_images, plan.views))
    archive.record_decision(journal.plan(budget_s), plan.record())
    bench.watch.event("plan", budget_s=budget_s, **plan.record())
    return plan


def planned(bench: Workbench, costs: Costs, version: int, budget_s: float, used_s: float, val_images: int) -> Plan:
    """A new plan of a budget.

    Args:
        bench, version: as of `pace_of`.
        costs: of this machine.
        budget_s: wall clock in all.
        used_s: wall clock used when the plan begins.
        val_images: validation images that there are; those that the published network has answered, where it was read.
    """
    share = schedule.WARM_UP if bench.prepared else schedule.PREPARATION
    return schedule.make_plan(
        budget_s,
        used_s,
        costs,
        val_images=val_images,
        views=bench.val.views,
        end_images=len(bench.dataset.splits["test"]) + images_of_a_classifier(bench),
        fewest=bench.fewest,
        preparation=share if version < 0 else 0.0,
        chosen=bench.archive.decision(journal.CHOSEN_IMAGES),
        epoch_s=epoch_s(bench, costs) if bench.reads_published else np.inf,
    )


def preparation_alone(bench: Workbench) -> Extent:
    """The extent of `naturalize prepare`: the budget but for the time to measure the corners and to write."""
    settings, watch = bench.run.settings, bench.watch
    if settings.budget_s is None:
        return Extent(steps=(settings.epochs or 1) * bench.trainer.batches.per_epoch)
    until = ALONE * settings.budget_s
    name = journal.preparation(settings.budget_s)
    seconds = bench.archive.decide(name, lambda: max(LEAST_S, until - watch.used_s))
    return Extent(seconds=seconds, until=until)
