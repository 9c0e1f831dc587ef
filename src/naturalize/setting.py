"""What a transfer works with, opened and put together: data, pictures, supernet, objectives, trainer."""

from __future__ import annotations

import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from naturalize import rng
from naturalize.archive import Archive
from naturalize.data import Dataset, Pixels
from naturalize.data.augment import Augment, should_flip
from naturalize.data.machine import allowed_cpus
from naturalize.data.pixels import STATISTICS_PICTURES, statistics
from naturalize.errors import UserError
from naturalize.files import remove_leftovers
from naturalize.objectives.error import Chosen, Error, Images
from naturalize.objectives.exact import Exact, exact_counts, stage_counts
from naturalize.objectives.requirement import parse_requirement
from naturalize.predictor import Counts
from naturalize.progress import Progress
from naturalize.run import Run, Settings, Watch, source_from, source_to
from naturalize.run.settings import PUBLISHED
from naturalize.run.stored import some, store_pixels
from naturalize.schedule import Costs
from naturalize.search import SearchProblem
from naturalize.space import Architecture
from naturalize.supernet import Family, Supernet, make_family
from naturalize.tasks import Classification, balanced_weights
from naturalize.teacher import Teacher
from naturalize.training.adapt import Trainer, make_optimizer
from naturalize.training.batches import Batches, TrainingImages
from naturalize.training.engine import (
    at_once,
    make_fabric,
    memory_format,
    quickest_thread_count,
    side_by_side,
)
from naturalize.training.evaluate import fold, images_at_once, logits_of
from naturalize.weights import (
    LARGEST,
    UNPREPARED,
    WITH_STATISTICS,
    file_supernet,
    has_subnets,
    published_supernet,
    transplant,
)

FEW_IMAGES = 1500  # validation images below which each is measured in several views
VIEWS = 5
FEW_TRAINING_IMAGES = 10_000
MANY_TRAINING_IMAGES = 40_000  # from which on batch norms take statistics of theirs
TIMED_PIXELS, LEAST_TIMED = 2**16, 4  # of a batch by which threads are timed: 64 images of 32 px, 4 of 128 and more
PLANNED = ("efficientnet-lite0",)  # whose resolutions follow the budget too
TIMED_NETWORKS, SAMPLE = 4, 64  # by which the machine is timed, and of how many they are
TIMED = (16, 3, 96, 96)  # pixels that they are timed by
TRAINING, FEWEST_STEPS = 3.2, 150  # a step takes so many times as long as answers; steps that a budget has time for
ELASTIC_TRAINING = 8.0  # the same of the supernet, by answers of networks that were cut, two of them at once
FEWEST_TESTS = 10  # times that it has time to read the test split, besides
LEAST_SIDE = 96  # that is always there
SEARCH_S, READ_S, RESIZE_S = 2.0, 1e-3, 2e-4  # to fit and search; to read a picture; to resize one that was read
RESOLUTIONS_OF_A_FRONT = 8  # that are expected
NO_VERSION = -1  # before anything is trained
CHOSEN_IMAGES = "validation images"  # a decision: how many, in how many views


@dataclass
class Setting:
    """Everything that the steps of a transfer share. Made by `open_setting`.

    Attributes:
        problem: what is searched: the space, the objectives in the run's order, limits as the requirements have them.
        prepared: whether the weights to start from make good subnets already, and not the largest network alone.
        val: all validation images in all views; `error` answers those that `choose_images` chose.
    """

    run: Run
    watch: Watch
    archive: Archive
    dataset: Dataset
    task: Classification
    supernet: Supernet
    trainer: Trainer
    error: Error
    problem: SearchProblem
    prepared: bool
    val: Images

    @property
    def seed(self) -> int:
        """Of every draw."""
        return self.run.settings.seed

    @property
    def fewest(self) -> int:
        """Measurements that a predictor needs at least: two for each variable that it learns from."""
        return 2 * self.supernet.family.space.free

    @property
    def reads_published(self) -> bool:
        """Whether the run starts from one published network whose statistics it keeps, on pictures with classes."""
        return self.run.keeps_statistics and not self.prepared and self.trainer.labelled

    @cached_property
    def stage_counts(self) -> Counts:
        """Multiply-adds and parameters by stage, from which predictors learn: read off the layer table once."""
        return stage_counts(self.supernet.family, self.task, self.dataset.channels)

    def choose_images(self, version: int) -> None:
        """Answer the validation images by which a weights version is measured: some in some views; the same always."""
        chosen = self.archive.decision(images_of(version)) or self.archive.decision(CHOSEN_IMAGES)
        if chosen is not None:
            self.error.images = chosen_images(self.val, self.seed, *chosen)


