"""A network of the front on disk: a plain module's weights and the card that says what they are."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from torch import Tensor

from naturalize.errors import UserError
from naturalize.files import check_content, checksum_of, write_json
from naturalize.supernet import Subnet
from naturalize.tensor_files import CHECKSUM, checksum, load_tensors, save_tensors

CARD_FORMAT = 1

Card = dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """The user's options for a file, and what its format needs besides the network.

    Attributes:
        opset: of ONNX files.
        calibration: training pictures, uint8 `(n, channels, r, r)`, where the format calibrates.
    """

    opset: int | None = None
    calibration: NDArray[np.uint8] | None = None


@dataclass(frozen=True)
class Network:
    """A plain network with the statistics that it is deployed with, and its card (docs/formats.md)."""

    subnet: Subnet
    card: Card

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels and sides of one picture, as the network takes it."""
        side = self.card["resolution"]
        return len(self.subnet.spec["normalize"]["mean"]), side, side

    @property
    def output(self) -> tuple[int, ...]:
        """The shape of the logits of one picture: `(classes,)`, or `(classes, r, r)` where each pixel has a class."""
        head = self.subnet.spec["head"]
        return (head["classes"], *(self.shape[1:] if "strides" in head else ()))


def nameless(subnet: Subnet, resolution: int) -> Network:
    """A network with as much of a card as a file needs to be run."""
    return Network(subnet, {"resolution": resolution, "class_names": [], "preprocessing": {}})


def save_network(directory: Path, network: Network, taken: Collection[str] = ()) -> Path:
    """Write `A.safetensors` and `A.json`, A being the card's architecture. Returns the path of the first.

    Where `A.safetensors` is among the names that are taken, they are `A-2.safetensors` and `A-2.json`.

    The card carries the checksum of the weights: weights beside another network's card, as after a crash between the
    two files, are detected, and so is damage.
    """
    card = network.card
    names = (f"{card['architecture']}{again}.safetensors" for again in ("", "-2"))
    path = next(directory / name for name in names if name not in taken)
    directory.mkdir(parents=True, exist_ok=True)
    metadata = {"weights_version": str(card["weights_version"])}
    found = save_tensors(path, weights_of(network.subnet), metadata)
    content = {**card, CHECKSUM: found}
    write_json(card_path(path), {**content, "checksum": checksum_of(content)})
    return path


def load_network(path: Path) -> Network:
    """The network of a file that `save_network` wrote, with the card beside it, ready to classify on the CPU.

    Raises:
        UserError: naming the file that is missing, damaged, newer than this naturalize, or not its card's.
    """
    try:
        card_text = card_path(path).read_text(encoding="utf-8")
        weights, metadata = load_tensors(path)
    except FileNotFoundError as error:
        raise UserError(f"no network at {path}: it is made of a .safetensors file and the .json beside it") from error
    except (OSError, ValueError, SafetensorError) as error:
        raise UserError(f"{path} or the .json beside it is damaged ({error})") from error
    card = parse_card(card_text, card_path(path))
    known = card.pop(CHECKSUM, None)  # none in a card of an older naturalize
    others = known is not None and known != checksum(weights, metadata)
    if others or metadata.get("weights_version") != str(card["weights_version"]):
        raise UserError(f"{path} and the .json beside it are of different versions of the weights: export it again")
    try:
        with torch.random.fork_rng(devices=[]):  # starting values are drawn, and replaced at once
            subnet = Subnet(card["spec"])
        subnet.load_state_dict(weights)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"{path} holds other weights than the .json beside it describes, or one is damaged") from error
    return Network(subnet.eval(), card)


def card_path(path: Path) -> Path:
    """Path of the card of a file of weights."""
    return path.with_suffix(".json")


def parse_card(text: str, source: Path) -> Card:
    """The card in a JSON text. Raises `UserError`, naming the source, where it is damaged or of a newer format."""
    try:
        card: Card = check_content(json.loads(text))
        newer = card["format"] > CARD_FORMAT
        missing = {"weights_version", "spec", "class_names", "preprocessing", "resolution"} - card.keys()
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{source} holds no card of a network, or a damaged one") from error
    if newer:
        raise UserError(f"{source} is of format {card['format']}, newer than this naturalize: update naturalize")
    if missing:
        raise UserError(f"{source} is damaged: its card lacks {', '.join(sorted(missing))}")
    return card


def weights_of(subnet: Subnet) -> dict[str, Tensor]:
    """The tensors of a subnet as float32 with memory of their own: a slice would take its supernet along.

    Batch norm's count of batches is left out: it only steers training, and modules load without it.
    """
    return {
        name: value.detach().to("cpu", torch.float32, copy=True, memory_format=torch.contiguous_format)
        for name, value in subnet.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
