"""A joint run is begun, opened, gone on with, and ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from math import ceil
from pathlib import Path
from typing import Any

from naturalize import journal
from naturalize.beginning import check_same_data, create_run, family_for, machine_facts
from naturalize.data import JPEG_SIDE, Dataset
from naturalize.data.machine import pixel_budget
from naturalize.errors import UserError
from naturalize.files import make_directory
from naturalize.joint.asked import check_share, settings_of
from naturalize.joint.page import write_joint_report
from naturalize.joint.run import JointRun
from naturalize.joint.transfer import JointTransfer, largest_of, run_joint_transfer
from naturalize.joint.turns import Turns
from naturalize.lifecycle import (
    changed,
    check_done,
    check_no_differences,
    check_together,
    kept_at,
    read_data,
    report,
    source_now,
    torch_as_before,
    write_splits,
)
from naturalize.numbers import duration
from naturalize.objectives.requirement import check_feasible, parse_requirement
from naturalize.options import AUTO, check_archive, check_task, chosen_supernet
from naturalize.run import Run, Settings, Watch, prepared_directory, source_to
from naturalize.run.front import finished_under
from naturalize.run.lock import locked
from naturalize.run.settings import MINIMUM_BUDGET_S
from naturalize.run.watch import Listener, Standstill
from naturalize.starting import reads_published
from naturalize.supernet import Family, make_family
from naturalize.workbench import Workbench, counts_on, open_workbench

FEWEST_SIDES = 2  # resolutions that data sets have in common; with fewer, all of them are taken


def work_jointly(
    data: Mapping[str, Any],
    directory: Path,
    settings: Settings,
    listeners: Sequence[Listener],
    started: float | None,
    do: Callable[[Workbench], None] | None = None,
) -> JointRun:
    """Begin a joint run or go on with it, to its end.

    Args:
        data: by name of the data set.
        directory: of the run.
        settings: as of `joint_settings`.
        listeners, started: as of `api.transfer`.
        do: what to run for each data set in place of a transfer.
    """
    settings = kept_at(directory, settings)
    watch = Watch(listeners, time.monotonic() if started is None else started)
    with watch.stoppable(), torch_as_before(), prepared_directory(directory, *data.values()) as exists:
        run = JointRun(directory) if exists else None
        if run is not None:
            check_same(run, settings, list(data))
            settings = run.settings
        turns = Turns(watch, list(data))
        datasets = read_all(directory, settings, data, turns)
        if run is None:
            run = begin(directory, supernet_for(settings, datasets), data, datasets)
        if do is None:
            return go_on(run, datasets, watch, turns)
        for name, dataset in datasets.items():
            with opened_bench(run, name, dataset, turns, ends_now=False) as bench, turns.of[name].taken():
                do(bench)
        return run


def resume_jointly(
    directory: Path,
    data: Mapping[str, Any],
    budget: str | None,
    iterations: int | None,
    listeners: Sequence[Listener],
    started: float | None,
) -> JointRun:
    """Go on with a joint run; arguments as of `api.resume`, data by name where they were moved."""
    run = JointRun(directory)
    watch = Watch(listeners, time.monotonic() if started is None else started)
    with watch.stoppable(), torch_as_before(), prepared_directory(directory):
        settings = changed(run.settings, directory, budget, iterations)
        if settings.budget_s is not None and settings.budget_s != run.settings.budget_s:
            check_share(settings.budget_s, len(run.sets))
            check_time_left(run, settings.budget_s)
        if iterations is not None:
            check_done(
                [run.run(name) for name in run.sets if (directory / name / "run.toml").exists()], directory, iterations
            )
        turns = Turns(watch, run.sets)
        datasets = read_all(directory, settings, sources_of(run, data), turns)
        if settings != run.settings:
            run = JointRun.create(directory, settings, run.facts)
        return go_on(run, datasets, watch, turns)


def finish_jointly(directory: Path, data: Mapping[str, Any], listeners: Sequence[Listener]) -> JointRun:
    """End a stopped joint run as it is; arguments as of `api.finish`, data by name where they were moved."""
    run, watch = JointRun(directory), Watch(listeners, time.monotonic())
    with watch.stoppable(), torch_as_before(), prepared_directory(directory):
        turns = Turns(watch, run.sets)
        datasets = read_all(directory, run.settings, sources_of(run, data), turns)
        return go_on(run, datasets, watch, turns, ends_now=True)


def check_time_left(run: JointRun, budget_s: float) -> None:
    """Raise `UserError` for a new budget that leaves a finished joint run no time to improve."""
    with closing(run.archive()) as archive:
        least = archive.used_s + len(run.sets) * MINIMUM_BUDGET_S
    if (run.directory / "front.json").exists() and budget_s < least:
        raise UserError(
            f"{run.directory} is finished: to become better it needs {MINIMUM_BUDGET_S:.0f}s more for each data set at "
            f"least, as --budget {ceil(least)}s"
        )


def sources_of(run: JointRun, data: Mapping[str, Any]) -> dict[str, Any]:
    """Where the data sets of a joint run are now, by name. Raises `UserError` for names that it does not have.

    Args:
        run: the joint run.
        data: those that were moved.
    """
    if not isinstance(data, Mapping):
        raise UserError(f"{run.directory} has several data sets: give those that were moved by name, as a dictionary")
    if unknown_names := [name for name in data if name not in run.sets]:
        raise UserError(f"{run.directory} has no data set {unknown_names[0]}: it has {', '.join(run.sets)}")
    kept = run.facts["sets"]
    return {name: data[name] if name in data else source_now(kept[name], run.directory, name) for name in run.sets}


def check_same(run: JointRun, settings: Settings, names: Sequence[str]) -> None:
    """Raise `UserError` where other settings were asked for than the run has."""
    if settings.supernet == AUTO:
        settings = replace(settings, supernet=run.settings.supernet, weights=run.settings.weights)
    found = run.settings.differences(settings)
    if run.sets != list(names):
        found.append(f"data sets ({', '.join(run.sets)} there, {', '.join(names)} here)")
    check_no_differences(run.directory, found)


def read_all(directory: Path, settings: Settings, data: Mapping[str, Any], turns: Turns) -> dict[str, Dataset]:
    """The data sets by name, each read in its turn; together they hold no more pixels than one would.

    Args:
        directory, settings: of the joint run.
        data: sources by name.
        turns: clocks of the data sets.
    """
    limit, found = pixel_budget() // len(data), dict[str, Dataset]()
    for name, source in data.items():
        run = Run(directory / name) if (directory / name / "run.toml").exists() else None
        own = settings_of(settings, directory, list(data), name)
        with turns.of[name].taken() as turn, of_set(name):
            dataset = read_data(source, own, turn, JPEG_SIDE if run is None else run.jpeg_side, limit)
            if run is not None:
                check_same_data(run, dataset)
            check_task(own, dataset)
            found[name] = dataset
    return found


@contextmanager
def of_set(name: str) -> Iterator[None]:
    """Say in an error which data set it is of."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{name}: {error}") from error


