"""The commands as functions, for users. The command line only parses, calls these and prints.

Modules that only training needs take seconds to import, so they are imported where they are used.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from naturalize import journal
from naturalize.data import Dataset, open_data
from naturalize.data.augment import should_flip
from naturalize.data.named import NAMED
from naturalize.errors import UserError, command, unknown
from naturalize.exporting import Check, Exported
from naturalize.exporting import export as export_file
from naturalize.joint.run import JointRun, is_joint
from naturalize.lifecycle import (
    changed,
    check_by_itself,
    check_checkpoint,
    check_done,
    check_time_left,
    go_on,
    has_front,
    opened,
    reopen_data,
    report,
    teacher_of,
    torch_as_before,
    work,
)
from naturalize.objectives import COST, DEFAULT
from naturalize.objectives.requirement import parse_requirement
from naturalize.options import AUTO, DEFAULT_BUDGET, RECIPES, Recipe, as_list, chosen_supernet, make_settings
from naturalize.predicting import Prediction, open_model, predict_with
from naturalize.run import Run, Settings, Watch, parse_budget, prepared_directory
from naturalize.run.front import finished_under, networks_of, nothing_measured, read_front
from naturalize.run.run import RunNetwork
from naturalize.run.settings import FROM_PYTHON, MINIMUM_BUDGET_S, PREPARATIONS, SANDWICH
from naturalize.run.watch import Listener, Standstill
from naturalize.terminal import Terminal, steps_table

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch.nn import Module

    from naturalize.latency.elsewhere import LatencyModels
    from naturalize.supernet import Family
    from naturalize.tasks import Task
    from naturalize.workbench import Workbench

FINETUNING = 0.25  # time for it after a run whose recipe ends so, as a share of the run's own
TWO_WAYS = "a network is chosen by its architecture or by what it requires, not by both: leave one out"


def transfer(
    data: Any,
    out: str | Path,
    *,
    budget: str | None = None,
    iterations: int | None = None,
    epochs: int | None = None,
    recipe: str | None = None,
    objectives: str | Sequence[str] | None = None,
    require: str | Sequence[str] = (),
    supernet: str | Path | None = None,
    scratch: bool = False,
    search: str | None = None,
    predictor: str | None = None,
    archive: str | Path | None = None,
    classes: Sequence[str] = (),
    seed: int = 0,
    strict: bool = False,
    balanced: bool = False,
    ignore: Sequence[int] = (),
    listeners: Sequence[Listener] | None = None,
    started: float | None = None,
) -> Run:
    """Adapt a supernet to images, architecture and weights together, and write the front of networks to `out`.

    An existing run with the same settings and data goes on where it was; a finished one is given back as it is.

    Args:
        data: a folder of class folders, a file or folder in another layout of docs/data.md, a Hub name, `"digits"`, or
            arrays `(images, labels)`.
        out: directory of the run.
        budget: wall clock from start to finished report, as `"20m"`; 20 minutes unless told.
        iterations: number of iterations, in place of a budget; repeatable to the bit on one machine's CPU.
        epochs: of adaptation per iteration, with `iterations`; 5 unless told.
        recipe: `nat` or `nat-imagenet`, the paper's: values for the options that are not given (docs/recipe.md).
        objectives: one to three of `error`, `balanced-error`, `madds`, `params`, `activations`, `size`, `size:int8`,
            `error:int8`, or a latency as `latency:cpu` (docs/objectives.md); `error` and `madds` unless told.
        require: limits on costs, as `"madds<5M"`, `"2M<madds<5M"` or `"latency:cpu<5ms"`.
        supernet: its name, a file of Once-for-All weights, or the directory of a run to start from its supernet;
            chosen by the size of the pictures unless told.
        scratch: start from nothing although there are published weights.
        search: `nat`, the paper's, by NSGA-III, or `auto`, in small batches by expected gain; `nat` unless told.
        predictor: name of the predictor of errors in `naturalize.predictor.PREDICTORS`; the paper's is `rbf-ensemble`,
            ours, unless told, `gaussian-process`.
        archive: directory of another run of the same supernet, whose architectures are the first to be measured.
        classes: class names in the order wanted; the data's own unless told.
        seed: of all random draws.
        strict: stop at a picture that cannot be read, in place of skipping it.
        balanced: weigh classes in training so that rare ones count as much as common ones.
        ignore: values of masks that stand for no class, besides 255.
        listeners: functions called with every event; progress on stderr where None, silence where empty.
        started: `time.monotonic()` from which the budget counts; now unless told.

    Raises:
        UserError: for anything that the caller can mend, before work starts where that is possible.
        Interrupted: at SIGINT or SIGTERM, after the state was saved.

    Example:
        >>> run = naturalize.transfer("digits", "runs/digits", iterations=1, epochs=1, listeners=())
        >>> [network.madds for network in run.front()] == sorted(network.madds for network in run.front())
        True
        >>> model = run.best("madds<1M").module()  # pixels 0..255 to logits
    """
    settings = make_settings(
        data, budget, iterations, epochs, recipe=recipe, objectives=objectives, require=require, supernet=supernet,
        scratch=scratch, search=search, predictor=predictor, archive=archive, classes=classes, seed=seed, strict=strict,
        balanced=balanced, ignore=ignore,
    )  # fmt: skip
    with heard(listeners) as hearing:
        return as_recipe_ends(work(data, Path(out), settings, hearing, started), data, hearing)


def joint_transfer(
    data: Mapping[str, Any],
    out: str | Path,
    *,
    budget: str | None = None,
    iterations: int | None = None,
    epochs: int | None = None,
    listeners: Sequence[Listener] | None = None,
    started: float | None = None,
    **options: Any,
) -> JointRun:
    """Search architectures for several data sets at once, and adapt a supernet to each (Lu et al., appendix).

    A network of the front is an architecture with weights for every data set. The run of each is a directory in `out`,
    by its name, and its networks are exported and used like those of any other run.

    Args:
        data: as of `transfer`, by name of the data set: letters, digits, `_` and `-`.
        out: directory of the run.
        budget: wall clock for all, of which each data set has an equal share; 20 minutes unless told.
        iterations, epochs: as of `transfer`.
        listeners, started: as of `transfer`.
        options: as of `transfer`, but for `classes`. Objectives are errors of a data set, as `error@pets`, and counts;
            `error` is that of each. All errors and `madds` unless told; 15 at most.

    Example:
        >>> from sklearn.datasets import load_digits
        >>> pictures, digits = (15 * load_digits().images).astype("uint8"), load_digits().target
        >>> halves = {"low": digits < 5, "high": digits >= 5}
        >>> data = {name: (pictures[half], digits[half]) for name, half in halves.items()}
        >>> run = naturalize.joint_transfer(data, "runs/halves", iterations=1, epochs=1, listeners=())
        >>> smallest, *others = run.front()["networks"]
        >>> sorted(smallest["sets"])
        ['high', 'low']
        >>> model = run.run("low").network(smallest["architecture"]).module()  # pixels 0..255 to logits
    """
    from naturalize.joint.asked import joint_settings
    from naturalize.joint.lifecycle import work_jointly

    settings = joint_settings(data, budget, iterations, epochs, **options)
    with heard(listeners) as hearing:
        return work_jointly(data, Path(out), settings, hearing, started)


def dry_run(
    data: Any,
    out: str | Path,
    *,
    budget: str | None = None,
    iterations: int | None = None,
    epochs: int | None = None,
    listeners: Sequence[Listener] | None = None,
    started: float | None = None,
    **options: Any,
) -> list[str]:
    """The plan of a transfer, its steps and what they would take here, in lines of text; nothing of it is left behind.

    Weights and data that have to be fetched for it stay in their caches.

    Args:
        data, out, budget, iterations, epochs, listeners, started, options: as of `transfer`.
    """
    from naturalize.forecast import files
    from naturalize.workbench import modelled

    settings = make_settings(data, budget, iterations, epochs, **options)
    slow, lines = modelled(settings), list[str]()
    limits = {text: parse_requirement(text).objective for text in settings.requirements}
    quick = replace(
        settings,
        objectives=tuple(name for name in settings.objectives if name not in slow),
        requirements=tuple(text for text, name in limits.items() if name not in slow),
    )

    def foresee(bench: Workbench) -> None:
        kept = bench.run.settings
        weights = kept.weights if settings.supernet == AUTO else settings.weights
        full = replace(settings, supernet=kept.supernet, weights=weights)
        lines.extend([*plan_lines(bench, full), f"writes {out}: {', '.join(files(bench, full))}"])

    with planning(Path(out), [data], listeners) as (directory, quiet):
        work(data, directory, quick, quiet, started, do=foresee)
    return lines


def joint_dry_run(
    data: Mapping[str, Any],
    out: str | Path,
    *,
    budget: str | None = None,
    iterations: int | None = None,
    epochs: int | None = None,
    listeners: Sequence[Listener] | None = None,
    started: float | None = None,
    **options: Any,
) -> list[str]:
    """As `dry_run`, of a joint transfer: the plan of each data set by its name. Arguments as of `joint_transfer`."""
    from naturalize.joint.asked import joint_settings
    from naturalize.joint.lifecycle import described, work_jointly

    settings, lines = joint_settings(data, budget, iterations, epochs, **options), list[str]()

    def foresee(bench: Workbench) -> None:
        lines.extend(["", f"{bench.run.task_name}:", *plan_lines(bench, bench.run.settings)])

    with planning(Path(out), [*data.values()], listeners) as (directory, quiet):
        run = work_jointly(data, directory, settings, quiet, started, do=foresee)
        lines.insert(0, described(run))
    runs = ", ".join(f"{name}/" for name in data)
    files = "run.toml, archive.sqlite, events.jsonl, front.json, report.html"
    return [*lines, "", f"writes {out}: {files}, and runs in {runs}"]


@contextmanager
def planning(
    out: Path, data: Sequence[Any], listeners: Sequence[Listener] | None
) -> Iterator[tuple[Path, Sequence[Listener]]]:
    """Yield a directory to begin a run in that is thrown away, and listeners of its progress alone.

    Args:
        out: directory that the run would have: it is held meanwhile, and nothing is left in it.
        data: of the run.
        listeners: as of `transfer`.

    Raises `UserError` where the run cannot have the directory.
    """
    with prepared_directory(out, *data) as exists:
        if exists:
            raise UserError(f"{out} is a run already, and --dry-run plans a new one: choose another --out")
        with heard(listeners) as hearing, TemporaryDirectory() as place:
            yield Path(place) / "run", [partial(progress_alone, hearing)]


def plan_lines(bench: Workbench, settings: Settings) -> list[str]:
    """What is planned for a data set, in lines of text.

    Args:
        bench: of a run in which nothing is trained yet.
        settings: of the transfer, latencies included.
    """
    from naturalize.forecast import Step, foreseen

    run, steps = bench.run, foreseen(bench, settings)
    if RECIPES.get((*settings.recipe, "")[0], Recipe({})).finetunes:
        seconds = max(MINIMUM_BUDGET_S, FINETUNING * sum(step.seconds for step in steps))
        steps.append(Step("fine-tune each network of the front", seconds))
    return [
        *bench.dataset.summary(),
        run.with_settings(settings).describe(),
        f"space: {architectures_in_words(run.family, bench.dataset)}",
        f"search {settings.search}, predictor {settings.predictor}",
        *steps_table(steps),
    ]


def progress_alone(listeners: Sequence[Listener], event: dict[str, Any]) -> None:
    """Tell listeners of progress, and of nothing else that an event is about."""
    for listener in listeners if event["event"] == "progress" else ():
        listener(event)


def as_recipe_ends(run: Run, data: Any, listeners: Sequence[Listener] | None) -> Run:
    """Fine-tune all networks of a finished run, each front once, where the run's recipe ends so."""
    recipe = RECIPES.get(run.settings.recipe[0]) if run.settings.recipe else None
    if recipe is None or not recipe.finetunes:
        return run
    front = read_front(run.directory)
    with closing(run.archive()) as archive:
        done, seconds = archive.decision(journal.FINETUNED), max(MINIMUM_BUDGET_S, FINETUNING * archive.used_s)
    if done != front["weights_version"]:
        every = [network.architecture for network in networks_of(front)]
        finetune(run.directory, architectures=every, budget=f"{seconds:.1f}s", data=data, listeners=listeners)
        with opened(run.directory, ()) as (run, _), closing(run.archive(read_only=False)) as archive:
            archive.record_decision(journal.FINETUNED, front["weights_version"])
    return run


