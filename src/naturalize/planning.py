"""The pace of a run: by the number of iterations that was asked for, or by a plan of its budget on this machine."""

from __future__ import annotations

import numpy as np

from naturalize import schedule
from naturalize.classifiers import images_of_a_classifier
from naturalize.machine import choose_threads, epoch_s, measure_costs
from naturalize.pace import ByClock, ByNumber, Pace
from naturalize.probing import probes_of
from naturalize.schedule import Plan
from naturalize.setting import CHOSEN_IMAGES, Setting


def pace_of(setting: Setting, version: int) -> Pace:
    """How far the steps of a run go.

    Args:
        version: of the weights that the run has by now, -1 where preparation is to come.
    """
    settings, archive = setting.run.settings, setting.archive
    if settings.budget_s is not None:
        plan = plan_of(setting, version, settings.budget_s)
        return ByClock(archive, settings.budget_s, plan, setting.fewest, lambda: setting.watch.used_s)
    return ByNumber(archive, settings.iterations or 1, settings.epochs or 1, setting.trainer.batches.per_epoch)


def plan_of(setting: Setting, version: int, budget_s: float) -> Plan:
    """The division of a budget: the recorded one, or a new one where there is none for this budget."""
    archive = setting.archive
    found = archive.decision(f"plan {budget_s:g}")
    if found is not None:
        choose_threads(setting)
        return Plan(**found)
    costs, probes = measure_costs(setting), probes_of(setting.run.directory)
    share = schedule.WARM_UP if setting.prepared else schedule.PREPARATION
    plan = schedule.make_plan(
        budget_s,
        setting.watch.used_s,
        costs,
        val_images=len(setting.val) if probes is None else len(probes.rows),
        views=setting.val.views,
        end_images=len(setting.dataset.splits["test"]) + images_of_a_classifier(setting),
        fewest=setting.fewest,
        preparation=share if version < 0 else 0.0,
        chosen=archive.decision(CHOSEN_IMAGES),
        epoch_s=epoch_s(setting, costs) if setting.reads_published else np.inf,
    )
    archive.decide(CHOSEN_IMAGES, lambda: (plan.val_images, plan.views))
    archive.record_decision(f"plan {budget_s:g}", plan.record())
    setting.watch.event("plan", budget_s=budget_s, **plan.record())
    return plan
