"""Begin a run, open it, go on with it and report on it: data, directory, lock, archive and clock.

Modules that only training needs take seconds to import, so they are imported where they are used.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from naturalize import journal
from naturalize.archive import Archive
from naturalize.data import JPEG_SIDE, Dataset, open_data
from naturalize.errors import Interrupted, UserError, command
from naturalize.files import write_json
from naturalize.numbers import duration, plural
from naturalize.objectives.requirement import Requirement, check_feasible, parse_requirement
from naturalize.options import AUTO, check_archive, check_task, chosen_supernet
from naturalize.report import write_report
from naturalize.rng import generator
from naturalize.run import Run, Settings, Watch, parse_budget, prepared_directory, source_from, source_to
from naturalize.run.front import finished_under
from naturalize.run.settings import FROM_PYTHON, MINIMUM_BUDGET_S, PUBLISHED
from naturalize.run.watch import Listener
from naturalize.search.problem import Function
from naturalize.space import SearchSpace
from naturalize.supernet import make_family
from naturalize.weights import LARGEST

if TYPE_CHECKING:
    from torch.nn import Module

    from naturalize.teacher import Teacher
    from naturalize.workbench import Workbench


def work(
    data: Any,
    directory: Path,
    settings: Settings,
    listeners: Sequence[Listener],
    started: float | None,
    module: Module | None = None,
    do: Callable[[Workbench], None] | None = None,
) -> Run:
    """Begin a run or go on with it, to its end.

    Args:
        data, listeners, started: as of `api.transfer`.
        directory: of the run.
        settings: as asked for.
        module: the teacher, where it is given as a module.
        do: what to run in place of a transfer, for studies.
    """
    from naturalize.beginning import check_same_data, create_run, family_for
    from naturalize.starting import reads_published
    from naturalize.workbench import counts_on

    settings = kept_at(directory, settings)
    watch = Watch(listeners, time.monotonic() if started is None else started)
    with watch.stoppable(), torch_as_before(), prepared_directory(directory, data) as exists:
        run = Run(directory) if exists else None
        if run is not None and settings.supernet == AUTO:
            settings = replace(settings, supernet=run.settings.supernet, weights=run.settings.weights)
        if run is not None:
            check_no_differences(directory, run.settings.differences(settings))
            check_checkpoint(run)
        dataset = read_data(data, settings, watch, JPEG_SIDE if run is None else run.jpeg_side)
        if run is not None:
            check_same_data(run, dataset)
        settings = chosen_supernet(settings, dataset)
        check_task(settings, dataset)
        teacher = teacher_of(settings, directory, dataset, watch, module)
        if run is None:
            check_archive(settings, directory)
            family, trained = family_for(settings, dataset, reads_published(settings, directory, dataset))
            exact = counts_on(family, dataset)
            limits = map(parse_requirement, settings.requirements)
            counted = [limit for limit in limits if limit.objective in exact]  # a latency is unknown before its model
            check_feasible(counted, exact, family.space)
            check_together(settings, counted, exact, family.space)
            write_splits(directory, dataset)
            class_names = dataset.class_names if teacher is None else teacher.class_names
            run = create_run(directory, settings, family, trained, dataset, class_names, watch)
        return go_on(run, dataset, watch, teacher, do)


def kept_at(directory: Path, settings: Settings) -> Settings:
    """The settings with sources of weights as the run of a directory keeps them: names, and paths from there."""
    sources = {
        name: value if is_name(value) else source_to(str(value), directory)
        for name, value in (("weights", settings.weights), ("archive", settings.archive), ("teacher", settings.teacher))
    }
    return replace(settings, **sources)  # type: ignore[arg-type]


def is_name(source: str | None) -> bool:
    """Whether a source of weights is no path: nothing, or a name."""
    return source is None or source in (PUBLISHED, *LARGEST)


def check_no_differences(directory: Path, differences: Sequence[str]) -> None:
    """Raise `UserError` where other things were asked for than the run of a directory was begun with."""
    if differences:
        raise UserError(
            f"{directory} is a run with other settings: {'; '.join(differences)}. Go on with it by "
            f"`{command('resume', directory)}`, or choose another --out"
        )


def write_splits(directory: Path, dataset: Dataset) -> None:
    """Write the names of the pictures by split into a run that is begun."""
    lists = {split: [dataset.paths[row] for row in rows] for split, rows in dataset.splits.items()}
    write_json(directory / "splits.json", lists)


def check_together(
    settings: Settings, limits: Sequence[Requirement], exact: Mapping[str, Function], space: SearchSpace
) -> None:
    """Raise `UserError` for limits from below that none of the architectures found meets with all the others."""
    from naturalize.workbench import search_problem

    texts = tuple(limit.text for limit in limits)
    problem = search_problem(replace(settings, requirements=texts), space, exact)
    if any(limit.least for limit in limits) and not len(problem.sample(1, generator(settings.seed, "limits"))):
        raise UserError(f"no architecture was found that meets {' and '.join(texts)}: allow more")


def teacher_of(
    settings: Settings, directory: Path, dataset: Dataset, watch: Watch, module: Module | None = None
) -> Teacher | None:
    """The teacher that the settings name, ready for the pictures; None where they name none. Raises `UserError`."""
    from naturalize.teacher import Teacher, open_teacher

    if settings.teacher is None:
        return None
    if settings.teacher != FROM_PYTHON:
        teacher = open_teacher(source_from(settings.teacher, directory), watch.progress)
    elif module is not None:
        teacher = Teacher(module)
    else:
        raise UserError(f"the teacher of {directory} came from Python: go on by naturalize.prepare with it there")
    resolution = make_family(settings.supernet, dataset.side).resolutions[-1]
    teacher.teach(dataset.class_names, dataset.channels, resolution)
    if teacher.by_pixel != bool(dataset.meaning):
        told = "names pixels: give pictures with masks" if teacher.by_pixel else "names pictures, and these have masks"
        raise UserError(f"the teacher {told}")
    if teacher.several != dataset.several and teacher.known is not None:  # nothing is known of a module
        its, theirs = (("one class", "several labels")[several] for several in (teacher.several, dataset.several))
        raise UserError(f"the teacher gives a picture {its}, and these have {theirs}: choose another")
    return teacher


def check_checkpoint(run: Run) -> None:
    """Raise `UserError` for a damaged checkpoint, before time is spent on reading the data."""
    name = run.checkpoints.latest()
    if name is not None:
        run.checkpoints.load(name)


def check_by_itself(run: Run) -> None:
    """Raise `UserError` for the run of one data set of a joint run: it goes on with the others."""
    if "joint" in run.facts:
        joint = run.directory.resolve().parent
        raise UserError(f"{run.directory} is part of a joint run: give that one, as {command('resume', joint)}")


def changed(settings: Settings, directory: Path, budget: str | None, iterations: int | None) -> Settings:
    """Settings with another total of time or iterations. Raises `UserError` where the run goes by the other one.

    Args:
        settings, directory: of the run.
        budget, iterations: the new total; None for that of the settings.
    """
    if budget is not None:
        if settings.budget_s is None:
            raise UserError(f"{directory} runs by iterations: give --iterations, as --iterations 6")
        settings = replace(settings, budget_s=parse_budget(budget))
    if iterations is not None:
        if settings.iterations is None:
            raise UserError(f"{directory} runs by a budget: give --budget, as --budget 40m")
        if iterations < 1:
            raise UserError(f"--iterations {iterations}: give 1 or more")
        settings = replace(settings, iterations=iterations)
    return settings


def check_time_left(run: Run, budget_s: float) -> None:
    """Raise `UserError` for a new budget that leaves a finished run no time to improve: its result would get worse."""
    if finished_under(run.directory) is None:
        return
    with closing(run.archive()) as archive:
        used_s = archive.used_s
    if budget_s < used_s + MINIMUM_BUDGET_S:
        least = ceil(used_s + MINIMUM_BUDGET_S)
        raise UserError(
            f"{run.directory} is finished and has used {duration(used_s)}: to become better it needs "
            f"{MINIMUM_BUDGET_S:.0f}s more at least, as --budget {least}s"
        )


def check_done(runs: Sequence[Run], directory: Path, iterations: int) -> None:
    """Raise `UserError` for a new total of iterations that is below what was done already.

    Args:
        runs: that train together, or one by itself.
        directory: of the run.
        iterations: the new total.
    """
    latest = [(run.checkpoints, name) for run in runs if (name := run.checkpoints.latest()) is not None]
    done = max((int(checkpoints.state(name)["version"]) for checkpoints, name in latest), default=0)
    if iterations < done:
        raise UserError(f"{directory} has done {plural(done, 'iteration')} already: give --iterations {done} or more")


def go_on(
    run: Run, dataset: Dataset, watch: Watch, teacher: Teacher | None, do: Callable[[Workbench], None] | None = None
) -> Run:
    """Do what is left of a run, then write its report."""
    from naturalize.nat import run_transfer
    from naturalize.preparing import prepare_only
    from naturalize.workbench import open_workbench

    with attached(run, watch) as archive:
        target = {"budget_s": run.settings.budget_s, "iterations": run.settings.iterations}
        if archive.decision(journal.DONE) == target and (run.settings.goal == "prepare" or has_front(run)):
            watch.event("already finished", run=str(run.directory), goal=run.settings.goal, **target)
            if run.settings.goal == "transfer" and not (run.directory / "report.html").exists():
                report(run, watch)
            return run
        watch.event("start", data=run.facts["data"]["name"], summary=dataset.summary(), settings=run.describe())
        try:
            bench = open_workbench(run, dataset, archive, watch, teacher)
            if do is not None:
                do(bench)
            elif run.settings.goal == "prepare":
                prepare_only(bench)
            else:
                run_transfer(bench)
                report(run, watch)
        except Interrupted as stop:
            watch.event("stopped", signal=stop.signum)
            if has_front(run):
                write_report(run.directory)
            raise
        finally:
            watch.save_clock()
        archive.record_decision(journal.DONE, target)
        watch.event("done")
    return run


def report(run: Run, watch: Watch) -> Path:
    """Write the report of a run, as a phase of it."""
    with watch.phase("report"):
        path = write_report(run.directory)
    watch.check()  # a signal that came while it was written
    return path


def has_front(run: Run) -> bool:
    """Whether front.json is there and whole."""
    try:
        return bool(run.front())
    except UserError:
        return False


@contextmanager
def opened(
    directory: str | Path, listeners: Sequence[Listener], started: float | None = None
) -> Iterator[tuple[Run, Watch]]:
    """Open and lock an existing run. Yields it and a watch for the work on it."""
    run = Run(directory)
    watch = Watch(listeners, time.monotonic() if started is None else started)
    with watch.stoppable(), torch_as_before(), prepared_directory(run.directory):
        yield run, watch


@contextmanager
def torch_as_before() -> Iterator[None]:
    """Leave torch's generator and its number of threads as they were: they are the caller's."""
    import torch

    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        try:
            yield
        finally:
            torch.set_num_threads(threads)


@contextmanager
def attached(run: Run, watch: Watch) -> Iterator[Archive]:
    """Open the run's archive for writing; the watch goes on from its clock."""
    archive = run.archive(read_only=False)
    try:
        watch.attach(run.directory / "events.jsonl", archive)
        yield archive
    finally:
        archive.close()