@contextmanager
def heard(listeners: Sequence[Listener] | None) -> Iterator[Sequence[Listener]]:
    """Yield the listeners, or one that shows progress on stderr where they are None."""
    if listeners is not None:
        yield listeners
        return
    with Terminal() as terminal:
        yield [terminal]


def resume(
    directory: str | Path,
    *,
    data: Any = None,
    budget: str | None = None,
    iterations: int | None = None,
    listeners: Sequence[Listener] | None = None,
    started: float | None = None,
) -> Run | JointRun:
    """Go on with a run that was stopped; with a larger budget or more iterations also with a finished one.

    Args:
        directory: of the run.
        data: where the images are now; unless told, where they were. Of a joint run, those that were moved, by name.
        budget, iterations: the new total of a transfer. Nothing else of a run may change.
        listeners, started: as of `transfer`.

    Example:
        >>> run = naturalize.resume("runs/digits", iterations=2, listeners=())
        >>> run.settings.iterations
        2
    """
    if is_joint(directory):
        from naturalize.joint.lifecycle import resume_jointly

        with heard(listeners) as hearing:
            return resume_jointly(Path(directory), data or {}, budget, iterations, hearing, started)
    with heard(listeners) as hearing, opened(directory, hearing, started) as (run, watch):
        check_by_itself(run)
        check_checkpoint(run)
        settings = run.settings
        if settings.goal == "prepare" and (budget or iterations):
            raise UserError(
                f"{directory} is a preparation, whose length is fixed when it starts: for more, start another one "
                f"from it, as --supernet {directory}"
            )
        settings = changed(settings, run.directory, budget, iterations)
        if settings.budget_s is not None and settings != run.settings:
            check_time_left(run, settings.budget_s)
        if iterations is not None:
            check_done([run], run.directory, iterations)
        dataset = reopen_data(run, data, watch)  # before anything of the run is changed
        teacher = teacher_of(settings, run.directory, dataset, watch)
        run = go_on(run.with_settings(settings), dataset, watch, teacher)
    return as_recipe_ends(run, data, listeners)


