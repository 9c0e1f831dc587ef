"""Networks to be measured on another machine: a directory with model files, a script and a page that run them.

What comes back is a table, which `latency.table` reads.
"""

from __future__ import annotations

import json
import shutil
import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from naturalize import rng
from naturalize.errors import UserError
from naturalize.exporting import FORMATS, Asked, Network
from naturalize.files import make_directory, room_on_disk
from naturalize.latency.bench import bare, reference_network
from naturalize.latency.making import JUDGES, chosen, mixed
from naturalize.latency.model import FIELDS, layer_keys
from naturalize.latency.table import FORMAT, KIND
from naturalize.progress import Progress, silent
from naturalize.space import Codes
from naturalize.supernet import Supernet
from naturalize.supernet.layers import LayerTable
from naturalize.weights.fetch import fetched
from naturalize.weights.published import Published

NETWORKS = 120  # that a model is fitted to
PHASE = "models"
SMALL = 64  # entries of a weight that stays as it is
WEB = Published("onnxruntime-web-1.30.0.tgz", "", "372700fd4b916a2ef8c7b83f8552f5eb461b6f30", 33)
WEB_SOURCES = ("https://registry.npmjs.org/onnxruntime-web/-/onnxruntime-web-1.30.0.tgz",)
WEB_FILES = ("ort.wasm.min.js", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
PAGE, SCRIPTS = ("index.html", "page.js"), ("measure.py", "serve.py")


@dataclass(frozen=True)
class LatencyModels:
    """What was written.

    Attributes:
        path: of the directory.
        networks: number of model files, without the reference.
        bytes: of all files.
        without_page: why it has no page, in words; empty where it has one.
    """

    path: Path
    networks: int
    bytes: int
    without_page: str


def write_models(
    to: Path, supernet: Supernet, layers: Callable[[Codes], LayerTable], progress: Progress = silent
) -> LatencyModels:
    """Write networks that have every layer of a supernet, and what measures them elsewhere.

    The files have no weights: each is a constant, which runtimes fill in as they load them, and the networks take as
    long as real ones. So a directory has megabytes where it would have hundreds.

    Args:
        to: the directory; it must not be there, or be empty.
        supernet, layers: of the networks.
        progress: called between networks.

    Raises:
        UserError: the directory cannot be written.
    """
    to = to.resolve() if to.is_symlink() else to  # a link to an empty directory stays one
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise UserError(f"{to} is there already: name a directory that is not, or an empty one")
    space = supernet.family.space
    fitted = chosen(space, layers, {}, NETWORKS)
    codes = np.concatenate([fitted, mixed(space, JUDGES, rng.generator(0, "latency judges"))])
    archs, keys = space.architectures(codes), layer_keys(layers(codes))
    distinct, place = np.unique(keys.reshape(-1, len(FIELDS)), axis=0, return_inverse=True)
    place = place.reshape(keys.shape[:2])
    with room_on_disk(to):
        make_directory(to.parent)
        beside = Path(tempfile.mkdtemp(prefix=f".{to.name}.", dir=to.parent))
        try:
            networks = []
            for number, arch in enumerate(archs):
                progress(PHASE, number, len(archs))
                entry = write_model(beside, f"models/{number:03d}.onnx", bare(supernet, arch))
                present = place[number][keys[number, :, 0] >= 0].tolist()
                networks.append({**entry, "architecture": arch.text, "layers": present, "judge": number >= len(fitted)})
            manifest = {
                "kind": KIND, "format": FORMAT, "supernet": supernet.family.name, "fields": list(FIELDS),
                "keys": distinct.tolist(), "reference": write_model(beside, "reference.onnx", reference_network()),
                "networks": networks,
            }  # fmt: skip
            (beside / "networks.json").write_text(json.dumps(manifest), encoding="utf-8")
            here = resources.files("naturalize.latency")
            for source in (*(here / "elsewhere" / name for name in SCRIPTS), here / "clock.py"):
                (beside / source.name).write_bytes(source.read_bytes())
            without_page = add_page(beside, progress)
            beside.chmod(0o755)
            if to.exists():
                to.rmdir()
            beside.rename(to)
        except BaseException:
            shutil.rmtree(beside, ignore_errors=True)
            raise
    files = [path for path in to.rglob("*") if path.is_file()]
    return LatencyModels(to, len(archs), sum(path.stat().st_size for path in files), without_page)


def add_page(directory: Path, progress: Progress) -> str:
    """Write the page and its runtime, which is fetched once; why that failed, in words, or nothing."""
    try:
        archive = fetched(WEB, WEB_SOURCES, progress)
    except UserError as error:
        return str(error)
    (directory / "ort").mkdir()
    with tarfile.open(archive) as packed:
        for name in WEB_FILES:
            member = packed.extractfile(f"package/dist/{name}")
            assert member is not None
            (directory / "ort" / name).write_bytes(member.read())
    for name in PAGE:
        source = resources.files("naturalize.latency.elsewhere").joinpath(name)
        (directory / name).write_bytes(source.read_bytes())
    return ""


def write_model(directory: Path, file: str, network: Network) -> dict[str, Any]:
    """Write a network without its weights. Returns its file and the shape of a picture, as they stand in a manifest."""
    path = directory / file
    path.parent.mkdir(exist_ok=True)
    even_out(network.subnet)
    content = FORMATS["onnx"].files(network, path.name, Asked())[path.name]
    path.write_bytes(hollow(content))
    return {"file": file, "shape": list(network.shape)}


@torch.no_grad()
def even_out(subnet: nn.Module) -> None:
    """Let every filter be the mean of what it reads: activations stay as large as pixels, so that none slows a CPU."""
    for module in subnet.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.weight.fill_(1.0 / module.weight[0].numel())
            if module.bias is not None:
                module.bias.fill_(0.01)
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()


def hollow(content: bytes) -> bytes:
    """An ONNX file whose even weights are operators that make them, as runtimes do once, when they load it."""
    model = onnx.load_from_string(content)
    kept, nodes = [], []
    for weight in model.graph.initializer:
        values = numpy_helper.to_array(weight)
        if values.size < SMALL or np.ptp(values) > 0:
            kept.append(weight)
            continue
        shape = f"{weight.name}.shape"
        kept.append(numpy_helper.from_array(np.array(values.shape, np.int64), shape))
        value = helper.make_tensor("value", TensorProto.FLOAT, [1], [float(values.flat[0])])
        nodes.append(helper.make_node("ConstantOfShape", [shape], [weight.name], value=value))
    nodes.extend(model.graph.node)
    del model.graph.initializer[:], model.graph.node[:]
    model.graph.initializer.extend(kept)
    model.graph.node.extend(nodes)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString(deterministic=True)
