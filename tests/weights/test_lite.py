"""EfficientNet-Lite0: the elastic one's largest subnet is the published network."""

from types import SimpleNamespace

import datasets
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from naturalize.errors import UserError
from naturalize.supernet import Supernet, make_family
from naturalize.tasks import Classification
from naturalize.weights import lite, published_supernet, transplant
from naturalize.weights.lite import CLASSES, MEAN, STD, lite0_file
from naturalize.weights.tensors import read_tensors

# kernel, stride of the first, expansion, channels, blocks: table 1 of Tan and Le, 2019
STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
DOGS_AND_CATS = range(151, 286)  # of ImageNet's classes


@torch.inference_mode()
def published_network(tensors, images):
    """The network written down once more, from its paper and its tensors alone: normalised images to logits."""

    def convolve(x, name, stride=1, groups=1):
        weight = tensors[f"{name}.weight"]
        kernel, side = weight.shape[-1], x.shape[-1]
        total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
        x = F.pad(x, (total // 2, total - total // 2) * 2)
        return F.conv2d(x, weight, stride=stride, groups=groups)

    def norm(x, name):
        found = [tensors[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
        return F.batch_norm(x, *found, eps=1e-3)

    x = norm(convolve(images, "_conv_stem", 2), "_bn0").clamp(0, 6)
    number, cin = 0, 32
    for kernel, first_stride, expansion, channels, blocks in STAGES:
        for position in range(blocks):
            name, y = f"_blocks.{number}", x
            stride = first_stride if position == 0 else 1
            if expansion > 1:
                y = norm(convolve(y, f"{name}._expand_conv"), f"{name}._bn0").clamp(0, 6)
            assert tensors[f"{name}._depthwise_conv.weight"].shape[-1] == kernel
            y = norm(convolve(y, f"{name}._depthwise_conv", stride, y.shape[1]), f"{name}._bn1").clamp(0, 6)
            y = norm(convolve(y, f"{name}._project_conv"), f"{name}._bn2")
            x = x + y if stride == 1 and cin == channels else y
            number, cin = number + 1, channels
    x = norm(convolve(x, "_conv_head"), "_bn1").clamp(0, 6)
    return F.linear(x.mean((2, 3)), tensors["_fc.weight"], tensors["_fc.bias"])


@pytest.fixture(scope="module")
def supernet():
    return published_supernet("efficientnet-lite0").eval()


@pytest.fixture(scope="module")
def pets(shared_data):
    """Photographs of 128 px, `(n, 3, 128, 128)` uint8."""
    table = datasets.load_dataset("parquet", data_files=str(shared_data / "oxford_pets-test.parquet"), split="train")
    pictures = [np.asarray(picture.convert("RGB").resize((128, 128))) for picture in table.select(range(48))["image"]]
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()


def largest_of(supernet):
    return supernet.family.space.architectures(supernet.family.space.corners())[1]


@pytest.mark.parametrize("side", [96, 127, 128, 224])
def test_the_largest_subnet_is_the_published_network(supernet, side):
    images = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(side))
    expected = published_network(read_tensors(lite0_file()), images)
    with torch.inference_mode():
        torch.testing.assert_close(supernet(images, largest_of(supernet)), expected, atol=1e-4, rtol=0)


def test_on_real_pictures_logits_agree_and_pets_are_seen_as_pets(supernet, pets):
    normalised = (pets.float() - MEAN[0]) / STD[0]
    expected = published_network(read_tensors(lite0_file()), normalised)
    with torch.inference_mode():
        logits = supernet.extract(largest_of(supernet))(pets)
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=0)
    assert np.isin(logits.argmax(1).numpy(), DOGS_AND_CATS).mean() > 0.85


@pytest.mark.parametrize("channels", [1, 3])
def test_grey_pictures_are_seen_as_their_replicas_in_colour(supernet, channels):
    family = make_family("efficientnet-lite0", 128)
    target = Supernet(family, {"default": Classification(5).heads(family)}, MEAN[:channels], STD[:channels]).eval()
    transplant(target, supernet)
    grey = torch.randint(0, 256, (2, 1, 96, 96))
    with torch.inference_mode():
        normal = supernet.normalize(grey.expand(-1, 3, -1, -1))
        expected = supernet.body(largest_of(supernet)).features(normal, largest_of(supernet))[-1]
        images = target.normalize(grey.expand(-1, channels, -1, -1))
        found = target.body(largest_of(target)).features(images, largest_of(target))[-1]
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    assert target.heads["default"]["0"].classifier.out_features == 5 != CLASSES


@pytest.mark.parametrize("damage", ["flipped", "gone"])
def test_C15_a_package_with_other_weights_is_refused(tmp_path, monkeypatch, damage):
    package = tmp_path / lite.PACKAGE
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").touch()
    content = bytearray(lite0_file().read_bytes())
    content[len(content) // 2] ^= 1
    if damage == "flipped":
        (package / "models" / lite.FILE).write_bytes(content)
    spec = SimpleNamespace(origin=str(package / "__init__.py"))
    monkeypatch.setattr(lite.importlib.util, "find_spec", lambda name: spec)
    with pytest.raises(UserError, match="missing or not the one that was published"):
        lite0_file()
