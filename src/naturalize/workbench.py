"""The parts that a transfer works with, opened and put together: data, pictures, supernet, objectives, trainer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from naturalize import journal, rng
from naturalize.archive import Archive
from naturalize.data import Dataset, Pixels
from naturalize.data.augment import Augment
from naturalize.data.machine import allowed_cpus
from naturalize.errors import UserError
from naturalize.files import remove_leftovers
from naturalize.objectives import ERROR, LEARNT, OBJECTIVES, Measures, objective_of
from naturalize.objectives.error import Chosen, Error
from naturalize.objectives.exact import Exact, exact_counts, stage_counts
from naturalize.objectives.latency import Latency, file_of, kept_model, new_model
from naturalize.objectives.requirement import check_feasible, parse_requirement
from naturalize.predictor import Counts
from naturalize.progress import Progress
from naturalize.run import Run, Settings, Watch
from naturalize.search import SearchProblem
from naturalize.search.problem import Floats, Function
from naturalize.space import Codes, SearchSpace
from naturalize.starting import source_supernet, starts_prepared, taught_by_itself
from naturalize.supernet import Family, Supernet
from naturalize.tasks import CLASSIFICATION, SEGMENTATION, Classification, Segmentation, Task, task_of
from naturalize.teacher import Teacher
from naturalize.training.adapt import Trainer, make_optimizer
from naturalize.training.batches import Batches, Images, TrainingImages
from naturalize.training.engine import (
    make_fabric,
    memory_format,
)
from naturalize.training.evaluate import logits_on
from naturalize.training.subnets import Subnets
from naturalize.weights import (
    transplant,
)

FEW_TRAINING_IMAGES = 10_000
HEAD_RATES = {SEGMENTATION: 5.0}  # times the body's, for heads that start anew on a published body (docs/benchmarks.md)
MASKED = 6  # pictures with masks in a batch: each teaches as many answers as it has pixels (docs/benchmarks.md)
MODEL_S, MODEL_SHARE = 240.0, 0.1  # seconds for a latency model, and share of a budget, at most
NO_VERSION = -1  # before anything is trained


@dataclass
class Workbench:
    """Everything that the steps of a transfer share. Made by `open_workbench`.

    Attributes:
        problem: what is searched: the space, the objectives in the run's order, limits by the requirements.
        costs: exact counts and modelled latencies by name, more than the problem needs.
        prepared: whether the starting weights make good subnets already, and not the largest network alone.
        val: all validation images in all views; `error` is on those that `choose_images` chose.
        measures: the measured objectives of the run, by name; error is always among them.
        thread_times: of `machine.choose_threads`: seconds by number of threads.
    """

    run: Run
    watch: Watch
    archive: Archive
    dataset: Dataset
    task: Task
    supernet: Supernet
    trainer: Trainer
    subnets: Subnets
    problem: SearchProblem
    costs: Mapping[str, Function]
    prepared: bool
    val: Images
    measures: dict[str, Measures] = field(default_factory=dict)
    thread_times: dict[int, list[float]] = field(default_factory=dict)

    @property
    def classification(self) -> Classification:
        """The task, for the step that only classifications take: soft targets."""
        return cast(Classification, self.task)

    @property
    def classifies(self) -> bool:
        """Whether a network ends in a linear classifier, which can be fitted to features as a regression."""
        return not self.task.by_pixel

    @property
    def seed(self) -> int:
        """Seed of all random draws."""
        return self.run.settings.seed

    @property
    def device(self) -> torch.device:
        """Device on which networks are trained and measured."""
        return self.subnets.device

    @property
    def progress(self) -> Progress:
        """Progress for the threads that measure."""
        return self.watch.progress_in_thread

    @property
    def space(self) -> SearchSpace:
        """The architectures that are searched and trained; the published network is read at larger resolutions too."""
        return self.run.space

    @property
    def error(self) -> Error:
        """The error on the validation images that were chosen."""
        return cast(Error, self.measures[ERROR])

    @property
    def fewest(self) -> int:
        """Measurements that a predictor needs at least: two for each variable that it learns from."""
        return 2 * self.space.free

    @property
    def starts_whole(self) -> bool:
        """Whether the run starts from one published network whose statistics it keeps, on pictures with labels."""
        return self.run.keeps_statistics and not self.prepared and self.trainer.labelled

    @property
    def reads_published(self) -> bool:
        """Whether that network is read by linear classifiers too: where it is to classify."""
        return self.starts_whole and self.classifies

    @cached_property
    def stage_counts(self) -> Counts:
        """Multiply-adds and parameters by stage, from which predictors learn: read off the layer table once."""
        return stage_counts(self.supernet.family, self.task, self.dataset.channels)

    def choose_images(self, version: int) -> None:
        """Let `error` be on the validation images and views that measure a weights version: always the same ones."""
        chosen = self.archive.decision(journal.images(version)) or self.archive.decision(journal.CHOSEN_IMAGES)
        if chosen is not None:
            self.error.images = chosen_images(self.val, self.seed, *chosen)


def chosen_images(images: Images, seed: int, n: int, views: int) -> Chosen:
    """n of the images, in a number of views; for one seed always the same n."""
    order = rng.generator(seed, "validation images").permutation(len(images))
    return Chosen(images, np.sort(order[:n]), views)


def counts_on(family: Family, dataset: Dataset) -> dict[str, Exact]:
    """The exact objectives for a supernet on a data set."""
    return exact_counts(family, task_of(dataset), dataset.channels)


def modelled(settings: Settings) -> list[str]:
    """Names of the latencies that a run minimises or limits."""
    asked = [*settings.objectives, *(parse_requirement(text).objective for text in settings.requirements)]
    return list(dict.fromkeys(name for name in asked if objective_of(name).kind == "modelled"))


def model_s(settings: Settings) -> float:
    """Seconds for the model of each latency of a run, at most."""
    if settings.budget_s is None:
        return MODEL_S
    return min(MODEL_S, MODEL_SHARE * settings.budget_s / len(modelled(settings)))


def open_latencies(run: Run, watch: Watch, supernet: Supernet, task: Task) -> dict[str, Latency]:
    """The latencies that a run minimises or limits, by name; models that it does not have yet are made."""
    found: dict[str, Latency] = {}
    for name in modelled(run.settings):
        path = run.directory / file_of(name)
        known = kept_model(path)
        if known is None:
            with watch.phase("latency"):
                known = new_model(path, name, supernet, task, model_s(run.settings), watch.progress, watch.check)
        model, facts = known
        watch.event("latency", name=name, **facts)
        found[name] = Latency(model, supernet.family, task, supernet.channels)
    limits = [parse_requirement(text) for text in run.settings.requirements]
    try:
        check_feasible([limit for limit in limits if limit.objective in found], found, run.space)
    except UserError as error:
        raise UserError(f"{error}, and give another --out") from error
    return found


def search_problem(settings: Settings, space: SearchSpace, exact: Mapping[str, Function]) -> SearchProblem:
    """The search problem of a transfer; requirements become limits. Least values are limits on what is negated.

    Args:
        settings, space: of the run.
        exact: counts and latencies by name. The problem has those of objectives and limits, and those to learn from.
    """
    limits: dict[str, float] = {}
    functions = dict(exact)
    for requirement in map(parse_requirement, settings.requirements):
        name, negated = requirement.objective, f"-{requirement.objective}"
        limits[name] = min(limits.get(name, np.inf), requirement.largest)
        if requirement.least:
            functions[negated] = partial(negative, exact[name])
            limits[negated] = min(limits.get(negated, np.inf), -requirement.least)
    wanted = {*LEARNT, *settings.objectives, *limits}
    return SearchProblem(
        space, settings.objectives, {name: cost for name, cost in functions.items() if name in wanted}, limits
    )


def negative(function: Function, codes: Codes) -> Floats:
    """A function of architectures with its sign turned: its limit is one from below. `(n, d) -> (n,)`."""
    return -np.asarray(function(codes), dtype=np.float64)


def batch_size(images: int, kind: str = CLASSIFICATION) -> int:
    """Number of images in a batch, for a number of training images and a kind of task."""
    if kind == SEGMENTATION:
        return min(images, MASKED)
    return min(images, 64 if images < FEW_TRAINING_IMAGES else 128)


def batches_of(run: Run, task: Task, labels: NDArray[Any]) -> Batches:
    """The batches of training images with these labels, `(n, ...)`."""
    drawn = task.frequencies(labels) if run.settings.balanced else None
    return Batches(len(labels), batch_size(len(labels), run.kind), run.settings.seed, drawn)


def weight_decay(images: int) -> float:
    """Weight decay for a number of training images: small sets overfit sooner, so they get the larger one."""
    return 1e-3 if images < FEW_TRAINING_IMAGES else 5e-4


def open_workbench(
    run: Run, dataset: Dataset, archive: Archive, watch: Watch, teacher: Teacher | None = None
) -> Workbench:
    """Put a run's parts together; the supernet has the seed's weights until a checkpoint is loaded.

    Validation pictures without classes get those that the teacher predicts.
    """
    remove_leftovers(run.directory)
    remove_leftovers(run.checkpoints.directory)
    family, task = run.family, run.task
    if run.settings.balanced:
        task = task.balanced(dataset.labels[dataset.splits["train"]])
    elif isinstance(task, Segmentation):
        task = task.weighted(dataset.labels[dataset.splits["train"]])
    fabric = make_fabric()
    torch.set_num_threads(allowed_cpus())
    supernet = run.new_supernet()
    if run.checkpoints.latest() is None:
        source = source_supernet(run.settings, run.directory, watch.progress)
        if source is not None:
            transplant(supernet, source, classifier=taught_by_itself(run.settings, teacher))
    supernet = supernet.to(memory_format=memory_format(fabric.device))  # type: ignore[call-overload]
    head = HEAD_RATES.get(run.kind, 1.0) if run.keeps_statistics else 1.0
    decay = weight_decay(len(dataset.splits["train"]))
    wrapped, optimizer = fabric.setup(supernet, make_optimizer(supernet, decay, run.keeps_statistics, head))
    train = Pixels(dataset, dataset.splits["train"], run.trained, progress=watch.progress_in_thread, quickly=True)
    views = run.facts["pixels"]["views"]
    val = Pixels(dataset, dataset.splits["val"], run.trained, views, progress=watch.progress_in_thread)
    images = TrainingImages(train, Augment(run.facts["pixels"]["flip"]), run.settings.seed)
    batches = batches_of(run, task, train.labels)
    kept = run.keeps_statistics
    trainer = Trainer(fabric, wrapped, optimizer, task, images, batches, keeps_statistics=kept)
    if teacher is not None:
        teacher = teacher.to(fabric.device)
        trainer.teacher, trainer.labelled = teacher.of_normalised(supernet.normalize), bool(dataset.class_names)
        if not trainer.labelled:
            rows, side = np.arange(len(val)), family.resolutions[-1]
            val.labels = logits_on(teacher, val, rows, side, fabric.device, watch.progress).argmax(1).numpy()
    subnets = Subnets(supernet, run.stored("calibration"), fabric.device, kept)
    costs: dict[str, Function] = {
        **exact_counts(family, task, dataset.channels),
        **open_latencies(run, watch, supernet, task),
    }
    bench = Workbench(
        run=run,
        watch=watch,
        archive=archive,
        dataset=dataset,
        task=task,
        supernet=supernet,
        trainer=trainer,
        subnets=subnets,
        problem=search_problem(run.settings, run.space, costs),
        costs=costs,
        prepared=archive.decide(journal.PREPARED, lambda: starts_prepared(run.settings, run.directory)),
        val=val,
    )
    opened = ((name, OBJECTIVES[name].open) for name in dict.fromkeys([ERROR, *bench.problem.measured]))
    bench.measures |= {name: make(bench) for name, make in opened if make is not None}
    bench.choose_images(NO_VERSION)
    return bench