def images_of(version: int) -> str:
    """The decision on the validation images of one weights version, where they are not those of all."""
    return f"images {version}"


def chosen_images(images: Images, seed: int, n: int, views: int) -> Chosen:
    """n of the images, in so many views; the same n always."""
    order = rng.generator(seed, "validation images").permutation(len(images))
    return Chosen(images, np.sort(order[:n]), views)


def family_for(settings: Settings, dataset: Dataset) -> Family:
    """The family for a data set, with the resolutions that the budget affords on this machine as it is now."""
    family = make_family(settings.supernet, dataset.side)
    if settings.budget_s is None or settings.supernet not in PLANNED:
        return family
    answers = FEWEST_STEPS * TRAINING * batch_size(len(dataset.splits["train"]))
    answers += FEWEST_TESTS * len(dataset.splits["test"])
    most = settings.budget_s / answers / seconds_of_a_pixel(family)
    fitting = [side for side in family.resolutions if side**2 <= most or side <= LEAST_SIDE]
    return make_family(settings.supernet, dataset.side, fitting)


def seconds_of_a_pixel(family: Family) -> float:
    """What the largest network takes to answer, by pixel of its input, the second time it is asked."""
    supernet = Supernet(family, {"default": Classification(2).heads(family)}, (0.0,) * 3, (1.0,) * 3)
    network, pixels = supernet.extract(family.space.largest).eval(), np.zeros(TIMED, dtype=np.uint8)
    for _ in range(2):
        start = time.perf_counter()
        logits_of(network, pixels, torch.device("cpu"))
    return (time.perf_counter() - start) / pixels[:, 0].size


def counts_on(family: Family, dataset: Dataset) -> dict[str, Exact]:
    """The exact objectives for a supernet on a data set."""
    return exact_counts(family, Classification(len(dataset.class_names)), dataset.channels)


def search_problem(settings: Settings, family: Family, exact: dict[str, Exact]) -> SearchProblem:
    """What a transfer searches; requirements become limits."""
    limits: dict[str, float] = {}
    for requirement in map(parse_requirement, settings.requirements):
        limits[requirement.objective] = min(limits.get(requirement.objective, np.inf), requirement.largest)
    return SearchProblem(family.space, settings.objectives, exact, limits)


def create_run(
    directory: Path, settings: Settings, family: Family, dataset: Dataset, class_names: Sequence[str], watch: Watch
) -> Run:
    """Write a new run: statistics and kept pictures, then run.toml, which makes it one.

    Pictures are normalised as those were that the weights to start from were trained on, where the colours agree.

    Args:
        class_names: of the data, or of a teacher where these have none.
    """
    source, kept = source_supernet(settings, directory, watch.progress), keeps_statistics(settings, directory, dataset)
    if source is not None and (kept or source.channels == dataset.channels):
        mean, std = (of_channels(part, dataset.channels) for part in (source.normalize.mean, source.normalize.std))
    else:
        sample = some(dataset.splits["train"], STATISTICS_PICTURES, settings.seed, "statistics")
        pixels = Pixels(dataset, sample, family.resolutions[-1:], progress=watch.progress_in_thread)
        mean, std = statistics(pixels, watch.progress)
    path = directory / "pixels.safetensors"
    store_pixels(path, dataset, family.resolutions, settings.seed, not kept, watch.progress)
    facts: dict[str, dict[str, Any]] = {
        "data": {
            "name": dataset.name,
            "source": source_to(dataset.source, directory),
            "fingerprint": dataset.fingerprint,
            "class_names": list(class_names),
            "channels": dataset.channels,
            "side": dataset.side,
            "splits": {split: len(rows) for split, rows in dataset.splits.items()},
            "notes": [note.message for note in dataset.notes],
        },
        "pixels": {
            "resolutions": list(family.resolutions),
            "mean": list(mean),
            "std": list(std),
            "jpeg_side": dataset.jpeg_side,
            "flip": should_flip(dataset),
            "views": views_of(dataset),
        },
        "network": {"keeps_statistics": kept},
        "machine": {
            "python": platform.python_version(),
            "system": platform.platform(terse=True),
            "cpus": allowed_cpus(),
            **{name: version(name) for name in ("torch", "numpy", "pymoo", "scikit-learn", "pillow")},
        },
    }
    return Run.create(directory, settings, facts)


