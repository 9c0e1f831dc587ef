"""Weights that a supernet starts from: published ones by name, or a file of the user's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from naturalize.archive import TASK
from naturalize.errors import UserError
from naturalize.progress import Progress, silent
from naturalize.supernet import Supernet, make_family
from naturalize.tasks import Classification
from naturalize.weights.bundled import BUNDLED, bundled_supernet, has_bundled
from naturalize.weights.fetch import fetched
from naturalize.weights.layouts import canonical, has_maps, load_tensors, once_for_all
from naturalize.weights.lite import lite0_supernet
from naturalize.weights.published import FILES, LARGEST
from naturalize.weights.tensors import read_tensors

__all__ = [
    "BUNDLED",
    "LARGEST",
    "UNPREPARED",
    "WITH_STATISTICS",
    "family_of_file",
    "file_supernet",
    "has_published",
    "has_subnets",
    "published_supernet",
    "transplant",
    "with_classifier",
]

IMAGENET_MEAN, IMAGENET_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)  # of pixels 0..255
IMAGENET_SIDE = 224
CLASSIFIER = "classifier.linear.weight"

# The families of Once-for-All files by what tells them apart: the first convolution and its channels.
SIGNS = {
    ("first_conv.conv.weight", 16): "ofa-mbv3-w1.0",
    ("first_conv.conv.weight", 24): "ofa-mbv3-w1.2",
    ("first_conv.conv.weight", 40): "ofa-proxyless-w1.3",
    ("input_stem.0.conv.weight", 32): "ofa-resnet50",
}

# Supernets whose weights come with an installed package.
PACKAGED: dict[str, Callable[[], Supernet]] = {"efficientnet-lite0": lite0_supernet}
WITH_STATISTICS = frozenset(PACKAGED)  # their batch norms hold true statistics of the largest network
UNPREPARED = frozenset({*PACKAGED, *LARGEST})  # of these only the largest network was trained


def has_published(name: str) -> bool:
    """Whether there are published weights for a supernet of that name."""
    return name in FILES or name in PACKAGED or has_bundled(name)


def published_supernet(name: str, progress: Progress = silent) -> Supernet:
    """The supernet with published weights, fetched where they are not here yet. Raises `UserError`.

    Args:
        name: of the supernet, or one in `LARGEST`.
        progress: called while weights are fetched.
    """
    if name in PACKAGED:
        return PACKAGED[name]()
    if has_bundled(name):
        return bundled_supernet(name)
    if name in LARGEST:
        return file_supernet(fetched(LARGEST[name][1], progress=progress))
    paths = {body: fetched(file, progress=progress) for body, file in FILES[name].items()}
    supernet = imagenet_supernet(name, classes=1000)
    for body, path in paths.items():
        load_tensors(supernet, read_tensors(path), once_for_all(supernet, body), path)
    return supernet


def with_classifier(name: str, progress: Progress = silent) -> Supernet:
    """A supernet with its published weights and classifier. Raises `UserError` where there is no such classifier."""
    if has_published(name) and not has_bundled(name):
        return published_supernet(name, progress)
    raise UserError(f"{name} has no published classifier: a teacher needs one, as a run of naturalize has")


def family_of_file(path: Path) -> str:
    """Name of the supernet of a Once-for-All file. Raises `UserError` for a file of anything else."""
    return family_of(read_tensors(path), path)


def file_supernet(path: Path) -> Supernet:
    """The supernet of a Once-for-All file. Raises `UserError`."""
    tensors = read_tensors(path)
    name = family_of(tensors, path)
    classes = next((len(tensor) for key, tensor in tensors.items() if canonical(key) == CLASSIFIER), 1000)
    supernet = imagenet_supernet(name, classes)
    (body,) = supernet.family.bodies
    load_tensors(supernet, tensors, once_for_all(supernet, body), path)
    return supernet


def has_subnets(path: Path) -> bool:
    """Whether the subnets of a Once-for-All file were trained too, and not its largest network alone."""
    tensors = read_tensors(path)
    return has_maps(tensors) or make_family(family_of(tensors, path), IMAGENET_SIDE).options.kernels == 1


def family_of(tensors: dict[str, Tensor], path: Path) -> str:
    """Name of the supernet that a file's tensors belong to, by their first convolution. Raises `UserError`."""
    found = {canonical(key): tensor for key, tensor in tensors.items()}
    for (key, channels), name in SIGNS.items():
        if key in found and len(found[key]) == channels:
            return name
    raise UserError(f"{path} holds no supernet that is known here: those are {', '.join(SIGNS.values())}")


def imagenet_supernet(name: str, classes: int) -> Supernet:
    """A new supernet for colour pictures, with ImageNet's usual normalisation."""
    family = make_family(name, IMAGENET_SIDE)
    return Supernet(family, {TASK: Classification(classes).heads(family)}, IMAGENET_MEAN, IMAGENET_STD)


def transplant(target: Supernet, source: Supernet, classifier: bool = False) -> None:
    """Copy the bodies of `source` into `target`, and its first task's heads into those of every task of that kind.

    Classifiers stay new unless `classifier` is true.

    A first convolution for colour is summed over colours where the target takes grey; one for grey is spread over
    colours where it takes colour. Grey pictures give the same results as before. Raises `UserError` for another family.
    """
    if source.family.name != target.family.name:
        raise UserError(f"the weights are of {source.family.name}, not of {target.family.name}")
    kept = {key: tensor for key, tensor in source.state_dict().items() if classifier or ".classifier" not in key}
    prefix, body = f"heads.{next(iter(source.heads))}.", source.family.bodies[0]
    same = [task for task in target.heads if type(target.head_of(body, task)) is type(source.head_of(body))]
    for key in [key for key in kept if key.startswith(prefix)]:
        tensor = kept.pop(key)
        kept |= {f"heads.{task}.{key.removeprefix(prefix)}": tensor for task in same}
    for body in source.family.bodies:
        key = f"bodies.{body}.layers.0.weight"
        if source.channels > target.channels:
            kept[key] = kept[key].sum(1, keepdim=True)
        elif source.channels < target.channels:
            kept[key] = kept[key].expand(-1, target.channels, -1, -1) / target.channels
    target.load_state_dict(kept, strict=False)
