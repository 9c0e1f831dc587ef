"""A new run: its family and resolutions, its statistics, the pictures that it keeps, run.toml."""

from __future__ import annotations

import platform
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from naturalize.archive import TASK
from naturalize.data import Dataset, Pixels
from naturalize.data.augment import should_flip
from naturalize.data.machine import allowed_cpus
from naturalize.data.pixels import STATISTICS_PICTURES, statistics
from naturalize.errors import UserError
from naturalize.run import Run, Settings, Watch, source_to
from naturalize.run.stored import some, store_pixels
from naturalize.starting import keeps_statistics, source_supernet
from naturalize.supernet import Family, Supernet, make_family
from naturalize.tasks import Classification, kind_of
from naturalize.tasks.segmentation import strides_of
from naturalize.training.engine import quickest_thread_count
from naturalize.training.evaluate import logits_of
from naturalize.workbench import batch_size

FEW_IMAGES = 1500  # validation images below which each is measured in several views
VIEWS = 5
PLANNED = ("efficientnet-lite0",)  # supernets whose resolutions follow the budget too
TIMED = (16, 3, 96, 96)  # shape of the pixels that a network is timed on for that
TRAINING, FEWEST_STEPS = 3.2, 150  # time of a training step, in answers to its batch; steps that a budget must allow
FEWEST_TESTS = 10  # readings of the test split that it must allow too
LEAST_SIDE = 96  # resolutions up to this one are always there, in pixels
READ = (128, 160, 192, 224)  # resolutions that the published network is read at beyond those that are trained


def family_for(settings: Settings, dataset: Dataset, reads_published: bool) -> tuple[Family, int]:
    """The family for a data set, and the largest resolution at which its networks are trained.

    That is the pictures' own, or what the budget affords at this machine's present speed.

    Args:
        settings, dataset: of the run.
        reads_published: whether the published network is read at larger resolutions too: those of `READ`.
    """
    family = make_family(settings.supernet, dataset.side)
    if dataset.meaning:
        family = make_family(settings.supernet, dataset.side, sides_with_masks(family, dataset))
    if settings.supernet not in PLANNED:
        return family, family.resolutions[-1]
    trained = trainable(settings, dataset, family)
    if not reads_published:
        return make_family(settings.supernet, dataset.side, trained), trained[-1]
    larger = [side for side in READ if side > trained[-1]]
    return make_family(settings.supernet, dataset.side, [*trained, *larger]), trained[-1]


def sides_with_masks(family: Family, dataset: Dataset) -> list[int]:
    """Resolutions for pictures with masks, ascending: multiples of what a body shrinks a picture by.

    They go up to a third more than the masks have: enlarged pictures have finer maps. They begin at a quarter of that:
    the maps of smaller ones are too coarse to name pixels, and training them costs all others.
    """
    shrinks = strides_of(family)[-1]
    most = max(4 * dataset.labels.shape[1] // 3, LEAST_SIDE)
    least = max(min(LEAST_SIDE, family.resolutions[0]), most // 4)
    return [side for side in range(shrinks, most + 1, shrinks) if side >= least]


def trainable(settings: Settings, dataset: Dataset, family: Family) -> list[int]:
    """Resolutions of a family, ascending, at which a budget has time to train."""
    if settings.budget_s is None:
        return list(family.resolutions)
    answers = FEWEST_STEPS * TRAINING * batch_size(len(dataset.splits["train"]), kind_of(dataset))
    answers += FEWEST_TESTS * len(dataset.splits["test"])
    most = settings.budget_s / answers / seconds_of_a_pixel(family)
    return [side for side in family.resolutions if side**2 <= most or side <= LEAST_SIDE]


def seconds_of_a_pixel(family: Family) -> float:
    """Seconds that the largest network takes for one pixel of its input, timed on its second call.

    With the number of threads that is faster at present: beside busy processes two once took over 30 times as long
    as on an idle machine, and a run of 36 minutes was left with 128 px.
    """
    supernet = Supernet(family, {TASK: Classification(2).heads(family)}, (0.0,) * 3, (1.0,) * 3)
    network, pixels = supernet.extract(family.space.largest).eval(), np.zeros(TIMED, dtype=np.uint8)

    def work() -> None:
        logits_of(network, pixels, torch.device("cpu"))

    quickest_thread_count(work)
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) / pixels[:, 0].size


def create_run(
    directory: Path,
    settings: Settings,
    family: Family,
    trained: int,
    dataset: Dataset,
    class_names: Sequence[str],
    watch: Watch,
    joint: str | None = None,
) -> Run:
    """Write a new run: statistics and kept pictures, then run.toml, which makes it a run.

    Pictures are normalised like those that the starting weights were trained on, where the colours agree.

    Args:
        directory: of the run.
        settings, family, dataset: what it is asked to do, its supernet, its data.
        trained: the largest resolution at which networks are trained, in pixels.
        class_names: of the data; of the teacher where the data have none.
        watch: hears of progress.
        joint: name of the data set in the joint run whose directory this one is in; None for a run by itself.
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
            "source": source_to(dataset.source, directory) if Path(dataset.source).is_absolute() else dataset.source,
            "fingerprint": dataset.fingerprint,
            "class_names": list(class_names),
            **({"mask_values": list(dataset.meaning.values)} if dataset.meaning else {}),
            "channels": dataset.channels,
            "side": dataset.side,
            "splits": {split: len(rows) for split, rows in dataset.splits.items()},
            "notes": [note.message for note in dataset.notes],
        },
        "pixels": {
            "resolutions": list(family.resolutions),
            "trained": trained,
            "mean": list(mean),
            "std": list(std),
            "jpeg_side": dataset.jpeg_side,
            "flip": should_flip(dataset),
            "views": views_of(dataset),
        },
        "tasks": {joint or TASK: kind_of(dataset)},
        **({"joint": {"name": joint}} if joint else {}),
        "network": {"keeps_statistics": kept},
        "machine": machine_facts(),
    }
    return Run.create(directory, settings, facts)


def machine_facts() -> dict[str, Any]:
    """What run.toml says of the machine and its packages."""
    return {
        "python": platform.python_version(),
        "system": platform.platform(terse=True),
        "cpus": allowed_cpus(),
        **{name: version(name) for name in ("torch", "numpy", "pymoo", "scikit-learn", "pillow")},
    }


def of_channels(normalization: torch.Tensor, channels: int) -> tuple[float, ...]:
    """Mean or deviation for each of `channels` channels; where their numbers differ, the average for each."""
    values = normalization.flatten().tolist()
    return tuple(values) if len(values) == channels else (sum(values) / len(values),) * channels


def views_of(dataset: Dataset) -> int:
    """Number of views of each validation image: several where images are few, to make the error less coarse.

    With masks, each pixel is an answer, and one view is enough.
    """
    return VIEWS if not dataset.meaning and len(dataset.splits["val"]) < FEW_IMAGES else 1


def check_same_data(run: Run, dataset: Dataset) -> None:
    """Raise `UserError` for other data than the run began with."""
    if dataset.fingerprint != run.facts["data"]["fingerprint"]:
        raise UserError(
            f"the data are not those that {run.directory} began with (files, classes or splits have changed): "
            "put them back, or start a new run with another --out"
        )