def finish(
    directory: str | Path,
    *,
    data: Any = None,
    listeners: Sequence[Listener] | None = None,
) -> Run | JointRun:
    """End a stopped run as it is: the front of its last measured weights version is measured on test and written.

    Args:
        directory: of the run.
        data, listeners: as of `resume`.

    Example:
        >>> naturalize.finish("runs/digits", listeners=()).best().measured.test_error is None  # finished already
        False
    """
    from naturalize.conclude import conclude, conclude_untrained
    from naturalize.selection import measured
    from naturalize.session import Session
    from naturalize.workbench import NO_VERSION, open_workbench

    if is_joint(directory):
        from naturalize.joint.lifecycle import finish_jointly

        with heard(listeners) as hearing:
            return finish_jointly(Path(directory), data or {}, hearing)
    with (
        heard(listeners) as hearing,
        opened(directory, hearing) as (run, watch),
        closing(run.archive(read_only=False)) as archive,
    ):
        check_by_itself(run)
        watch.attach(run.directory / "events.jsonl", Standstill(archive.used_s))
        closed, finished = archive.iterations(), finished_under(run.directory)
        if not closed and not has_front(run):
            raise nothing_measured(run.directory)
        version = closed[-1]["weights_version"] if closed else NO_VERSION
        if finished is None or finished[0] != version:
            bench = open_workbench(run, reopen_data(run, data, watch), archive, watch)
            if closed:
                conclude(bench, Session(bench), version, *measured(bench, version).allowed)
            else:
                conclude_untrained(bench)
        report(run, watch)
        return run


