"""Networks as files for other programs; every file is run on check pictures before it gets its name."""

from __future__ import annotations

import copy
import json
import math
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from naturalize.errors import UserError, unknown
from naturalize.exporting.coreml_file import NOT_RUN, coreml_files, coreml_needs
from naturalize.exporting.executorch_file import executorch_files, executorch_needs, open_executorch
from naturalize.exporting.litert_file import litert_files, litert_needs, open_litert
from naturalize.exporting.ncnn_file import ncnn_files, ncnn_needs, open_ncnn
from naturalize.exporting.network import CARD_FORMAT, Asked, Card, Network, card_path, load_network, save_network
from naturalize.exporting.onnx_file import onnx_files, onnx_needs
from naturalize.exporting.onnx_int8 import differs_in_more_than_quantization, int8_files, int8_needs
from naturalize.exporting.onnx_model import OnnxModel
from naturalize.exporting.openvino_file import open_openvino, openvino_files, openvino_int8_files, openvino_needs
from naturalize.exporting.torch_export_file import open_torch_export, torch_export_files, torch_export_needs
from naturalize.exporting.torch_file import LogitsOf, logits_of_arrays, open_torch, torch_files, torch_needs
from naturalize.files import make_directory, room_on_disk, write_bytes

__all__ = [
    "CARD_FORMAT",
    "FORMATS",
    "MARGIN",
    "Asked",
    "Card",
    "Check",
    "Exported",
    "Format",
    "Network",
    "OnnxModel",
    "card_path",
    "export",
    "load_network",
    "save_network",
]

BATCH = 64
TOLERANCE = 1e-3  # of the largest logit; rounding is below 1e-5, a wrong graph far above
TIE = 1e-4  # of the largest logit: two classes nearer than this may change places
MARGIN = 1.0  # points of error on the check pictures; of a file that loses more it is said what would help
SIGMAS, FEW_WRONG = 5.0, 3  # wrong check pictures beyond so many deviations, and a few more, are no chance


def differs_in_more_than_rounding(logits: NDArray[np.float32], expected: NDArray[np.float32]) -> str:
    """Differences between the logits of a file and its network beyond `TOLERANCE`, and changed classes, in words."""
    scale = float(np.abs(expected).max())
    difference = float(np.abs(logits - expected).max())
    chosen = np.take_along_axis(expected, logits.argmax(1)[:, None], 1)[:, 0]
    changed = int((expected.max(1) - chosen > TIE * scale).sum())
    if difference <= TOLERANCE * scale and not changed:  # so written, NaN differs too
        return ""
    return (
        f"its outputs differ from the network's by up to {difference:.3g} (largest output {scale:.3g}), and {changed} "
        "change their class"
    )


@dataclass(frozen=True)
class Format:
    """A kind of file to export.

    Attributes:
        suffix: of its files. Where formats share a suffix, the first one is taken unless another is asked for.
        files: function from network, file name and `Asked` to contents by file name, the file itself first. Where it
            is a directory, the names of its files begin with it, and the one first that makes it whole.
        open: function from the path of such a file, the others beside it, to a function from pixels to logits; in
            place of it why no such file is run here, in words.
        needs: function from the opset, or None, to the requirements for running the file, in words.
        calibrates: whether `files` needs training pictures.
        differs: function from a file's logits and its network's, `(n, classes)` each, to differences beyond rounding,
            in words; empty where they agree.
        directory: whether it is one.
        card_beside: whether `beside(path)` is written, with the card and what the check came to.
    """

    suffix: str
    files: Callable[[Network, str, Asked], dict[str, bytes]]
    open: Callable[[Path], LogitsOf] | str
    needs: Callable[[int | None], str]
    calibrates: bool = False
    differs: Callable[[NDArray[np.float32], NDArray[np.float32]], str] = differs_in_more_than_rounding
    directory: bool = False
    card_beside: bool = True


FORMATS: dict[str, Format] = {
    "onnx": Format(".onnx", onnx_files, OnnxModel, onnx_needs, card_beside=False),
    "torch": Format(".pt", torch_files, open_torch, torch_needs, card_beside=False),
    "onnx-int8": Format(
        ".onnx", int8_files, OnnxModel, int8_needs,
        calibrates=True, differs=differs_in_more_than_quantization, card_beside=False,
    ),
    "torch-export": Format(".pt2", torch_export_files, open_torch_export, torch_export_needs),
    "openvino": Format(".xml", openvino_files, open_openvino, openvino_needs),
    "openvino-int8": Format(
        ".xml", openvino_int8_files, open_openvino, openvino_needs,
        calibrates=True, differs=differs_in_more_than_quantization,
    ),
    "ncnn": Format(".param", ncnn_files, open_ncnn, ncnn_needs),
    "executorch": Format(".pte", executorch_files, open_executorch, executorch_needs),
    "litert": Format(".tflite", litert_files, open_litert, litert_needs),
    "coreml": Format(".mlpackage", coreml_files, NOT_RUN, coreml_needs, directory=True),
}  # fmt: skip


