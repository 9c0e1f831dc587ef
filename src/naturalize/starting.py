"""The weights that a run starts from, published or the user's, and the facts that are known of them."""

from __future__ import annotations

from pathlib import Path

from naturalize.data import Dataset
from naturalize.progress import Progress
from naturalize.run import Run, Settings, source_from
from naturalize.run.settings import PUBLISHED
from naturalize.supernet import Supernet
from naturalize.teacher import Teacher
from naturalize.weights import (
    LARGEST,
    UNPREPARED,
    WITH_STATISTICS,
    file_supernet,
    has_subnets,
    published_supernet,
)

MANY_TRAINING_IMAGES = 40_000  # from so many on, batch norms take the statistics of the user's images


def source_of(settings: Settings) -> str | None:
    """Source of a run's starting weights: the name of published ones, or a path as in run.toml; None for nothing."""
    return settings.supernet if settings.weights == PUBLISHED else settings.weights


def source_supernet(settings: Settings, directory: Path, progress: Progress) -> Supernet | None:
    """The supernet with a run's starting weights; None where it starts from nothing. Raises `UserError`."""
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
    """Whether the starting weights of a run make good subnets already. Raises `UserError` where they are gone."""
    source = source_of(settings)
    if source is None or source in UNPREPARED:
        return False
    if settings.weights == PUBLISHED:
        return True
    path = Path(source_from(source, directory))
    return path.is_dir() or has_subnets(path)


def reads_published(settings: Settings, directory: Path, dataset: Dataset) -> bool:
    """Whether a transfer starts from one published network whose statistics it keeps, on pictures with classes."""
    kept = settings.goal == "transfer" and keeps_statistics(settings, directory, dataset)
    return kept and bool(dataset.class_names) and not dataset.meaning and not starts_prepared(settings, directory)


def taught_by_itself(settings: Settings, teacher: Teacher | None) -> bool:
    """Whether the teacher has the starting weights, so that its classifier fits their body."""
    return teacher is not None and teacher.chosen is None and settings.teacher == source_of(settings)


def keeps_statistics(settings: Settings, directory: Path, dataset: Dataset) -> bool:
    """Whether batch norms keep the statistics of the starting weights: where these are true ones and pictures few."""
    source = source_of(settings)
    if source is None or len(dataset.splits["train"]) >= MANY_TRAINING_IMAGES:
        return False
    path = Path(source_from(source, directory))
    return Run(path).keeps_statistics if path.is_dir() else source in WITH_STATISTICS