def finetune(
    directory: str | Path,
    *,
    require: str | Sequence[str] = (),
    architectures: Sequence[str] = (),
    budget: str = "5m",
    data: Any = None,
    listeners: Sequence[Listener] | None = None,
    started: float | None = None,
) -> Run:
    """Train chosen networks of a finished run further, each by itself; the same call continues one that was stopped.

    A trained network replaces the old one where it is better on validation. Where the old one has learnt from those
    pictures too, as under a budget, they cannot judge: it is always replaced, and front.json keeps the earlier numbers.

    Args:
        directory: of the run.
        require: limits, as `"madds<5M"`: the most accurate network that meets them is trained.
        architectures: strings of the networks to train, in place of `require`.
        budget: wall clock in all, shared by the networks.
        data, listeners, started: as of `resume`.

    Example:
        >>> run = naturalize.finetune("runs/digits", require="madds<1M", budget="30s", listeners=())
    """
    from naturalize.finetuning import Job
    from naturalize.finetuning import finetune as finetune_networks
    from naturalize.workbench import open_workbench

    with heard(listeners) as hearing, opened(directory, hearing, started) as (run, watch):
        seconds = parse_budget(budget)
        if read_front(run.directory)["state"] != "finished":
            raise UserError(f"{directory} is not finished: `{command('resume', directory)}` or `finish` it first")
        asked = {"architectures": list(architectures), "require": as_list(require)}
        job = Job.of(
            run.directory,
            asked,
            seconds,
            lambda: [network.measured.architecture for network in chosen_networks(run, architectures, require)],
        )
        dataset = reopen_data(run, data, watch)
        watch.attach(run.directory / "events.jsonl", job)
        with closing(run.archive(read_only=False)) as archive:
            finetune_networks(open_workbench(run, dataset, archive, watch), job)
        report(run, watch)
        return run