def share_wrong(logits: NDArray[np.float32], labels: NDArray[Any]) -> float:
    """Percent of pictures that logits `(n, classes)` answer wrongly."""
    return 100.0 * int(np.sum(logits.argmax(1) != labels)) / len(labels)


@dataclass(frozen=True)
class Check:
    """Validation pictures that an exported file has to get as right as its network does.

    Attributes:
        pixels: uint8 `(n, channels, r, r)`, r being the network's resolution; n at least 1.
        labels: class indices `(n,)`, masks `(n, side, side)`, or 0 and 1 by class, `(n, classes)`.
        error: function from logits and labels to an error in percent; the share of wrong answers unless told.
        spread: function from the same to the standard error of that; to None where it is a share of pictures.
    """

    pixels: NDArray[np.uint8]
    labels: NDArray[Any]
    error: Callable[[NDArray[np.float32], NDArray[Any]], float] = share_wrong
    spread: Callable[[NDArray[np.float32], NDArray[Any]], float | None] = lambda logits, labels: None

    def __post_init__(self) -> None:
        if not len(self.pixels):
            raise ValueError("an export cannot be checked without pictures")


@dataclass(frozen=True)
class Exported:
    """The written files, and the results of the main one on the check pictures.

    Attributes:
        path: of the file.
        files: all written files, `path` first; those in it where it is a directory.
        bytes: size of the file and of its weights, where these are beside it.
        needs: requirements for running it, in words.
        error, images: percent wrong of that many check pictures, by the file; None where it was not run.
        max_difference: largest difference between a logit of the file and the network's; None as well.
        agreement: percent of the check pictures that the file gives the network's class; None as well.
        network_error: percent wrong of them by the network.
        not_run: why it was not run, in words; empty where it was.
        chosen: which network it is and why, in words, where that was chosen by a rule.
    """

    path: Path
    files: tuple[Path, ...]
    bytes: int
    needs: str
    error: float | None
    images: int
    max_difference: float | None
    agreement: float | None
    network_error: float
    not_run: str = ""
    chosen: str = ""

    @property
    def loses_much(self) -> bool:
        """Whether the file is wrong on more pictures than the network: by more than `MARGIN`, and than chance makes."""
        more = 0.0 if self.error is None else self.error - self.network_error
        return more > MARGIN and more * self.images / 100.0 >= FEW_WRONG


def export(
    network: Network,
    to: Path,
    format: str | None,
    check: Check,
    *,
    opset: int | None = None,
    calibration: Callable[[], NDArray[np.uint8]] | None = None,
    overwrite: bool = False,
) -> Exported:
    """Write a network for other programs, run the written file on the check pictures, then give it its name.

    Args:
        network: with the statistics that it is deployed with.
        to: the file; others go beside it. Its directory is made where there is none.
        format: one of `FORMATS`; by the suffix of `to` where None.
        check: pictures to run it on.
        opset: of ONNX files alone, 13 to 17; 13, which the oldest runtimes take, where None.
        calibration: returns training pictures `(n, channels, r, r)`; called where the format calibrates.
        overwrite: replace files that are there with other content. The same content is no conflict.

    Raises:
        UserError: the target cannot be written, the library of its format is not installed, or the written file
            disagrees with the network or with the error that its card has; nothing is kept then.
    """
    name = format_of(to, format)
    kind = FORMATS[name]
    if to.is_dir() and not kind.directory:
        raise UserError(f"{to} is a directory: name a file, as {to / ('model' + kind.suffix)}")
    if opset is not None and kind.suffix != ".onnx":
        raise UserError("only ONNX files have an opset")
    pictures = None
    if kind.calibrates:
        pictures = None if calibration is None else calibration()
        if pictures is None or not len(pictures):
            raise UserError(f"the format {name} is calibrated on training pictures, and the run keeps none")
    written = kind.files(network, to.name, Asked(opset, pictures))
    files = {to.parent / name: content for name, content in written.items()}
    if not overwrite:
        refuse_others(files)
    subnet = copy.deepcopy(network.subnet).cpu().eval()  # the file has the stored statistics, so compare with those
    expected = in_batches(logits_of_arrays(subnet), check.pixels)
    images, network_error = len(check.pixels), check.error(expected, check.labels)
    check_error(
        to, network_error, images, network.card, check.spread(expected, check.labels)
    )  # what a format loses is no damage
    done = Exported(to, tuple(files), size_of(written), kind.needs(opset), None, images, None, None, network_error)
    if isinstance(kind.open, str):
        done = replace(done, not_run=kind.open)
    else:
        logits = answers_of(kind.open, to, written, check.pixels)
        if differs := kind.differs(logits, expected):
            raise UserError(f"{to} was not kept: on {len(expected)} check pictures {differs}")
        done = replace(
            done,
            error=check.error(logits, check.labels),
            max_difference=float(np.abs(logits - expected).max()),
            agreement=100.0 * float(np.mean(logits.argmax(1) == expected.argmax(1))),
        )
    if kind.card_beside:
        card = {beside(to): card_of(network.card, name, done)}
        if not overwrite:
            refuse_others(card)
        files |= card
    with room_on_disk(to):
        for path, content in reversed(files.items()):  # the file itself last: where it is, all is
            make_directory(path.parent)
            write_bytes(path, content)
    return replace(done, files=tuple(files))