def supernet_for(settings: Settings, datasets: Mapping[str, Dataset]) -> Settings:
    """The settings with a supernet chosen by the data set with the largest pictures, unless one was given."""
    return chosen_supernet(settings, max(datasets.values(), key=lambda dataset: dataset.side))


def begin(directory: Path, settings: Settings, data: Mapping[str, Any], datasets: Mapping[str, Dataset]) -> JointRun:
    """Write the run.toml of a joint run. Raises `UserError` for requirements that no architecture meets.

    Args:
        directory, settings: of the run; its supernet is chosen.
        data, datasets: sources by name, and what was read there.
    """
    check_archive(settings, directory)
    family, trained = common_family(directory, settings, datasets)
    limits = [parse_requirement(text) for text in settings.requirements]
    counts = {name: counts_on(family, dataset) for name, dataset in datasets.items()}
    for name, exact in counts.items():
        with of_set(name):
            check_feasible(limits, exact, family.space)
    names = next(iter(counts.values()))
    check_together(settings, limits, {name: largest_of(name, list(counts.values())) for name in names}, family.space)
    sources = {
        name: source_to(str(source), directory) if isinstance(source, str | Path) else "arrays"
        for name, source in data.items()
    }
    pixels = {"resolutions": list(family.resolutions), "trained": trained}
    return JointRun.create(directory, settings, {"sets": sources, "pixels": pixels, "machine": machine_facts()})