def prepare(
    data: Any,
    out: str | Path,
    *,
    supernet: str | Path | None = None,
    scratch: bool = False,
    method: str = SANDWICH,
    teacher: str | Path | Module | None = None,
    budget: str | None = None,
    epochs: int | None = None,
    seed: int = 0,
    ignore: Sequence[int] = (),
    listeners: Sequence[Listener] | None = None,
    started: float | None = None,
) -> Run:
    """Train a supernet and leave it in `out`, for `transfer(..., supernet=out)`.

    Args:
        data, out, supernet, scratch, seed, ignore, listeners, started: as of `transfer`.
        method: `"sandwich"` (the largest, the smallest and two random subnets a batch, all but the largest distilled
            from it) or `"shrink"` (Once-for-All's progressive shrinking in phases, distilled from a frozen network).
        teacher: another network to learn from too, besides the labels: a supernet's name for its largest network as it
            was published, a run for its best network, a network's `.safetensors` file, or a module from pixels 0..255
            `(n, channels, r, r)` to logits in the order of the classes. For a folder without class folders, its
            answers are the only labels.
        budget: wall clock in all; 20 minutes unless told.
        epochs: in place of a budget, and repeatable to the bit on one machine's CPU.

    Example:
        >>> run = naturalize.prepare("digits", "runs/prepared", epochs=1, listeners=())
        >>> run.settings.goal
        'prepare'
    """
    if budget is not None and epochs is not None:
        raise UserError("give --budget or --epochs, not both")
    if method not in PREPARATIONS:
        raise unknown("method", method, PREPARATIONS)
    iterations = None if epochs is None else 1
    settings = make_settings(
        data, budget, iterations, epochs, supernet=supernet, seed=seed, scratch=scratch, ignore=ignore
    )
    settings = replace(settings, goal="prepare", method=method)
    module = None if teacher is None or isinstance(teacher, str | Path) else teacher
    if teacher is not None:
        settings = replace(settings, teacher=str(teacher) if module is None else FROM_PYTHON)
    with heard(listeners) as hearing:
        return work(data, Path(out), settings, hearing, started, module)