def answers_of(
    open: Callable[[Path], LogitsOf], to: Path, written: dict[str, bytes], pixels: NDArray[np.uint8]
) -> NDArray[np.float32]:
    """The logits that written files give, `(n, classes)`, before they get their names.

    Args:
        open: of their format.
        to: path that the file will have; they are run in a directory beside it.
        written: contents by name.
        pixels: of n pictures.
    """
    with room_on_disk(to):
        make_directory(to.parent)
        with tempfile.TemporaryDirectory(prefix=f".{to.name}.", dir=to.parent) as directory:
            for name, content in written.items():
                path = Path(directory) / name
                path.parent.mkdir(exist_ok=True, parents=True)
                path.write_bytes(content)
            return in_batches(open(Path(directory) / to.name), pixels)


def size_of(written: dict[str, bytes]) -> int:
    """Bytes of a file, and of its weights where these are beside it, without programs that come with it."""
    return sum(len(content) for name, content in written.items() if not name.endswith(".py"))


def beside(path: Path) -> Path:
    """Path of the card of an exported file that has none inside."""
    return path.with_name(path.name + ".json")


def card_of(card: Card, format: str, done: Exported) -> bytes:
    """The content of a card beside a file: the network's, and `exported`, what is known of the file."""
    facts: dict[str, Any] = {"format": format, "needs": done.needs, "network_error": done.network_error}
    if done.not_run:
        facts["not_run"] = done.not_run
    else:
        facts |= {"images": done.images, "error": done.error, "agreement": done.agreement}
    return json.dumps({**card, "exported": facts}, ensure_ascii=False, indent=1).encode()


def format_of(to: Path, format: str | None) -> str:
    """The format's name, by the suffix of the file where it is None. Raises `UserError` where the two disagree."""
    if format is not None and format not in FORMATS:
        raise unknown("export format", format, FORMATS)
    fitting = [name for name, kind in FORMATS.items() if kind.suffix == to.suffix and name == (format or name)]
    if not fitting:
        endings = ", ".join(f"{kind.suffix} ({name})" for name, kind in FORMATS.items() if name == (format or name))
        raise UserError(f"{to.name!r} does not end as the exported file has to: {endings}")
    return fitting[0]


def refuse_others(files: dict[Path, bytes]) -> None:
    """Raise `UserError` for a file that is there with other content than the one to write."""
    for path, content in files.items():
        if path.exists() and (not path.is_file() or path.read_bytes() != content):
            raise UserError(f"{path} is there already, with other content: choose another name, or allow to overwrite")


def in_batches(answer: LogitsOf, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The logits of all pictures, `(n, classes)`, computed batch by batch."""
    return np.concatenate([answer(pixels[start : start + BATCH]) for start in range(0, len(pixels), BATCH)])


def check_error(path: Path, error: float, images: int, card: Card, spread: float | None = None) -> None:
    """Raise `UserError` where more check pictures are wrong than the card's validation error explains.

    Both are pictures of the validation split, but not the same ones: an excess of `SIGMAS` deviations is no chance.

    Args:
        path: of the file, for the message.
        error, images: the network's error in percent, and the number of check pictures.
        card: of the network.
        spread: standard error of the error, where it is no share of images.
    """
    if card.get("val_error") is None:
        return
    if spread is not None:
        if error > card["val_error"] + SIGMAS * spread + 100.0 * FEW_WRONG / images:
            raise UserError(
                f"{path} was not kept: the error on {images} check pictures is {error:.1f}% where the network's card "
                f"tells of {card['val_error']:.1f}% on validation: the network or the pictures of the run are damaged"
            )
        return
    wrong = round(error * images / 100.0)
    share = (card["val_error"] / 100.0 * card["val_images"] + 1.0) / (card["val_images"] + 2.0)
    if wrong > images * share + SIGMAS * math.sqrt(images * share * (1.0 - share)) + FEW_WRONG:
        raise UserError(
            f"{path} was not kept: {wrong} of {images} check pictures are wrong where the network's card tells of "
            f"{card['val_error']:.1f}% on validation: the network or the pictures of the run are damaged"
        )
