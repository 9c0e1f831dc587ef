"""Prediction: pictures in, class names out, from an exported file or from a run; one preprocessing for both."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from naturalize.data import Preprocessing, list_images, read_picture, without_warnings
from naturalize.data.parts import printable
from naturalize.errors import UserError
from naturalize.exporting import OnnxModel
from naturalize.numbers import percent, plural
from naturalize.run import Run
from naturalize.run.run import RunNetwork
from naturalize.tasks.confidence import above
from naturalize.training.evaluate import logits_of

BATCH = 32
NONE = "none of these"  # stands for the class of an answer below the threshold


@dataclass(frozen=True)
class Model:
    """A network with its card; `logits` takes pixels, uint8 `(n, channels, r, r)`, to logits `(n, classes)`."""

    card: dict[str, Any]
    logits: Callable[[NDArray[np.uint8]], NDArray[np.float32]]


@dataclass(frozen=True)
class Prediction:
    """The answer of a network to one file.

    Attributes:
        path: of the file.
        name: of the class; None where it is below the threshold, or the file could not be read.
        probability: of the most likely class; None where the file could not be read.
        error: why it could not be read.
    """

    path: str
    name: str | None
    probability: float | None
    error: str | None


def open_model(source: str | Path | Run | RunNetwork, require: Sequence[str] = ()) -> Model:
    """Open an exported ONNX file, a network of a run, or the best one of a run. Raises `UserError` for all else."""
    if isinstance(source, str | Path) and Path(source).is_dir():
        source = Run(source)
    if isinstance(source, Run):
        return model_of(source.best(require))
    if require:
        what = "this" if isinstance(source, RunNetwork) else Path(source)
        raise UserError(f"--require chooses among the networks of a run; {what} is one network")
    if isinstance(source, RunNetwork):
        return model_of(source)
    path = Path(source)
    if not path.exists():
        raise UserError(f"{path}: no such file or run")
    onnx = OnnxModel(path)
    return Model(onnx.card, onnx)


def model_of(chosen: RunNetwork) -> Model:
    """A network of a run, computed as in its measurement: predictions on the same files give the same error."""
    network = chosen.load()
    subnet = network.subnet.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Model(network.card, lambda pixels: logits_of(subnet, pixels, torch.device("cpu")).numpy())


def checked_threshold(threshold: float) -> float:
    """A probability below which an answer is none. Raises `UserError` for another number."""
    if not 0 <= threshold <= 1:
        raise UserError(f"--threshold {threshold:g}: give a probability from 0 to 1, as 0.5")
    return threshold


def told_of(model: Model, threshold: float) -> str:
    """What a threshold does to the test pictures of the network's run, in a sentence; empty where it is not known."""
    confidence = model.card.get("test_confidence")
    if confidence is None:
        return ""
    refused, wrong = above(confidence, checked_threshold(threshold))
    (_, before), images = above(confidence, 0.0), plural(sum(confidence["images"]), "test picture")
    rest = "" if wrong is None else f", and {percent(wrong)} of the others are wrong ({percent(before)} of all)"
    return f"of the run's {images}, {percent(refused)} are below {threshold:g}{rest}"


def predict_with(
    model: Model,
    pictures: Sequence[str | Path],
    passed_over: Callable[[str], object] = lambda name: None,
    threshold: float = 0.0,
) -> Iterator[Prediction]:
    """Yield one row for each file, in a stable order; a file that cannot be read has a row that says why.

    Args:
        model: as `open_model` gives it.
        pictures: files and folders.
        passed_over: called with the name of each file in a folder that is no picture by its name.
        threshold: least probability of an answer; below it the picture is none of the classes.

    Raises `UserError` where there is nothing to classify.
    """
    if not pictures:
        raise UserError("no pictures to classify: give files or folders")
    threshold = checked_threshold(threshold)
    files = [file for picture in pictures for file in files_of(picture, passed_over)]
    preprocessing = Preprocessing.from_card(model.card["preprocessing"])
    names = model.card["class_names"]
    for start in range(0, len(files), BATCH):
        some = files[start : start + BATCH]
        with without_warnings():
            read = [pixels_of(path, preprocessing) for _, path in some]
        good = [pixels for pixels in read if not isinstance(pixels, UserError)]
        logits = iter(model.logits(np.stack(good)) if good else np.empty(0, dtype=np.float32))
        for (shown, _), pixels in zip(some, read, strict=True):
            if isinstance(pixels, UserError):
                yield Prediction(shown, None, None, str(pixels))
                continue
            scores = next(logits).astype(np.float64)
            if not np.isfinite(scores).all():
                raise UserError(f"the network answers {shown} with no numbers: its file is damaged, export it again")
            chances = np.exp(scores - scores.max())
            best, probability = int(scores.argmax()), float(chances.max() / chances.sum())
            yield Prediction(shown, names[best] if probability >= threshold else None, probability, None)


def files_of(source: str | Path, passed_over: Callable[[str], object]) -> list[tuple[str, Path]]:
    """The picture files at a path, each with the name to show: the path as given, then the part below it."""
    found, picture = list_images(source, passed_over), Path(source)
    given = printable(picture.as_posix())
    return (
        found if given == "." else [(given if picture.is_file() else f"{given}/{name}", path) for name, path in found]
    )


def pixels_of(path: Path, preprocessing: Preprocessing) -> NDArray[np.uint8] | UserError:
    """The pixels of a file, or why it cannot be read."""
    try:
        return preprocessing(read_picture(path, jpeg_side=preprocessing.jpeg_side))
    except UserError as error:
        return error