def check(
    data: Any,
    *,
    classes: Sequence[str] = (),
    seed: int = 0,
    strict: bool = False,
    ignore: Sequence[int] = (),
    listeners: Sequence[Listener] | None = None,
) -> list[str]:
    """Describe the data as understood, test pictures included, and a transfer's choices for them, in lines of text.

    Args:
        data, classes, seed, strict, ignore, listeners: as of `transfer`.

    Example:
        >>> print(naturalize.check("digits", listeners=())[0])
        digits: 10 classes (0, 1, 2, 3, 4, 5, 6, 7 and 2 more), grey pictures, short side 8 px (median)
    """
    with heard(listeners) as hearing:
        watch = Watch(hearing, time.monotonic())
        with watch.stoppable():
            dataset = open_data(
                data, classes=classes or None, seed=seed, strict=strict, scan_test=True, ignore=ignore,
                progress=watch.progress,
            )  # fmt: skip
    record = NAMED.get(dataset.source)
    known = [] if record is None else [f"{record.title}: {record.citation}", f"licence: {record.licence}"]
    with torch_as_before():
        return [*dataset.summary(), *known, *class_counts(dataset), *choices(dataset)]


def export(
    run: str | Path | Run,
    to: str | Path,
    *,
    format: str | None = None,
    require: str | Sequence[str] = (),
    architecture: str | None = None,
    knee: bool = False,
    at: str | None = None,
    opset: int | None = None,
    overwrite: bool = False,
) -> Exported:
    """Write one network of a run as a file that needs nothing of naturalize, checked before it gets its name.

    Args:
        run: a run or its directory.
        to: the file; its suffix is that of the format (docs/formats.md), as `.onnx`.
        format: one of `naturalize.exporting.FORMATS`, where the file's name does not tell.
        require, knee, at: which network: see `Run.choose`.
        architecture: in place of those, one by its string.
        opset: ONNX operator set, 13 to 17; int8 files have 13.
        overwrite: replace a file that is there.

    Example:
        >>> exported = naturalize.export("runs/digits", "digit.onnx", require="madds<1M")
        >>> exported.path.name
        'digit.onnx'
    """
    run = run if isinstance(run, Run) else Run(run)
    if architecture is not None and (as_list(require) or knee or at is not None):
        raise UserError(TWO_WAYS)
    chosen, why = run.choose(require, knee=knee, at=at) if architecture is None else (run.network(architecture), "")
    stored = run.stored("check")
    pixels = stored(np.arange(len(stored)), chosen.measured.resolution)
    training = run.stored("calibration")
    done = export_file(
        chosen.load(), Path(to), format, Check(pixels, stored.labels, *error_of(run.task)), opset=opset,
        overwrite=overwrite,
        calibration=lambda: training(np.arange(len(training)), chosen.measured.resolution),
    )  # fmt: skip
    return replace(done, chosen=f"{chosen.measured.architecture}, {why}" if why else "")


def error_of(task: Task) -> tuple[Callable[..., float], Callable[..., float | None]]:
    """A task's error and its spread as functions of arrays: logits `(n, ...)` and labels `(n, ...)` to percent."""
    import torch

    def answers(logits: NDArray[np.float32], labels: NDArray[Any]) -> torch.Tensor:
        return task.answers(torch.from_numpy(logits), torch.from_numpy(labels))

    return lambda *given: task.error(answers(*given)), lambda *given: task.spread(answers(*given))


def latency_models(
    run: str | Path | Run, to: str | Path, *, listeners: Sequence[Listener] | None = None
) -> LatencyModels:
    """Write models that tell a device's latency, and a script and a page that run them there and give back a table.

    A transfer minimises the table as `latency:table.json` (docs/objectives.md).

    Args:
        run: whose supernet they are of, or its directory.
        to: the directory to write; it is new, or empty.
        listeners: as of `transfer`.

    Example:
        >>> naturalize.latency_models("runs/digits", "phone", listeners=()).networks > 100
        True
    """
    from naturalize.latency.elsewhere import write_models
    from naturalize.objectives.exact import whole_layers

    run = run if isinstance(run, Run) else Run(run)
    with heard(listeners) as hearing:
        watch = Watch(hearing, time.monotonic())
        with watch.stoppable(), torch_as_before():
            supernet = run.new_supernet().eval()
            layers = whole_layers(run.family, run.task, supernet.channels)
            return write_models(Path(to), supernet, layers, watch.progress)


