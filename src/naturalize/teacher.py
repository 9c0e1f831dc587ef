"""A trained network that others learn from: a run's, a saved one, a published one, or any module."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from naturalize.data.parts import shortened
from naturalize.errors import UserError, unknown
from naturalize.exporting import Network, load_network
from naturalize.progress import Progress, silent
from naturalize.run import Run
from naturalize.supernet import FAMILIES
from naturalize.supernet.subnet import Normalize
from naturalize.training.engine import memory_format
from naturalize.weights import with_classifier


class Teacher(nn.Module):
    """A module from pixels 0..255 `(n, channels, r, r)`, of any size and colours, to logits of the taught classes.

    Args:
        network: module from pixels 0..255 to logits of all classes that it knows.
        known: names of these classes; None where they are not known.
        channels: of the network's input, 1 or 3; None for those of the pictures.
        resolution: at which it was trained, in pixels; None for any.

    Attributes:
        class_names, by_pixel: the taught classes, and whether each pixel has one, once `teach` was called.
        several: whether a picture may have several of them.
    """

    def __init__(
        self,
        network: nn.Module,
        known: Sequence[str] | None = None,
        channels: int | None = None,
        resolution: int | None = None,
    ) -> None:
        super().__init__()
        self.network = network.requires_grad_(False)
        self.known = known
        self.channels = channels
        self.resolution = resolution
        self.class_names: list[str] = []
        self.by_pixel = False
        self.several = False
        self.chosen: list[int] | None = None
        self.eval()

    def teach(self, class_names: Sequence[str], channels: int, resolution: int) -> None:
        """Choose the classes, those of the pictures or else all, and a resolution no larger than the pictures'.

        Args:
            class_names: of the pictures; empty where they have no classes.
            channels, resolution: of the pictures; the largest resolution.

        Raises:
            UserError: where classes or colours do not match.
        """
        if self.channels is not None and self.channels < channels:
            raise UserError("the teacher takes grey pictures and these have colours: give one that takes colours")
        self.resolution = min(self.resolution or resolution, resolution)
        logits = self(torch.zeros(1, channels, resolution, resolution))
        count, self.by_pixel = logits.shape[1], logits.ndim > 2
        known = list(self.known or class_names or map(str, range(count)))
        if len(known) != count:
            raise UserError(f"the teacher tells {count} classes apart, the pictures have {len(known)}")
        if missing := [name for name in class_names if name not in known]:
            raise UserError(
                f"the teacher does not know {shortened(missing)}, but {shortened(known)}: to learn from it alone, give "
                "a folder with the pictures loose in it"
            )
        self.class_names = list(class_names) or known
        if self.class_names != known:
            self.chosen = [known.index(name) for name in self.class_names]

    @torch.no_grad()
    def forward(self, pixels: Tensor) -> Tensor:
        if self.channels is not None and pixels.shape[1] < self.channels:
            pixels = pixels.expand(-1, self.channels, -1, -1)
        if self.resolution is not None and self.resolution != pixels.shape[-1]:
            pixels = F.interpolate(pixels.float(), self.resolution, mode="bilinear", antialias=True)
        logits: Tensor = self.network(pixels.contiguous(memory_format=memory_format(pixels.device)))
        return logits if self.chosen is None else logits[:, self.chosen]

    def of_normalised(self, normalize: Normalize) -> Callable[[Tensor], Tensor]:
        """The teacher as a function from pictures normalised by `normalize` to logits."""
        return lambda images: self(images * normalize.std + normalize.mean)


def open_teacher(source: str, progress: Progress = silent) -> Teacher:
    """Open the network that a user names as a teacher. Raises `UserError`.

    Args:
        source: a supernet's name, for its largest network as it was published; the directory of a run, for its best
            network, or the largest one of a prepared supernet; or a network's `.safetensors` file, its card beside it.
        progress: called while weights are fetched.
    """
    path = Path(source)
    if source in FAMILIES:
        supernet = with_classifier(source, progress)
        largest = supernet.family.space.largest
        resolution = supernet.family.resolutions[largest.code[0]]
        return Teacher(supernet.extract(largest), None, supernet.channels, resolution)
    if path.suffix == ".safetensors":
        return of_saved(load_network(path))
    if not path.is_dir():
        raise UserError(
            f"{unknown('teacher', source, FAMILIES)}; nor is there a run or a network's .safetensors file of that name"
        )
    run = Run(path)
    if run.settings.goal == "transfer":
        return of_saved(run.best().load())
    largest = run.family.space.largest
    subnet = run.cut(largest, {}, version=0).subnet
    teacher = Teacher(subnet, run.class_names, run.facts["data"]["channels"], run.family.resolutions[largest.code[0]])
    teacher.several = run.task.activation == "sigmoid"
    return teacher


def of_saved(network: Network) -> Teacher:
    """A teacher of a saved network and its card."""
    card = network.card
    teacher = Teacher(network.subnet, card["class_names"], card["preprocessing"]["channels"], card["resolution"])
    teacher.several = card.get("activation") == "sigmoid"
    return teacher