def of_channels(normalization: torch.Tensor, channels: int) -> tuple[float, ...]:
    """Mean or deviation by channel; where the colours are others, their mean for each."""
    values = normalization.flatten().tolist()
    return tuple(values) if len(values) == channels else (sum(values) / len(values),) * channels


def keeps_statistics(settings: Settings, directory: Path, dataset: Dataset) -> bool:
    """Whether batch norms keep the statistics that the weights came with: true ones, where pictures are few."""
    source = source_of(settings)
    if source is None or len(dataset.splits["train"]) >= MANY_TRAINING_IMAGES:
        return False
    path = Path(source_from(source, directory))
    return Run(path).keeps_statistics if path.is_dir() else source in WITH_STATISTICS


def views_of(dataset: Dataset) -> int:
    """Views of each validation image: several where images are few, since one of them would be a coarse step."""
    return VIEWS if len(dataset.splits["val"]) < FEW_IMAGES else 1


def batch_size(images: int) -> int:
    """Training images in a batch."""
    return min(images, 64 if images < FEW_TRAINING_IMAGES else 128)


def weight_decay(images: int) -> float:
    """Of a training on so many images: few are sooner learnt by heart."""
    return 1e-3 if images < FEW_TRAINING_IMAGES else 5e-4


def check_same_data(run: Run, dataset: Dataset) -> None:
    """Refuse to go on with other data than the run began with."""
    if dataset.fingerprint != run.facts["data"]["fingerprint"]:
        raise UserError(
            f"the data are not those that {run.directory} began with (files, classes or splits have changed): "
            "put them back, or start a new run with another --out"
        )


def open_setting(run: Run, dataset: Dataset, archive: Archive, watch: Watch, teacher: Teacher | None = None) -> Setting:
    """Put a run's parts together; the supernet has the seed's weights until a checkpoint is loaded.

    Validation pictures without classes count as of those that the teacher sees in them.
    """
    remove_leftovers(run.directory)
    remove_leftovers(run.checkpoints.directory)
    family, task = run.family, run.task
    if run.settings.balanced:
        weights = balanced_weights(dataset.labels[dataset.splits["train"]], task.classes)
        task = replace(task, class_weights=weights)
    fabric = make_fabric()
    torch.set_num_threads(allowed_cpus())
    supernet = run.new_supernet()
    if run.checkpoints.latest() is None:
        source = source_supernet(run.settings, run.directory, watch.progress)
        if source is not None:
            transplant(supernet, source, classifier=taught_by_itself(run.settings, teacher))
    supernet = supernet.to(memory_format=memory_format(fabric.device))  # type: ignore[call-overload]
    wrapped, optimizer = fabric.setup(
        supernet, make_optimizer(supernet, weight_decay(len(dataset.splits["train"])), run.keeps_statistics)
    )
    train = Pixels(dataset, dataset.splits["train"], family.resolutions, progress=watch.progress_in_thread)
    views = run.facts["pixels"]["views"]
    val = Pixels(dataset, dataset.splits["val"], family.resolutions, views, progress=watch.progress_in_thread)
    images = TrainingImages(train, Augment(run.facts["pixels"]["flip"]), run.settings.seed)
    batches = Batches(len(train), batch_size(len(train)), run.settings.seed)
    kept = run.keeps_statistics
    trainer = Trainer(fabric, wrapped, optimizer, task, images, batches, keeps_statistics=kept)
    if teacher is not None:
        teacher = teacher.to(fabric.device)
        trainer.teacher, trainer.labelled = teacher.of_normalised(supernet.normalize), bool(dataset.class_names)
        if not trainer.labelled:
            pixels = val(np.arange(len(val)), family.resolutions[-1])
            val.labels = logits_of(teacher, pixels, fabric.device, watch.progress).argmax(1).numpy()
    setting = Setting(
        run=run,
        watch=watch,
        archive=archive,
        dataset=dataset,
        task=task,
        supernet=supernet,
        trainer=trainer,
        error=Error(supernet, task, run.stored("calibration"), val, fabric.device, watch.progress_in_thread, kept),
        problem=search_problem(run.settings, family, exact_counts(family, task, dataset.channels)),
        prepared=archive.decide("prepared", lambda: starts_prepared(run.settings, run.directory)),
        val=val,
    )
    setting.choose_images(NO_VERSION)
    return setting


def source_of(settings: Settings) -> str | None:
    """What a run starts from: the name of published weights, or a path as run.toml has it; None for nothing."""
    return settings.supernet if settings.weights == PUBLISHED else settings.weights


