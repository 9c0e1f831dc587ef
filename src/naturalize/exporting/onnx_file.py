"""ONNX: one file with the normalisation inside, pixels 0..255 in, logits out, the card in its metadata.

The graph is written from the modules of `subnet.py`, in the order of their `forward`, rather than by `torch.onnx`. Its
current exporter cannot write opset 17 or older for these networks, takes seconds, prints warnings and leaves paths of
the exporting machine in the file; its older one is deprecated. A dozen operators need neither, and the same network
gives the same bytes under every version of torch. `export` runs each file that is written, to show that it is right.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import singledispatch
from importlib import resources
from itertools import islice
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from naturalize.errors import UserError
from naturalize.exporting.network import Asked, Network
from naturalize.supernet import subnet as plain
from naturalize.version import __version__

PIXELS, LOGITS = "pixels", "logits"
CARD, CLASS_NAMES, PREPROCESSING = "naturalize", "class_names", "preprocessing"

# The oldest onnxruntime that runs each opset (onnxruntime.ai/docs/reference/compatibility.html).
RUNTIMES = {13: "1.7", 14: "1.8", 15: "1.9", 16: "1.11", 17: "1.12"}
OPSET = 13
IR_VERSION = 7  # that of opset 13; later ones add nothing that these graphs use


def onnx_files(network: Network, name: str, asked: Asked) -> dict[str, bytes]:
    """The ONNX file, and a program that classifies pictures with it and without naturalize, by file name."""
    example = resources.files("naturalize.exporting").joinpath("example.py").read_bytes()
    return {name: onnx_bytes(network, checked(asked.opset)), name.removesuffix(".onnx") + "_example.py": example}


def onnx_needs(opset: int | None) -> str:
    """The requirements for running the file, in words."""
    return f"onnxruntime {RUNTIMES[checked(opset)]} or newer (opset {checked(opset)})"


def checked(opset: int | None) -> int:
    """The opset to write, `OPSET` unless told. Raises `UserError`."""
    if opset is not None and opset not in RUNTIMES:
        raise UserError(f"opset {opset} cannot be written: choose {min(RUNTIMES)} to {max(RUNTIMES)}")
    return opset or OPSET


def onnx_bytes(network: Network, opset: int) -> bytes:
    """The network as an ONNX file: uint8 `(batch, channels, r, r)` to float32 logits, any batch size."""
    card = network.card
    graph = Graph(opset)
    write(network.subnet, graph, PIXELS, LOGITS)
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "naturalize",
            [helper.make_tensor_value_info(PIXELS, TensorProto.UINT8, ["batch", *network.shape])],
            [helper.make_tensor_value_info(LOGITS, TensorProto.FLOAT, ["batch", *network.output])],
            graph.weights,
        ),
        producer_name="naturalize",
        producer_version=__version__,
        ir_version=IR_VERSION,
        opset_imports=[helper.make_opsetid("", opset)],
    )
    values = {CARD: card, CLASS_NAMES: card["class_names"], PREPROCESSING: card["preprocessing"]}
    helper.set_model_props(model, {key: json.dumps(value, ensure_ascii=False) for key, value in values.items()})
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString(deterministic=True)


class Graph:
    """The nodes and weights of a graph, in the order in which they were added."""

    def __init__(self, opset: int) -> None:
        self.opset = opset
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def node(self, operator: str, inputs: Sequence[str], name: str, **attributes: Any) -> str:
        """Add an operator with one output. Returns the name of both."""
        self.nodes.append(helper.make_node(operator, inputs, [name], name, **attributes))
        return name

    def weight(self, value: Tensor, name: str) -> str:
        """Add a constant as float32. Returns its name."""
        array = value.detach().cpu().to(torch.float32).numpy()
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name


@singledispatch
def write(module: nn.Module, graph: Graph, x: Any, name: str) -> str:
    """Add a module that reads the tensor named `x`, its last node named `name`. Returns the name of its output.

    For a head, `x` is a list: the names of the feature maps by scale.

    A new kind of module or head needs one more registration below.
    """
    raise UserError(f"{type(module).__name__} has no ONNX form")


@write.register
def _(module: plain.Subnet, graph: Graph, x: str, name: str) -> str:
    x = write(module.normalize, graph, x, "normalize")
    maps, layers = [], enumerate(module.layers)
    for number in module.scales:
        for index, layer in islice(layers, number):
            x = write(layer, graph, x, f"layers.{index}")
        maps.append(x)
    return write(module.head, graph, maps, name)


@write.register
def _(module: plain.Normalize, graph: Graph, x: str, name: str) -> str:
    x = graph.node("Cast", [x], f"{name}.cast", to=TensorProto.FLOAT)
    x = graph.node("Sub", [x, graph.weight(module.mean, f"{name}.mean")], f"{name}.centred")
    return graph.node("Div", [x, graph.weight(module.std, f"{name}.std")], name)


@write.register
def _(module: plain.InvertedResidual, graph: Graph, x: str, name: str) -> str:
    y = write(module.expand, graph, x, f"{name}.expand")
    y = write(module.depthwise, graph, y, f"{name}.depthwise")
    y = write(module.squeeze_excite, graph, y, f"{name}.squeeze_excite")
    y = write(module.project, graph, y, f"{name}.project")
    return graph.node("Add", [x, y], name) if module.skip else y


@write.register
def _(module: plain.Bottleneck, graph: Graph, x: str, name: str) -> str:
    y = write(module.reduce, graph, x, f"{name}.reduce")
    y = write(module.conv, graph, y, f"{name}.conv")
    y = write(module.expand, graph, y, f"{name}.expand")
    x = write(module.pool, graph, x, f"{name}.pool")
    x = write(module.shortcut, graph, x, f"{name}.shortcut")
    return write(module.activation, graph, graph.node("Add", [x, y], f"{name}.sum"), name)


@write.register
def _(module: nn.AvgPool2d, graph: Graph, x: str, name: str) -> str:
    size = [module.kernel_size] * 2
    return graph.node("AveragePool", [x], name, kernel_shape=size, strides=size, ceil_mode=1)


@write.register
def _(module: plain.MaxPool, graph: Graph, x: str, name: str) -> str:
    return graph.node("MaxPool", [x], name, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])


@write.register
def _(module: plain.SqueezeExcite, graph: Graph, x: str, name: str) -> str:
    gate = graph.node("GlobalAveragePool", [x], f"{name}.mean")
    gate = write(module.reduce, graph, gate, f"{name}.reduce")
    gate = graph.node("Relu", [gate], f"{name}.relu")
    gate = write(module.expand, graph, gate, f"{name}.expand")
    gate = graph.node("HardSigmoid", [gate], f"{name}.gate", alpha=1 / 6, beta=0.5)
    return graph.node("Mul", [x, gate], name)


@write.register
def _(module: plain.ClassificationHead, graph: Graph, maps: list[str], name: str) -> str:
    x = graph.node("GlobalAveragePool", [maps[-1]], "head.mean")
    x = write(module.mix, graph, x, "head.mix")
    x = write(module.act, graph, x, "head.act")
    x = graph.node("Flatten", [x], "head.flat")
    return write(module.classifier, graph, x, name)


@write.register
def _(module: plain.SegmentationHead, graph: Graph, maps: list[str], name: str) -> str:
    *shallow, x = [maps[scale] for scale in module.scales]
    gate = write(module.gate, graph, graph.node("GlobalAveragePool", [x], "head.mean"), "head.gate")
    gate = graph.node("HardSigmoid", [gate], "head.gate.act", alpha=1 / 6, beta=0.5)
    x = graph.node("Relu", [write(module.mix, graph, x, "head.mix")], "head.act")
    x = graph.node("Mul", [x, gate], "head.gated")
    y = write(module.classifiers[-1], graph, x, f"head.classifiers.{len(shallow)}")
    for index in range(len(shallow) - 1, -1, -1):
        y = enlarged(graph, y, module.strides[index + 1] // module.strides[index], f"head.enlarged.{index}")
        low = write(module.classifiers[index], graph, shallow[index], f"head.classifiers.{index}")
        y = graph.node("Add", [y, low], f"head.sum.{index}")
    return enlarged(graph, y, module.strides[0], name)


def enlarged(graph: Graph, x: str, times: int, name: str) -> str:
    """Add an enlargement of both sides by a whole number, bilinearly, as `subnet.enlarged`."""
    scales = graph.weight(torch.tensor([1.0, 1.0, times, times]), f"{name}.scales")
    return graph.node("Resize", [x, "", scales], name, mode="linear", coordinate_transformation_mode="half_pixel")


@write.register
def _(module: plain.ConvNorm, graph: Graph, x: str, name: str) -> str:
    """Add a convolution with its batch norm folded in, in double precision, by the network's own statistics."""
    norm = module.norm.state_dict()
    scale = norm["weight"].double() / torch.sqrt(norm["running_var"].double() + module.norm.eps)
    bias = norm["bias"].double() - norm["running_mean"].double() * scale
    weight = module.conv.weight.double() * scale.view(-1, 1, 1, 1)
    y = convolution(module.conv, weight, bias, graph, x, f"{name}.conv", module.same)
    y = write(module.activation, graph, y, f"{name}.activation")
    return graph.node("Add", [x, y], name) if module.skip else y


