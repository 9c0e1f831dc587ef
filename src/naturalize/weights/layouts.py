"""Layouts of weights: the names under which a file keeps the tensors of a supernet.

A layout is a mapping from the supernet's names to the file's. Reading and writing use the same one, so they agree.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from naturalize.archive import TASK
from naturalize.errors import UserError
from naturalize.supernet import Supernet
from naturalize.supernet.blocks import ElasticBottleneck, ElasticInvertedResidual, MaxPool
from naturalize.supernet.operators import ElasticConvNorm
from naturalize.supernet.resnet import ResNet50

Layout = dict[str, str]

SHOWN = 5  # names of a list that a message spells out
IGNORED = ("num_batches_tracked",)


def once_for_all(supernet: Supernet, body: int) -> Layout:
    """Layout of one body and its head in checkpoints of the `ofa` package (github.com/mit-han-lab/once-for-all)."""
    layers, head = supernet.layers_of(body), supernet.head_of(body)
    ours, theirs = f"bodies.{body}.layers", f"heads.{TASK}.{body}"
    if isinstance(supernet.family, ResNet50):
        names = stem_of_resnet()
        layout: Layout = {}
        first_block = len(names)
        linear = "classifier.linear.linear"
    else:
        last = "final_expand_layer" if head.mix is not None else "feature_mix_layer"
        names = {0: "first_conv", len(layers) - 1: last}
        layout = {f"{theirs}.mix.weight": "feature_mix_layer.conv.weight"} if head.mix is not None else {}
        first_block = 1
        linear = "classifier.linear"
    for number, layer in enumerate(layers):
        prefix = f"{ours}.{number}"
        if isinstance(layer, MaxPool):
            continue
        if isinstance(layer, ElasticConvNorm):
            layout |= convolution(layer, prefix, names[number], dynamic=isinstance(supernet.family, ResNet50))
        elif isinstance(layer, ElasticInvertedResidual):
            block = number - first_block
            layout |= inverted_residual(layer, prefix, f"blocks.{block}.conv", dynamic=block > 0)
        elif isinstance(layer, ElasticBottleneck):
            layout |= bottleneck(layer, prefix, f"blocks.{number - first_block}")
    for kind in ("weight", "bias"):
        layout[f"{theirs}.classifier.{kind}"] = f"{linear}.{kind}"
    return layout


def stem_of_resnet() -> dict[int, str]:
    """Names of the stem's layers by their number; the pool has none."""
    return {0: "input_stem.0", 1: "input_stem.1.conv", 2: "input_stem.2", 3: ""}


def convolution(layer: ElasticConvNorm, ours: str, theirs: str, dynamic: bool) -> Layout:
    """Layout of a convolution with its batch norm; the package wraps elastic ones once more, as their names show."""
    conv, norm = (f"{theirs}.conv.conv", f"{theirs}.bn.bn") if dynamic else (f"{theirs}.conv", f"{theirs}.bn")
    return {
        f"{ours}.weight": f"{conv}.weight",
        f"{ours}.gamma": f"{norm}.weight",
        f"{ours}.beta": f"{norm}.bias",
        f"{ours}.running_mean": f"{norm}.running_mean",
        f"{ours}.running_var": f"{norm}.running_var",
        **{f"{ours}.maps.{name}": f"{theirs}.conv.{name}_matrix" for name in layer.maps},
    }


def inverted_residual(layer: ElasticInvertedResidual, ours: str, theirs: str, dynamic: bool) -> Layout:
    """Layout of an inverted residual."""
    layout: Layout = {}
    for name, their_name in (
        ("expand", "inverted_bottleneck"),
        ("depthwise", "depth_conv"),
        ("project", "point_linear"),
    ):
        operator = getattr(layer, name)
        if operator is not None:
            layout |= convolution(operator, f"{ours}.{name}", f"{theirs}.{their_name}", dynamic)
    if layer.squeeze_excite is not None:
        for name in ("reduce", "expand"):
            for kind in ("weight", "bias"):
                layout[f"{ours}.squeeze_excite.{name}.{kind}"] = f"{theirs}.depth_conv.se.fc.{name}.{kind}"
    return layout


def bottleneck(layer: ElasticBottleneck, ours: str, theirs: str) -> Layout:
    """Layout of a residual bottleneck."""
    layout: Layout = {}
    for name, their_name in (("reduce", "conv1"), ("conv", "conv2"), ("expand", "conv3"), ("shortcut", "downsample")):
        operator = getattr(layer, name)
        if operator is not None:
            layout |= convolution(operator, f"{ours}.{name}", f"{theirs}.{their_name}", dynamic=True)
    return layout


def canonical(name: str) -> str:
    """A name of the `ofa` package without the parts that its versions disagree on, as doubled wrappers."""
    return re.sub(r"\b(conv|bn|linear)(\.\1)+\b", r"\1", name.replace(".mobile_inverted_conv.", ".conv."))


def load_tensors(supernet: Supernet, tensors: Mapping[str, Tensor], layout: Layout, source: Path | str) -> None:
    """Copy a file's tensors into the supernet: all of them, or none where one does not fit.

    For another number of classes, the supernet keeps its own classifier, which is new. A file without kernel maps holds
    the largest network, trained alone: smaller kernels begin as the centres of its own.

    Raises:
        UserError: naming tensors that are missing, too many, of another shape, or not finite.
    """
    found = {canonical(name): tensor for name, tensor in tensors.items() if not name.endswith(IGNORED)}
    wanted = {ours: canonical(theirs) for ours, theirs in layout.items() if has_maps(found) or not has_maps([theirs])}
    if missing := sorted(set(wanted.values()) - found.keys()):
        raise UserError(f"{source} is no {supernet.family.name}: it lacks {some(missing)}")
    if extra := sorted(found.keys() - set(wanted.values())):
        raise UserError(f"{source} is no {supernet.family.name}: it has {some(extra)} too many")
    state = supernet.state_dict()
    classifier = classifier_of(layout)
    new_head = len(found[wanted[classifier]]) != len(state[classifier])
    kept = {ours: found[theirs] for ours, theirs in wanted.items() if not (new_head and ".classifier." in ours)}
    wrong = [
        f"{wanted[ours]} {tuple(tensor.shape)} in place of {tuple(state[ours].shape)}"
        for ours, tensor in kept.items()
        if tensor.shape != state[ours].shape
    ]
    if wrong:
        raise UserError(f"{source} is no {supernet.family.name}: {some(wrong)}")
    if broken := [wanted[ours] for ours, tensor in kept.items() if not torch.isfinite(tensor).all()]:
        raise UserError(f"{source} holds numbers that are not finite: in {some(broken)}")
    supernet.load_state_dict({ours: tensor.float() for ours, tensor in kept.items()}, strict=False)


def has_maps(names: Iterable[str]) -> bool:
    """Whether there is a map from a kernel to the next smaller one among the names of a file."""
    return any(name.endswith("_matrix") for name in names)


def classifier_of(layout: Layout) -> str:
    """The supernet's name of the classifier's weight."""
    return next(ours for ours in layout if ours.endswith(".classifier.weight"))


def some(names: list[str]) -> str:
    """The first few names of a list."""
    rest = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {rest} more" if rest > 0 else "")