def read_data(
    data: Any, settings: Settings, watch: Watch, jpeg_side: int | None, memory_limit: int | None = None
) -> Dataset:
    """Open the data as the settings say. Raises `UserError` where reading alone would take half of the budget."""
    begun_s = watch.used_s

    def progress(phase: str, done: int, total: int) -> None:
        watch.progress(phase, done, total)
        reading_s = watch.used_s - begun_s
        needed_s = reading_s * total / max(1, done)
        if settings.budget_s is not None and reading_s > settings.budget_s / 2 and done < total:
            raise UserError(
                f"reading {total:,} pictures takes about {duration(needed_s)}, more than half of the budget: "
                f"give at least --budget {ceil(4 * needed_s / 60)}m"
            )

    with watch.phase("scan"):
        return open_data(
            data,
            classes=settings.classes or None,
            seed=settings.seed,
            strict=settings.strict,
            without_classes=settings.teacher is not None,
            jpeg_side=jpeg_side,
            ignore=settings.ignore,
            memory_limit=memory_limit,
            progress=progress,
        )


def source_now(kept: str, directory: Path, name: str = "") -> str | Path:
    """Where the data of a run are now. Raises `UserError` where they are gone, or were arrays.

    Args:
        kept: as the run's run.toml has it.
        directory: of the run.
        name: of the data set, of several.
    """
    of, moved = (f" of {name}", f"{name}=photos/") if name else ("", "photos/")
    if kept == "arrays":
        told = "the data of this run were arrays" if not name else f"the data{of} were arrays"
        raise UserError(f"{told}: resume it from Python with naturalize.resume(run, data=...)")
    if not (kept.startswith("..") or Path(kept).is_absolute()):  # `source_to` writes paths so, and no names
        return kept  # a folder may be called as a data set that is known by name
    data = Path(source_from(kept, directory))
    if not data.exists():
        raise UserError(f"the images{of} are no longer at {data}: say where they are now, as --data {moved}")
    return data


def reopen_data(run: Run, data: Any, watch: Watch) -> Dataset:
    """Open the data of a run, from where they are now. Raises `UserError` where they are gone or have changed."""
    from naturalize.beginning import check_same_data

    if data is None:
        data = source_now(run.facts["data"]["source"], run.directory)
    dataset = read_data(data, run.settings, watch, run.jpeg_side)
    check_same_data(run, dataset)
    return dataset
