"""A head that reads two feature maps, in the supernet, in plain networks and in ONNX files: only tests know of it."""

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from naturalize.exporting import onnx_file
from naturalize.exporting.network import Network
from naturalize.supernet import FAMILIES, Supernet, channels_by_scale, make_family, subnet


class PlainTwoScales(nn.Module):
    """The means of the last two maps, side by side, to numbers."""

    def __init__(self, cin: list[int], classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(sum(cin), classes)

    def forward(self, maps):
        return self.linear(torch.cat([each.mean((2, 3)) for each in maps[-2:]], 1))


class TwoScales(nn.Module):
    """Its elastic twin: of each map the first channels' columns."""

    def __init__(self, cin: list[int], classes: int) -> None:
        super().__init__()
        self.cin = cin
        self.linear = nn.Linear(sum(cin), classes)

    def weight(self, channels):
        first, second = self.linear.weight.split(self.cin, 1)
        return torch.cat([first[:, : channels[-2]], second[:, : channels[-1]]], 1)

    def forward(self, features, arch):
        seen = torch.cat([each.mean((2, 3)) for each in features[-2:]], 1)
        return nn.functional.linear(seen, self.weight([each.shape[1] for each in features]), self.linear.bias)

    def extract(self, plain, arch):
        plain.linear.weight = nn.Parameter(self.weight(plain.cin).detach().clone())
        plain.linear.bias = nn.Parameter(self.linear.bias.detach().clone())

    def spec(self, channels):
        return {"kind": "two scales", "cin": list(channels[-2:]), "classes": self.linear.out_features}


@pytest.fixture(autouse=True)
def known(monkeypatch):
    class Remembering(PlainTwoScales):
        def __init__(self, cin, classes):
            super().__init__(cin, classes)
            self.cin = cin

    def write(module, graph, maps, name):
        means = [
            graph.node("Flatten", [graph.node("GlobalAveragePool", [each], f"mean.{place}")], f"flat.{place}")
            for place, each in enumerate(maps[-2:])
        ]
        return onnx_file.write(module.linear, graph, graph.node("Concat", means, "both", axis=1), name)

    onnx_file.write.register(Remembering, write)
    monkeypatch.setitem(subnet.HEADS, "two scales", Remembering)


def two_scales(name):
    torch.manual_seed(0)
    family = make_family(name, 64)
    heads = {}
    for body in family.bodies:
        (largest,) = family.space.architectures(family.in_body(family.space.corners()[1:], body))
        scales = [[layer.spec for layer in scale] for scale in family.present(largest, 3)]
        heads[body] = TwoScales(channels_by_scale(scales)[-2:], 5)
    return Supernet(family, {"default": heads}, [100.0] * 3, [50.0] * 3).eval()


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_channels_of_each_scale_are_those_of_its_feature_map(name, rng):
    family = make_family(name, 64)
    codes = family.space.sample(20, rng)
    maps = family.maps(codes)
    for row, arch in enumerate(family.space.architectures(codes)):
        scales = [[layer.spec for layer in scale] for scale in family.present(arch, 3)]
        assert channels_by_scale(scales) == [each.channels[row] for each in maps]


@pytest.mark.parametrize("name", ["mini", "efficientnet-lite0", "ofa-resnet50"])
def test_plain_networks_and_files_give_what_the_supernet_gives(name, rng, tmp_path):
    supernet = two_scales(name)
    pixels = rng.integers(0, 256, (2, 3, 64, 64)).astype(np.uint8)
    for arch in supernet.family.space.architectures(supernet.family.space.sample(3, rng)):
        with torch.no_grad():
            expected = supernet(supernet.normalize(torch.from_numpy(pixels)), arch)
            network = supernet.extract(arch).eval()
            torch.testing.assert_close(network(torch.from_numpy(pixels)), expected, rtol=1e-4, atol=1e-4)
        assert len(network.features(torch.zeros(1, 3, 64, 64))) == len(network.scales)
        card = {"resolution": 64, "class_names": list("abcde"), "preprocessing": {}}
        content = onnx_file.onnx_bytes(Network(network, card), 13)
        session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
        (logits,) = session.run(None, {"pixels": pixels})
        np.testing.assert_allclose(logits, expected.numpy(), rtol=1e-3, atol=1e-3)


def test_a_spec_without_scales_has_one_map():
    supernet = two_scales("mini")
    network = supernet.extract(supernet.family.space.largest)
    spec = {key: value for key, value in network.spec.items() if key != "scales"}
    spec["head"] = {"kind": "classification", "cin": spec["head"]["cin"][-1], "mixed": 0, "classes": 5}
    assert len(subnet.Subnet(spec).features(torch.zeros(1, 3, 20, 20))) == 1
