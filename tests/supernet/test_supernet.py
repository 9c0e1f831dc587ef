"""Elastic networks: the two verbs agree, nothing is active, bodies are picked by width."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from naturalize.supernet import FAMILIES, Supernet, make_family
from naturalize.supernet.blocks import ElasticInvertedResidual
from naturalize.supernet.family import Opened
from naturalize.supernet.operators import ElasticConvNorm
from naturalize.tasks import Classification


def make_supernet(name, classes=6, channels=3, side=32):
    torch.manual_seed(0)
    family = make_family(name, side)
    task = Classification(classes)
    supernet = Supernet(family, {"default": task.heads(family)}, [120.0] * channels, [60.0] * channels)
    with torch.no_grad():  # maps, statistics and norms that are not their neutral starting values
        for parameter_name, parameter in supernet.named_parameters():
            if any(part in parameter_name for part in (".maps.", ".offsets.", "shifts", "gamma", "beta")):
                parameter.add_(0.1 * torch.randn_like(parameter))
        for buffer_name, buffer in supernet.named_buffers():
            if "running" in buffer_name:
                buffer.add_(0.2 * torch.rand_like(buffer))
    return supernet


MINI = make_supernet("mini")


def outputs(supernet, arch, pixels):
    with torch.no_grad():
        return supernet(supernet.normalize(pixels), arch), supernet.extract(arch)(pixels)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_extract_equals_forward_for_random_architectures(seed, training):
    space = MINI.family.space
    (arch,) = space.architectures(space.sample(1, np.random.default_rng(seed)))
    side = MINI.family.resolutions[arch.code[0]]
    pixels = torch.randint(0, 256, (4, 3, side, side), generator=torch.Generator().manual_seed(seed % 1000))
    shared, plain = outputs(MINI.train(training), arch, pixels)
    torch.testing.assert_close(plain, shared, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", [name for name in sorted(FAMILIES) if name != "mini"])
def test_extract_equals_forward_in_every_family(name, rng):
    supernet = make_supernet(name, channels=1)
    family = supernet.family
    codes = np.concatenate([family.space.corners(), family.space.sample(4, rng)])
    codes = np.concatenate([family.in_body(codes, body) for body in family.bodies])
    for number, arch in enumerate(family.space.architectures(codes)):
        side = (64, 72, 75)[number % 3]
        for training in (False, True):
            shared, plain = outputs(supernet.train(training), arch, torch.randint(0, 256, (4, 1, side, side)))
            torch.testing.assert_close(plain, shared, atol=1e-5 * float(shared.abs().max()), rtol=1e-5)


def test_smaller_kernels_are_the_mapped_centre_of_larger_ones():
    conv = MINI.bodies["0"].layers[1].depthwise
    centre = conv.weight[:, :, 1:4, 1:4].reshape(-1, 9)
    expected = (centre @ conv.maps["5to3"].T).reshape(-1, 1, 3, 3)
    channels = conv.weight.shape[0]
    torch.testing.assert_close(conv.slice(channels, channels, 3).weight, expected)
    torch.testing.assert_close(conv.slice(channels, channels, 5).weight, conv.weight)


def test_weights_without_offsets_are_taken_as_they_are(rng):
    family = make_family("efficientnet-lite0", 64)
    supernet = make_supernet("efficientnet-lite0", side=64).eval()
    saved = supernet.state_dict()
    old = {name: tensor for name, tensor in saved.items() if ".offsets." not in name and "shifts" not in name}
    old |= {name: tensor[-1:] for name, tensor in old.items() if "expand.mean_shift" in name or "expand.var_f" in name}
    plain = make_supernet("efficientnet-lite0", side=64).eval()
    plain.load_state_dict(old)
    for operator in plain.modules():
        if isinstance(operator, ElasticConvNorm):
            assert all(not offset.any() for offset in operator.offsets)
    largest, pixels = family.space.largest, torch.randint(0, 256, (2, 3, 64, 64))
    torch.testing.assert_close(plain.extract(largest)(pixels), supernet.extract(largest)(pixels))


def test_offsets_of_fewer_channels_begin_anew_where_these_are_others():
    supernet = make_supernet("efficientnet-lite0", side=64)
    project = next(m for m in supernet.modules() if isinstance(m, ElasticInvertedResidual) and m.expand).project
    assert project.offsets[0].any()
    supernet.sort_channels()
    channels = project.offsets[0].shape[1]
    part = project.slice(channels, len(project.weight), 1, 0).weight
    torch.testing.assert_close(part, project.weight[:, :channels])


def test_an_architecture_trains_only_what_it_uses(rng):
    supernet = make_supernet("mini").train()
    smallest = supernet.family.space.architectures(supernet.family.space.corners())[0]
    supernet(torch.randn(4, 3, 20, 20), smallest).sum().backward()
    layers = supernet.bodies["0"].layers
    assert layers[2].expand.weight.grad is None
    used = smallest.code[2]
    assert used == 1
    grad = layers[1].expand.weight.grad
    assert grad[32:].abs().sum() == 0
    assert grad[:32].abs().sum() > 0


def test_width_picks_the_body_and_the_other_gets_no_gradient(rng):
    supernet = make_supernet("ofa-mbv3").train()
    codes = supernet.family.space.corners()[:1]
    codes[:, 1] = 1
    (arch,) = supernet.family.space.architectures(codes)
    supernet(torch.randn(2, 3, 64, 64), arch).sum().backward()
    assert all(p.grad is None for p in supernet.bodies["0"].parameters())
    assert supernet.bodies["1"].layers[0].weight.grad is not None


def test_training_never_writes_the_supernets_statistics():
    supernet = make_supernet("mini").train()
    before = {name: buffer.clone() for name, buffer in supernet.named_buffers()}
    arch = supernet.family.space.architectures(supernet.family.space.corners())[1]
    supernet(torch.randn(4, 3, 32, 32), arch)
    for name, buffer in supernet.named_buffers():
        assert torch.equal(buffer, before[name]), name


def test_fixed_width_spaces_keep_the_published_strings():
    for name, width in (("ofa-mbv3-w1.0", 0), ("ofa-mbv3-w1.2", 1)):
        space = make_family(name, 224).space
        assert {row[1] for row in space.corners().tolist()} == {width}
        assert len(space.strings(space.corners())[0]) == 23
        assert space.free == 21


def test_bf16_mixed_precision_takes_architectures_through_fabric(rng):
    from lightning_fabric import Fabric

    fabric = Fabric(accelerator="cpu", devices=1, precision="bf16-mixed")
    supernet = make_supernet("mini")
    wrapped = fabric.setup(supernet)
    arch = supernet.family.space.architectures(supernet.family.space.sample(1, rng))[0]
    assert wrapped(torch.randn(4, 3, 20, 20), arch).shape == (4, 6)


@pytest.mark.parametrize("classes", [2, 10, 1000])
def test_T05_any_number_of_classes(classes):
    supernet = make_supernet("mini", classes=classes)
    arch = supernet.family.space.architectures(supernet.family.space.corners())[0]
    assert supernet.extract(arch).eval()(torch.zeros(2, 3, 20, 20)).shape == (2, classes)


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_sorted_channels_leave_the_largest_networks_as_they_were(name):
    supernet = make_supernet(name).eval()
    family = supernet.family
    codes = np.concatenate([family.in_body(family.space.corners()[1:], body) for body in family.bodies])
    archs = family.space.architectures(codes)
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        before = [supernet(images, arch) for arch in archs]
        changed = supernet(images, family.space.architectures(family.space.corners())[0])
    supernet.sort_channels()
    with torch.inference_mode():
        for logits, arch in zip(before, archs, strict=True):
            torch.testing.assert_close(supernet(images, arch), logits, atol=1e-4 * float(logits.abs().max()), rtol=1e-4)
        smallest = supernet(images, family.space.architectures(family.space.corners())[0])
    assert not torch.allclose(smallest, changed, rtol=1e-2), "nothing was sorted"
    for block in supernet.modules():
        if isinstance(block, ElasticInvertedResidual) and block.expand is not None:
            assert (block.project.weight.abs().sum((0, 2, 3)).diff() <= 1e-6).all()


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_opened_options_are_counted_from_the_largest(name, rng):
    family = make_family(name, 32)
    space, most = family.space, family.options
    largest = space.corners()[1]
    shut = family.sample_opened(50, rng, Opened())
    assert space.is_valid(shut).all()
    layers = largest == space.upper
    layers[0] = False  # the resolution is always open
    if len(family.bodies) > 1:
        layers[1] = False
    assert (shut[:, layers] == largest[layers]).all()
    for opened in (replace(Opened(), kernels=most.kernels), replace(most, expansions=1), most):
        codes = family.sample_opened(2000, rng, opened)
        assert space.is_valid(codes).all()
    assert (codes.min(axis=0) == space.lower).all()
    assert (codes.max(axis=0) == space.upper).all()