def predict(
    model: str | Path | Run | RunNetwork,
    pictures: str | Path | Sequence[str | Path],
    *,
    require: str | Sequence[str] = (),
    threshold: float | None = None,
    passed_over: Callable[[str], object] = lambda name: None,
) -> Iterator[Prediction]:
    """Classify pictures; one row a file, in a stable order. See `predicting.predict_with`.

    Args:
        model: an exported ONNX file, a run or its directory, or a network of a run, as `run.best("madds<5M")`.
        pictures: files and folders.
        require: limits, to choose the best network of a run that meets them.
        threshold: least probability of an answer; below it the picture is none of the classes (`name` is None). 0.5
            where a picture may have several classes, 0 elsewhere, unless told.
        passed_over: called with the name of each file in a folder that is no picture by its name.

    Example:
        >>> for row in naturalize.predict("digit.onnx", "pictures/"):
        ...     print(row.path, row.name in list("0123456789"))
        pictures/zero.png True
    """
    paths = [pictures] if isinstance(pictures, str | Path) else pictures
    return predict_with(open_model(model, as_list(require)), paths, passed_over, threshold)


def chosen_networks(run: Run, architectures: Sequence[str], require: str | Sequence[str]) -> list[RunNetwork]:
    """Networks by their strings, or the best that meets the limits. Raises `UserError` where both are given.

    Args:
        run: whose front has the networks.
        architectures, require: strings of networks, or limits as `"madds<5M"`.
    """
    if architectures and as_list(require):
        raise UserError(TWO_WAYS)
    return [run.network(text) for text in architectures] or [run.best(as_list(require))]


def class_counts(dataset: Dataset) -> list[str]:
    """A line for each class, up to 30 of them: its number of pictures in each split."""
    counts = dataset.counts()
    width = max(len(name) for name in dataset.class_names[:30])
    lines = [
        f"  {name:<{width}}  " + ", ".join(f"{split} {counts[split][name]:,}" for split in counts)
        for name in dataset.class_names[:30]
    ]
    more = len(dataset.class_names) - 30
    return [*lines, f"  and {more} more classes"] if more > 0 else lines


def choices(dataset: Dataset) -> list[str]:
    """A transfer's choices for the data, unless told otherwise, in lines of text."""
    from naturalize.beginning import family_for, views_of
    from naturalize.tasks import kind_of
    from naturalize.workbench import batch_size

    settings = chosen_supernet(make_settings("", None, None, None), dataset)
    family, _ = family_for(settings, dataset, reads_published=False)
    flips = "with" if should_flip(dataset) else "without"
    views = views_of(dataset)
    finer = f", each in {views} slightly shifted views" if views > 1 else ""
    return [
        f"would choose: supernet {settings.start}, {architectures_in_words(family, dataset)}",
        f"would train {flips} mirrored pictures, in batches of about "
        f"{batch_size(len(dataset.splits['train']), kind_of(dataset))}; "
        f"would validate on {len(dataset.splits['val']):,} pictures{finer}",
        f"would minimise {' and '.join(DEFAULT)} within a budget of {DEFAULT_BUDGET}",
    ]


def architectures_in_words(family: Family, dataset: Dataset) -> str:
    """The number of a family's architectures, their multiply-adds on a data set, and their resolutions."""
    from naturalize.workbench import counts_on

    smallest, largest = (counts_on(family, dataset)[COST](family.space.corners()) / 1e6).tolist()
    sides = ", ".join(map(str, family.resolutions))
    return f"{family.space.size:.1e} architectures of {smallest:.2f} to {largest:.1f} M multiply-adds at {sides} px"


def open_run(directory: str | Path) -> Run:
    """A run, to read its front and to use its networks.

    Args:
        directory: of the run.

    Example:
        >>> run = naturalize.open_run("runs/digits")
        >>> network = run.best("madds<1M")
        >>> network.measured.madds < 1e6
        True
    """
    return Run(directory)


__all__ = [
    "Run",
    "check",
    "export",
    "finetune",
    "finish",
    "joint_transfer",
    "open_run",
    "predict",
    "prepare",
    "resume",
    "transfer",
]
