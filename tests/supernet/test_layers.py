"""The layer table and exact counts, against published figures and built networks."""

import csv
import json

import numpy as np
import pytest

from naturalize.space import Architecture
from naturalize.supernet import FAMILIES, Counter, Supernet, layers_of, make_family, resolutions_for
from naturalize.supernet.layers import LayerTable
from naturalize.tasks import Classification


def whole_layers(family, classes, channels=3):
    task = Classification(classes)
    return layers_of(family, lambda codes: task.layers(family, codes), channels)


@pytest.fixture(scope="module")
def published(published_data):
    with (published_data / "ofa-mbv3-w1.0-imagenet.csv").open() as file:
        return list(csv.DictReader(file))


def test_all_published_strings_round_trip(published):
    space = make_family("ofa-mbv3-w1.0", 224).space
    texts = [row["architecture"] for row in published]
    assert len(texts) == 1336
    assert space.strings(space.codes([space.parse(text) for text in texts])) == texts


@pytest.mark.parametrize("count", ["madds", "params"])
def test_counts_equal_the_published_ones_to_the_unit(published, count):
    family = make_family("ofa-mbv3-w1.0", 224)
    rows = [row for row in published if row[count]]
    assert rows
    codes = family.space.codes([family.space.parse(row["architecture"]) for row in rows])
    codes[:, 0] = family.resolutions.index(224)
    counter = Counter(family.space, whole_layers(family, 1000), getattr(LayerTable, count))
    assert counter(codes).tolist() == [int(row[count]) for row in rows]


def nat_code(family, network):
    """Codes of a published NAT network: resolution, width by its stem, kernels and expansions of present layers."""
    width = network["width"]
    if width is None:
        width = {16: 1.0, 24: 1.2}[network["first_conv_out"]]
    code = [family.resolutions.index(network["resolution"]), family.widths.index(width)]
    kernels, expansions = iter(network["kernel"]), iter(network["expand"])
    for stage, depth in zip(family.stages, network["depth"], strict=True):
        for position in range(stage.blocks):
            if position < depth:
                kernel = family.kernels.index(next(kernels))
                code.append(1 + kernel + 3 * family.expansions.index(next(expansions)))
            else:
                code.append(0)
    return code


def test_the_published_nat_networks_are_architectures_of_the_space(published_data):
    family = make_family("ofa-mbv3", 224)
    networks = json.loads((published_data / "nat-subnets.json").read_text())
    networks = networks["networks"] if isinstance(networks, dict) else networks
    assert len(networks) == 14
    for network in networks:
        (arch,) = family.space.architectures(np.array([nat_code(family, network)]))
        assert family.space.parse(arch.text) == arch
        madds = whole_layers(family, network["classes"])(np.array([arch.code])).madds().sum() / 1e6
        assert madds - 0.5 <= network["reported_madds_m"] <= 1.03 * madds + 0.5  # reported by another, rounder counter


def test_nat_m1_is_the_published_string():
    space = make_family("ofa-mbv3", 224).space
    arch = space.parse("08011001440551052208877")
    assert arch.code[:2] == (8, 0)
    assert isinstance(arch, Architecture)


@pytest.mark.parametrize(
    ("name", "side"),
    [
        ("ofa-mbv3", 224),
        ("ofa-mbv3-w1.2", 224),
        ("ofa-proxyless-w1.3", 224),
        ("ofa-resnet50", 224),
        ("efficientnet-lite0", 128),
        ("mini", 8),
        ("mini", 32),
    ],
)
def test_counting_by_look_up_equals_the_sum_over_the_table(name, side, rng):
    family = make_family(name, side)
    layers = whole_layers(family, 7, channels=1)
    codes = np.concatenate([family.space.sample(200, rng), family.space.corners()])
    for count in (LayerTable.madds, LayerTable.params):
        np.testing.assert_array_equal(Counter(family.space, layers, count)(codes), count(layers(codes)).sum(axis=1))


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_params_equal_those_of_the_extracted_network(name, rng):
    family = make_family(name, 32)
    task = Classification(5)
    supernet = Supernet(family, {"default": task.heads(family)}, [0.0] * 3, [1.0] * 3)
    codes = family.space.sample(4, rng)
    counts = Counter(family.space, whole_layers(family, 5), LayerTable.params)(codes)
    built = [sum(p.numel() for p in supernet.extract(a).parameters()) for a in family.space.architectures(codes)]
    assert counts.tolist() == built


@pytest.mark.parametrize("name", ["mini", "ofa-proxyless-w1.3", "ofa-resnet50", "efficientnet-lite0"])
def test_madds_and_activations_equal_those_seen_by_hooks_in_the_extracted_network(name, rng):
    import torch

    family = make_family(name, 32)
    task = Classification(5)
    supernet = Supernet(family, {"default": task.heads(family)}, [0.0] * 3, [1.0] * 3).eval()
    counter, activations = (
        Counter(family.space, whole_layers(family, 5), count) for count in (LayerTable.madds, LayerTable.activations)
    )
    for arch in family.space.architectures(family.space.sample(4, rng)):
        seen, put_out = [], []

        def count(module, inputs, output, seen=seen, put_out=put_out):
            seen.append(module.weight.numel() * (output[0, 0].numel() if output.ndim == 4 else 1))
            put_out.append(output[0].numel())

        network = supernet.extract(arch)
        for module in network.modules():
            if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
                module.register_forward_hook(count)
        side = family.resolutions[arch.code[0]]
        network(torch.zeros(1, 3, side, side))
        assert counter(np.array([arch.code])).tolist() == [sum(seen)]
        assert activations(np.array([arch.code])).tolist() == [sum(put_out)]


def test_mini_is_as_small_and_as_rich_as_it_has_to_be():
    family = make_family("mini", 32)
    smallest, largest = Counter(family.space, whole_layers(family, 10), LayerTable.madds)(family.space.corners())
    assert largest <= 12e6
    assert smallest * 8 <= largest
    assert family.space.size >= 1e8
    assert min(stage.min_depth for stage in family.stages) in (1, 2)


@pytest.mark.parametrize(
    ("side", "resolutions"),
    [
        (8, (8, 12, 16, 20, 24)),
        (28, (16, 20, 24, 28)),
        (32, (20, 24, 28, 32)),
        (64, (28, 32, 36, 40)),
        (1, (8, 12, 16, 20, 24)),
    ],
)
def test_T14_resolutions_follow_the_data(side, resolutions):
    assert resolutions_for(side) == resolutions
