"""Prediction: pictures in, class names out, from an exported file or from a run; one preprocessing for both."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn.functional import interpolate

from naturalize.data import Preprocessing, list_images, read_whole, without_warnings
from naturalize.data.decode import Opened
from naturalize.data.masks import mask_png, over
from naturalize.data.parts import printable
from naturalize.errors import UserError
from naturalize.exporting import OnnxModel
from naturalize.files import make_directory, room_on_disk, write_bytes
from naturalize.numbers import percent, plural
from naturalize.run import Run
from naturalize.run.run import RunNetwork
from naturalize.tasks.confidence import NONE, above
from naturalize.training.evaluate import logits_of

BATCH, BATCH_OF_MASKS = 32, 8  # pictures with masks are kept until these are written
MOST = 1024  # pixels of the longer side of masks that are told apart
LIKELY = 0.5  # least probability of a label, unless told


@dataclass(frozen=True)
class Model:
    """A network with its card; `logits` takes pixels, uint8 `(n, channels, r, r)`, to logits `(n, classes, ...)`."""

    card: dict[str, Any]
    logits: Callable[[NDArray[np.uint8]], NDArray[np.float32]]

    @property
    def several(self) -> bool:
        """Whether a picture may have several classes, each with a probability of its own."""
        return bool(self.card.get("activation") == "sigmoid")

    @property
    def mask_values(self) -> NDArray[np.uint8] | None:
        """The value of each class in masks; None where a picture has one class."""
        values = self.card.get("mask_values")
        return None if values is None else np.array(values, dtype=np.uint8)


@dataclass(frozen=True)
class Prediction:
    """The answer of a network to one file.

    Attributes:
        path: of the file.
        name: of the class; None where it is below the threshold, or the file could not be read.
        probability: of the most likely class; None where the file could not be read.
        error: why it could not be read.
        mask: where each pixel has a class, its value in masks, uint8 `(height, width)` of the upright picture; then
            name and probability are None.
        labels: where a picture may have several classes, those above the threshold with their probabilities, the surest
            first; name and probability are of the surest.
        picture: as it was decoded, where it has a mask.
    """

    path: str
    name: str | None
    probability: float | None
    error: str | None
    mask: NDArray[np.uint8] | None = None
    labels: dict[str, float] | None = None
    picture: Image.Image | None = None

    @property
    def line(self) -> str:
        """The answer in words, with tabs between path, class and probability, and so on for each further class."""
        found = self.labels or {NONE if self.name is None else self.name: self.probability or 0.0}
        return "\t".join([self.path, *(f"{name}\t{probability:.4f}" for name, probability in found.items())])


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
    threshold: float | None = None,
) -> Iterator[Prediction]:
    """Yield one row for each file, in a stable order; a file that cannot be read has a row that says why.

    Args:
        model: as `open_model` gives it.
        pictures: files and folders.
        passed_over: called with the name of each file in a folder that is no picture by its name.
        threshold: least probability of an answer; below it the picture is none of the classes. 0 unless told, and 0.5
            where a picture may have several: these are all that reach it.

    Raises `UserError` where there is nothing to classify.
    """
    if not pictures:
        raise UserError("no pictures to classify: give files or folders")
    values = model.mask_values
    threshold = checked_threshold(LIKELY * model.several if threshold is None else threshold)
    if threshold and values is not None:
        raise UserError("--threshold is of pictures with one class: this network answers with masks")
    files = [file for picture in pictures for file in files_of(picture, passed_over)]
    preprocessing = Preprocessing.from_card(model.card["preprocessing"])
    names, size_of_batch = model.card["class_names"], BATCH if values is None else BATCH_OF_MASKS
    for start in range(0, len(files), size_of_batch):
        some = files[start : start + size_of_batch]
        with without_warnings():
            read = [pixels_of(path, preprocessing) for _, path in some]
        good = [found[0] for found in read if not isinstance(found, UserError)]
        logits = iter(model.logits(np.stack(good)) if good else np.empty(0, dtype=np.float32))
        for (shown, _), found in zip(some, read, strict=True):
            if isinstance(found, UserError):
                yield Prediction(shown, None, None, str(found))
                continue
            scores = next(logits).astype(np.float64)
            if not np.isfinite(scores).all():
                raise UserError(f"the network answers {shown} with no numbers: its file is damaged, export it again")
            if values is not None:
                opened = found[1]
                mask = values[classes_of(scores, (opened.height, opened.width))]
                yield Prediction(shown, None, None, None, mask, picture=opened.picture)
                continue
            chances = sigmoid(scores) if model.several else softmax(scores)
            order = np.argsort(-scores, kind="stable").tolist()
            probability = float(chances[order[0]])
            name = names[order[0]] if probability >= threshold else None
            labels = {names[place]: float(chances[place]) for place in order if chances[place] >= threshold}
            yield Prediction(shown, name, probability, None, labels=labels if model.several else None)


def softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities of classes of which one is there, of logits `(classes,)`."""
    chances = np.exp(scores - scores.max())
    found: NDArray[np.float64] = chances / chances.sum()
    return found


