"""The published network read at several resolutions, before anything is trained: a front of its own.

Each resolution has a classifier fitted to the features of a frozen network. That takes seconds and needs no choice. The
networks of a transfer compete with these; where none is better, the result keeps them.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from torch import Tensor

from naturalize import journal
from naturalize.errors import UserError
from naturalize.space import Architecture
from naturalize.starting import source_supernet
from naturalize.supernet import Subnet, Supernet
from naturalize.tensor_files import load_tensors, save_tensors
from naturalize.training.engine import side_by_side
from naturalize.training.evaluate import logits_of, logits_on
from naturalize.warm_start import (
    OF_A_CLASS,
    fitted_rows,
    logistic_regression,
    plain_network,
    with_classifier,
    without_classifier,
)
from naturalize.weights import transplant
from naturalize.workbench import Workbench, chosen_images

FILE = "probes.safetensors"
ORDER = (64, 32, 96, 48, 128, 40, 80, 24, 160, 112, 56, 192, 224)  # of reading trained resolutions, while there is time
LEAST, MOST = 3, 8  # of these
SHARE, LEAST_S, MOST_SHARE = 0.1, 20.0, 1 / 6  # time: share of a budget, or seconds if more, within a share of it
PICTURES = 1024  # training pictures that a classifier is fitted to, at most, where classes are not very many
FEWEST, IMAGES_PER_S = 500, 10  # validation images that are answered: at least, views included; per second of a budget
LATE_PICTURES, LATE_OF_A_CLASS = 100, 10  # fewest training and validation pictures if it begins late; per class
LEAST_BUDGET_S = 60.0  # below which there is time for the trained resolutions alone
TIMED, CHUNK = 32, 64  # pictures that reading is timed on; that a thread reads at once
SHARED_BY_ALL = 0  # stands for a resolution: the classifier that the supernet starts with
SHARED = (64, 32, 96)  # resolutions whose features the supernet's classifier starts from


@dataclass(frozen=True)
class Probes:
    """Classifiers on one network, by resolution; validation answers; the start of a shared classifier.

    Attributes:
        weight: `(classes, channels)` for each resolution, and for `SHARED_BY_ALL` where there is one.
        bias: `(classes,)` for each.
        rows: validation images that were answered, `(n,)`.
        answers: what the task makes of the answers to each view of each image, `(views, n, ...)` for each resolution.
    """

    weight: dict[int, Tensor]
    bias: dict[int, Tensor]
    rows: NDArray[np.int64]
    answers: dict[int, NDArray[Any]]

    @property
    def resolutions(self) -> list[int]:
        """Resolutions in pixels, ascending."""
        return sorted(self.answers)

    def write(self, path: Path) -> None:
        """Write the file that `probes_of` reads."""
        found = {f"{SHARED_BY_ALL}.rows": torch.from_numpy(self.rows)}
        found |= {f"{side}.weight": weight for side, weight in self.weight.items()}
        found |= {f"{side}.bias": bias for side, bias in self.bias.items()}
        found |= {f"{side}.answers": torch.from_numpy(answers) for side, answers in self.answers.items()}
        save_tensors(path, found)


def loaded(path: Path) -> dict[str, Tensor]:
    """The tensors of a file of the run. Raises `UserError` where it is damaged."""
    try:
        return load_tensors(path)[0]
    except (OSError, SafetensorError, ValueError, RuntimeError) as error:
        raise UserError(f"{path} is damaged ({error}): put it back from a copy, or start the run anew") from error


def probes_of(directory: Path, name: str = FILE) -> Probes | None:
    """The probes in a file of a run's directory, those of `probe` unless told; None where there are none."""
    path = directory / name
    if not path.exists():
        return None
    found = loaded(path)
    by_kind: dict[str, dict[int, Tensor]] = {"weight": {}, "bias": {}, "answers": {}, "rows": {}}
    for name, tensor in found.items():
        resolution, kind = name.split(".")
        if kind == "wrong":  # in a file of an older naturalize
            kind, tensor = "answers", tensor.bool()
        by_kind[kind][int(resolution)] = tensor
    answers = {resolution: tensor.numpy() for resolution, tensor in by_kind["answers"].items()}
    rows = by_kind["rows"].get(SHARED_BY_ALL)
    answered = next(iter(answers.values())).shape[1]
    return Probes(by_kind["weight"], by_kind["bias"], np.arange(answered) if rows is None else rows.numpy(), answers)