def common_family(directory: Path, settings: Settings, datasets: Mapping[str, Dataset]) -> tuple[Family, int]:
    """The family that all data sets share, and the largest resolution at which its networks are trained.

    Resolutions are those that every data set would have by itself; where these are fewer than two, those of all, or, as
    masks need multiples of what bodies shrink a picture by, those of the data sets with masks.

    Args:
        directory, settings: of the joint run.
        datasets: by name.
    """
    trained, larger = [], set[int]()
    for name, dataset in datasets.items():
        own = settings_of(settings, directory, list(datasets), name)
        family, most = family_for(own, dataset, reads_published(own, directory / name, dataset))
        trained.append({side for side in family.resolutions if side <= most})
        larger |= set(family.resolutions) - trained[-1]
    common = sorted(set.intersection(*trained))
    if len(common) < FEWEST_SIDES:
        of_masks = [sides for sides, dataset in zip(trained, datasets.values(), strict=True) if dataset.meaning]
        common = sorted(set.union(*trained) if not of_masks else set.intersection(*of_masks))
    sides = [*common, *sorted(side for side in larger if side > common[-1])]
    return make_family(settings.supernet, 0, sides), common[-1]


def go_on(
    run: JointRun, datasets: Mapping[str, Dataset], watch: Watch, turns: Turns, ends_now: bool = False
) -> JointRun:
    """Do what is left of a joint run, then write its reports.

    Args:
        run, datasets: the run, and its data by name.
        watch, turns: its clocks.
        ends_now: whether it ends as it is; its clocks stand still then.
    """
    with closing(run.archive(read_only=False)) as archive, ExitStack() as stack:
        watch.attach(run.directory / "events.jsonl", Standstill(archive.used_s) if ends_now else archive)
        target = {"budget_s": run.settings.budget_s, "iterations": run.settings.iterations}
        if not ends_now and archive.decision(journal.DONE) == target and is_whole(run):
            watch.event("already finished", run=str(run.directory), goal="transfer", **target)
            return run
        summary = [
            f"{name}: {line.removeprefix(f'{name}: ')}"
            for name, dataset in datasets.items()
            for line in dataset.summary()
        ]
        facts = {"budget_s": run.settings.budget_s, "sets": run.sets}
        watch.event("start", data=run.settings.data, summary=summary, settings=described(run), **facts)
        benches = {
            name: stack.enter_context(opened_bench(run, name, dataset, turns, ends_now))
            for name, dataset in datasets.items()
        }
        try:
            steps = JointTransfer(run, archive, watch, turns, benches)
            if ends_now:
                steps.end_now()
            else:
                run_joint_transfer(steps)
            for name, bench in benches.items():
                with steps.turn(name):
                    report(bench.run, bench.watch)
            with watch.phase("report"):
                write_joint_report(run.directory)
        finally:
            watch.save_clock()
        if not ends_now:
            archive.record_decision(journal.DONE, target)
        watch.event("done")
    return run


def is_whole(run: JointRun) -> bool:
    """Whether the result of a joint run is there, and that of each of its data sets."""
    try:
        run.front()
    except UserError:
        return False
    begun = all((run.directory / name / file).exists() for name in run.sets for file in ("run.toml", "archive.sqlite"))
    return begun and None not in [finished_under(run.directory / name) for name in run.sets]


@contextmanager
def opened_bench(run: JointRun, name: str, dataset: Dataset, turns: Turns, ends_now: bool) -> Iterator[Workbench]:
    """The run of one data set, begun where there is none, locked, and opened to work on it in its turns."""
    directory, turn = run.directory / name, turns.of[name]
    settings = settings_of(run.settings, run.directory, run.sets, name)
    make_directory(directory)
    with ExitStack() as stack:
        stack.enter_context(locked(directory))
        with turn.taken(), of_set(name):
            if not (directory / "run.toml").exists():
                write_splits(directory, dataset)
                trained = run.facts["pixels"]["trained"]
                create_run(directory, settings, run.family, trained, dataset, dataset.class_names, turn, name)
            own = Run(directory)
            own = own.with_settings(replace(own.settings, budget_s=settings.budget_s, iterations=settings.iterations))
            archive = stack.enter_context(closing(own.archive(read_only=False)))
            turn.attach(directory / "events.jsonl", Standstill(archive.used_s) if ends_now else archive)
            bench = open_workbench(own, dataset, archive, turn)
        yield bench


def described(run: JointRun) -> str:
    """The settings of a joint run in one line."""
    asked = run.settings
    limits = f" with {', '.join(asked.requirements)}" if asked.requirements else ""
    spend = f"{asked.iterations} iterations of {asked.epochs} epochs"
    if asked.budget_s is not None:
        share = duration(asked.budget_s / len(run.sets))
        spend = f"budget {duration(asked.budget_s)}, of which each of {len(run.sets)} data sets has {share}"
    return f"{asked.start}, minimise {', '.join(asked.objectives)}{limits}, {spend}, seed {asked.seed}"