def sigmoid(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities of classes each of which may be there, of logits `(classes,)`."""
    found: NDArray[np.float64] = 0.5 * (1.0 + np.tanh(0.5 * scores))
    return found


def files_of(source: str | Path, passed_over: Callable[[str], object]) -> list[tuple[str, Path]]:
    """The picture files at a path, each with the name to show: the path as given, then the part below it."""
    found, picture = list_images(source, passed_over), Path(source)
    given = printable(picture.as_posix())
    return (
        found if given == "." else [(given if picture.is_file() else f"{given}/{name}", path) for name, path in found]
    )


def pixels_of(path: Path, preprocessing: Preprocessing) -> tuple[NDArray[np.uint8], Opened] | UserError:
    """The pixels of a file, with its picture as it was decoded, or why it cannot be read."""
    try:
        opened = read_whole(path, jpeg_side=preprocessing.jpeg_side)
        return preprocessing(opened.picture), opened
    except UserError as error:
        return error


def classes_of(logits: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.int64]:
    """The class of each pixel of a picture of this height and width, by logits `(classes, r, r)`.

    Logits are enlarged bilinearly up to `MOST` pixels, as in measuring; beyond, a pixel has the class of the nearest.
    """
    shrink = min(1.0, MOST / max(size))
    small = tuple(max(1, round(side * shrink)) for side in size)
    enlarged = interpolate(torch.from_numpy(logits)[None].float(), small, mode="bilinear", align_corners=False)
    found = enlarged.argmax(1, keepdim=True).float()
    return interpolate(found, size, mode="nearest")[0, 0].long().numpy()


def check_to(model: Model, to: Path | None) -> None:
    """Raise `UserError` where masks have no directory to go to, or a directory gets none."""
    if model.mask_values is not None and to is None:
        raise UserError("this network answers with masks: say where to write them, as --to masks")
    if model.mask_values is None and to is not None:
        answers = "the labels that fit" if model.several else "one class"
        raise UserError(f"--to is for masks, and this network answers each picture with {answers}: leave it out")


def write_mask(model: Model, row: Prediction, to: Path) -> str:
    """Write a predicted mask, and its colours over the picture. Returns the mask's path and what it shows, in words.

    Args:
        model: that predicted it.
        row: with a mask.
        to: directory; made where there is none. The files have the picture's path below it, with `up` for `..`.
    """
    assert row.mask is not None, "only pictures that could be read"
    assert row.picture is not None, "it has a mask"
    parts = PurePosixPath(row.path).parts
    names = ["up" if part == ".." else part for part in parts if part not in ("/", ".")]
    path = to.joinpath(*names)
    path = path.with_name(f"{path.name}.png")
    buffer = io.BytesIO()
    over(row.picture.resize(row.mask.shape[::-1]), row.mask).save(buffer, "JPEG", quality=90)
    with room_on_disk(to):
        make_directory(path.parent)
        write_bytes(path, mask_png(row.mask))
        write_bytes(path.with_suffix(".over.jpg"), buffer.getvalue())
    values, counts = np.unique(row.mask, return_counts=True)
    names_of = dict(zip(model.card["mask_values"], model.card["class_names"], strict=True))
    most = counts.argsort(kind="stable")[::-1]
    shares = ", ".join(f"{names_of[int(values[k])]} {percent(100 * counts[k] / row.mask.size)}" for k in most.tolist())
    return f"{path}\t{shares}"