def probe(bench: Workbench) -> Probes | None:
    """Probe the published network, once in a run; None where there is none, or no classes.

    The run gets `probes.safetensors`: a classifier and its validation answers for each resolution, and the
    classifier that the supernet starts with, fitted to features of several resolutions.
    """
    directory = bench.run.directory
    if not bench.reads_published:
        return None
    if (directory / FILE).exists():
        return probes_of(directory)
    watch, train, task = bench.watch, bench.trainer.images, bench.task
    until, answered, views, fitted = extent_of_reading(bench)
    val = chosen_images(bench.val, bench.seed, answered, views)
    rows = fitted_rows(bench, fitted)
    labels = train.labels[rows]
    network = without_classifier(published(bench))
    truth = torch.from_numpy(np.asarray(val.labels))
    probes = Probes({}, {}, val.rows, {})
    features: dict[int, Tensor] = {}
    sides = sides_to_probe(bench)
    seconds_by_pixel: list[float] = []

    def in_time() -> Iterator[int]:
        for number, side in enumerate(sides):
            if number < LEAST or watch.used_s + max(seconds_by_pixel, default=0.0) * side**2 <= until:
                yield side

    def read(side: int) -> tuple[int, Tensor, Tensor, Tensor, Tensor]:
        start = watch.used_s
        of_train = logits_of(network, train.pixels(rows, side), bench.device, bench.progress).clone()
        weight, bias = logistic_regression(task, of_train, labels)
        of_val = (
            logits_on(network, val, np.arange(len(val)), side, bench.device, bench.progress, view).clone()
            for view in range(views)
        )
        answers = torch.stack([task.answers(features @ weight.T + bias, truth) for features in of_val])
        seconds_by_pixel.append((watch.used_s - start) / side**2)
        return side, of_train, weight, bias, answers

    def tell() -> None:
        watch.progress("probe", len(features), len(sides))

    with watch.phase("probe"):
        for side, of_train, weight, bias, answers in side_by_side(read, in_time(), bench.device, tell):
            features[side] = of_train
            probes.weight[side], probes.bias[side], probes.answers[side] = weight, bias, answers.numpy()
        shared = [features[side] for side in SHARED if side in features] or list(features.values())
        weight, bias = logistic_regression(task, torch.cat(shared), torch.cat([labels] * len(shared)))
        probes.weight[SHARED_BY_ALL], probes.bias[SHARED_BY_ALL] = weight, bias
    probes.write(directory / FILE)
    return probes