@write.register
def _(module: nn.Conv2d, graph: Graph, x: str, name: str) -> str:
    return convolution(module, module.weight, module.bias, graph, x, name)


def convolution(
    conv: nn.Conv2d, weight: Tensor, bias: Tensor | None, graph: Graph, x: str, name: str, same: bool = False
) -> str:
    """Add a convolution with the geometry of `conv` and the weights given; `same` as in `subnet.ConvNorm`."""
    inputs = [x, graph.weight(weight, f"{name}.weight")]
    if bias is not None:
        inputs.append(graph.weight(bias, f"{name}.bias"))
    padding: dict[str, Any] = {"auto_pad": "SAME_UPPER"} if same else {"pads": (*conv.padding, *conv.padding)}
    return graph.node(
        "Conv", inputs, name, group=conv.groups, kernel_shape=conv.kernel_size, strides=conv.stride, **padding
    )


@write.register
def _(module: nn.Linear, graph: Graph, x: str, name: str) -> str:
    weights = [graph.weight(module.weight, f"{name}.weight"), graph.weight(module.bias, f"{name}.bias")]
    return graph.node("Gemm", [x, *weights], name, transB=1)


@write.register
def _(module: nn.ReLU, graph: Graph, x: str, name: str) -> str:
    return graph.node("Relu", [x], name)


@write.register
def _(module: nn.ReLU6, graph: Graph, x: str, name: str) -> str:
    limits = [graph.weight(torch.tensor(value), f"{name}.{value:g}") for value in (0.0, 6.0)]
    return graph.node("Clip", [x, *limits], name)


@write.register
def _(module: nn.Hardswish, graph: Graph, x: str, name: str) -> str:
    if graph.opset >= 14:
        return graph.node("HardSwish", [x], name)
    return graph.node("Mul", [x, graph.node("HardSigmoid", [x], f"{name}.gate", alpha=1 / 6, beta=0.5)], name)


@write.register
def _(module: nn.Identity, graph: Graph, x: str, name: str) -> str:
    return x