def source_supernet(settings: Settings, directory: Path, progress: Progress) -> Supernet | None:
    """The supernet with the weights that a run starts from; None where it starts from nothing. Raises `UserError`."""
    source = source_of(settings)
    if source is None:
        return None
    if settings.weights == PUBLISHED or source in LARGEST:
        return published_supernet(source, progress)
    path = Path(source_from(source, directory))
    if path.is_dir():
        return Run(path).trained_supernet()
    return file_supernet(path)


def starts_prepared(settings: Settings, directory: Path) -> bool:
    """Whether the weights that a run starts from make good subnets already. Raises `UserError` where they are gone."""
    source = source_of(settings)
    if source is None or source in UNPREPARED:
        return False
    if settings.weights == PUBLISHED:
        return True
    path = Path(source_from(source, directory))
    return path.is_dir() or has_subnets(path)


def taught_by_itself(settings: Settings, teacher: Teacher | None) -> bool:
    """Whether the teacher is of the weights to start from, so that its classifier fits their body."""
    return teacher is not None and teacher.chosen is None and settings.teacher == source_of(settings)


def choose_threads(setting: Setting) -> int:
    """Take the number of threads with which a few random networks train fastest, at present."""
    trainer = setting.trainer
    trainer.supernet.train(not trainer.keeps_statistics)
    batches = []
    for number, arch in enumerate(random_networks(setting)[::2]):
        images, labels = trainer.batch(number, arch)
        few = max(LEAST_TIMED, TIMED_PIXELS // images.shape[-1] ** 2)
        batches.append((arch, images[:few], labels[:few]))

    def work() -> None:
        for arch, images, labels in batches:
            setting.watch.check()
            trainer.fabric.backward(setting.task.loss(trainer.supernet(images, arch), labels))

    threads = quickest_thread_count(work)
    trainer.optimizer.zero_grad(set_to_none=True)
    return threads


def random_networks(setting: Setting) -> list[Architecture]:
    """Those by which the machine is timed: a few of a sample, spread by multiply-adds, so that means are alike."""
    space, generator = setting.supernet.family.space, rng.generator(setting.seed, "costs")
    sample = space.sample_trimmed if setting.reads_published else space.sample
    codes = sample(SAMPLE, generator)
    order = setting.problem.exact["madds"](codes).argsort(kind="stable")
    places = (np.arange(TIMED_NETWORKS) + 0.5) * SAMPLE / TIMED_NETWORKS
    return space.architectures(codes[order[places.astype(int)]])


def measure_costs(setting: Setting) -> Costs:
    """Time a few random networks, and choose the number of threads on the way.

    Each answers twice, and the quicker counts: one stall would make all that is planned ten times as dear.
    """
    archs, error = random_networks(setting), setting.error
    threads = choose_threads(setting)
    rows = np.arange(min(len(error.images), images_at_once(error.supernet.family.resolutions[-1])))

    def seconds(arch: Architecture) -> tuple[float, float]:
        error.images(rows, error.resolution(arch))  # made once, and not at every measurement
        start = time.perf_counter()
        network = fold(error.network(arch))
        cut_s, answer_s = time.perf_counter() - start, []
        for _ in range(2):
            start = time.perf_counter()
            error.answer(network, rows, arch)
            answer_s.append(time.perf_counter() - start)
        return cut_s, min(answer_s) / len(rows)

    each = np.array(list(side_by_side(seconds, archs, error.device, setting.watch.check)))
    network_s, image_s = (each.mean(axis=0) / at_once(error.device)).tolist()
    setting.watch.event("machine", threads=threads, image_ms=1e3 * image_s, network_ms=1e3 * network_s)
    sides = min(RESOLUTIONS_OF_A_FRONT, len(setting.supernet.family.resolutions))
    return Costs(image_s, network_s, SEARCH_S, read_test_s(setting, sides))


def epoch_s(setting: Setting, costs: Costs) -> float:
    """What an epoch of training and validation pictures takes, about."""
    return ELASTIC_TRAINING * costs.image_s * (len(setting.trainer.images.pixels) + len(setting.val))


def read_test_s(setting: Setting, resolutions: int) -> float:
    """What reading the test pictures takes, about, and resizing them to so many resolutions."""
    rows = setting.dataset.splits["test"]
    held = not setting.dataset.given_test and len(rows) and setting.dataset.holds(int(rows[-1]))
    return len(rows) * ((0.0 if held else READ_S) + RESIZE_S * resolutions)