def extent_of_reading(bench: Workbench) -> tuple[float, int, int, int]:
    """The second by which probing should end, validation images and views to answer, training pictures to fit to."""
    budget_s = bench.run.settings.budget_s
    until = np.inf if budget_s is None else max(SHARE * budget_s, min(LEAST_S, MOST_SHARE * budget_s))
    most = len(bench.val) if budget_s is None else max(FEWEST, round(IMAGES_PER_S * budget_s))
    least = max(LATE_PICTURES, LATE_OF_A_CLASS * bench.task.classes)
    numbers = most, pictures_to_fit(bench)
    answered, fitted = (max(by_lateness(n, bench.watch.used_s, until), min(n, least)) for n in numbers)
    answered = min(len(bench.val), answered)
    return until, answered, max(1, min(bench.val.views, FEWEST // max(1, answered))), fitted


def sides_to_probe(bench: Workbench) -> list[int]:
    """Resolutions in the order in which they are read, while there is time."""
    return [side for side in ORDER if side in bench.run.trained][:MOST]


def pictures_to_fit(bench: Workbench) -> int:
    """Number of training pictures that a classifier of the published network is fitted to, at most."""
    return max(PICTURES, OF_A_CLASS * bench.task.classes)


def by_lateness(pictures: int, used_s: float, until: float) -> int:
    """Number of pictures to read: fewer in proportion, where reading begins later than the second it should end by."""
    return round(pictures / max(1.0, used_s / until))


def seconds_of_a_pixel(bench: Workbench) -> float:
    """Seconds that the published network takes for one pixel of a picture: the better of two timings, once in a run."""

    def timed() -> float:
        images, side = bench.trainer.images.pixels, bench.run.trained[-1]
        network, pixels = without_classifier(published(bench)), images(np.arange(min(TIMED, len(images))), side)
        seconds = []
        for _ in range(2):
            start = bench.watch.used_s
            logits_of(network, pixels, bench.device, bench.progress)
            seconds.append(bench.watch.used_s - start)
        return min(seconds) / len(pixels) / side**2

    return float(bench.archive.decide(journal.PIXEL, timed))


def affordable(sides: Sequence[int], pixel_s: float, left_s: float) -> list[int]:
    """The resolutions to read, the largest that fits first.

    Args:
        sides: of which they are chosen, in pixels.
        pixel_s: seconds that one takes for each pixel of a picture.
        left_s: seconds for all.
    """
    found = []
    for side in sorted(sides, reverse=True):
        if pixel_s * side**2 <= left_s:
            found.append(side)
            left_s -= pixel_s * side**2
    return found


def features_at(
    bench: Workbench,
    network: Subnet,
    images: Callable[[NDArray[np.int64], int], NDArray[np.uint8]],
    rows: NDArray[np.int64],
    side: int,
    phase: str,
) -> Tensor:
    """What a network without classifier sees on rows of images, `(len(rows), channels)`; all CPUs share the rows.

    Args:
        bench: of the run.
        network: that reads.
        images: from rows and resolution to pixels.
        rows: of the images.
        side: the resolution in pixels.
        phase: whose progress is told.
    """
    parts = [rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK)]
    done: list[Tensor] = []

    def read(part: NDArray[np.int64]) -> Tensor:
        return logits_of(network, images(part, side), bench.device, bench.progress).clone()

    def tell() -> None:
        bench.watch.progress(phase, len(done), len(parts))

    for features in side_by_side(read, parts, bench.device, tell):
        done.append(features)
    return torch.cat(done)


def start_of_classifier(bench: Workbench) -> tuple[Tensor, Tensor]:
    """Weight `(classes, channels)` and bias `(classes,)` that the supernet's classifier starts with."""
    probes = probe(bench)
    assert probes is not None
    return probes.weight[SHARED_BY_ALL], probes.bias[SHARED_BY_ALL]


def published(bench: Workbench) -> Subnet:
    """The largest network with its published weights and statistics, on the device."""
    supernet = published_weights(bench)
    return plain_network(bench, supernet, supernet.family.space.largest)


def published_weights(bench: Workbench) -> Supernet:
    """A supernet with the weights that the run started from; its classifier is new."""
    supernet = bench.run.new_supernet()
    source = source_supernet(bench.run.settings, bench.run.directory, bench.watch.progress)
    assert source is not None
    transplant(supernet, source)
    return supernet


def probe_networks(bench: Workbench, resolutions: Sequence[int]) -> dict[int, Subnet]:
    """Copies of the published network by resolution, each with the classifier of that resolution."""
    probes = probes_of(bench.run.directory)
    return with_classifiers(published(bench), probes, resolutions) if probes is not None and resolutions else {}


def with_classifiers(network: Subnet, probes: Probes, resolutions: Sequence[int]) -> dict[int, Subnet]:
    """Copies of a network by resolution, each with the classifier that was fitted at it."""
    return {
        side: with_classifier(copy.deepcopy(network), probes.weight[side], probes.bias[side]) for side in resolutions
    }


def architecture_at(bench: Workbench, resolution: int) -> Architecture:
    """The largest architecture at a resolution."""
    family = bench.supernet.family
    return family.space.architectures(family.space.wholes())[family.resolutions.index(resolution)]
