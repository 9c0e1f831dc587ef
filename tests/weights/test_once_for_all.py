"""Once-for-All checkpoints: the same logits as the package that published them, read and written."""

import numpy as np
import pytest
import torch
from reference import activate, largest_alone, networks, reference

from naturalize.errors import UserError
from naturalize.supernet import Supernet, make_family
from naturalize.tasks import Classification
from naturalize.weights.layouts import load_tensors, once_for_all
from naturalize.weights.tensors import read_tensors

NAMES = ["ofa-mbv3-w1.0", "ofa-mbv3-w1.2", "ofa-proxyless-w1.3", "ofa-resnet50"]
SIDES = (96, 128, 160)
TOLERANCE = 1e-4


def supernet_of(name, classes=1000):
    torch.manual_seed(1)
    family = make_family(name, 224)
    return Supernet(family, {"default": Classification(classes).heads(family)}, [0.0] * 3, [1.0] * 3).eval()


def load(supernet, path):
    (body,) = supernet.family.bodies
    load_tensors(supernet, read_tensors(path), once_for_all(supernet, body), path)


def older(name):
    """A key in the layout of older files."""
    for new, old in (
        (".conv.depth_conv", ".mobile_inverted_conv.depth_conv"),
        ("classifier.linear.", "classifier.linear.linear."),
    ):
        name = name.replace(new, old)
    for part in ("inverted_bottleneck", "point_linear"):
        name = name.replace(f".conv.{part}", f".mobile_inverted_conv.{part}")
    return name


@pytest.fixture(scope="module", params=NAMES)
def pair(request, tmp_path_factory):
    """The package's network, and ours with the weights of its file."""
    theirs = reference(request.param)
    path = tmp_path_factory.mktemp("files") / request.param
    torch.save({"state_dict": theirs.state_dict()}, path)
    ours = supernet_of(request.param)
    load(ours, path)
    return theirs, ours, path


@torch.inference_mode()
def largest_difference(theirs, ours, archs):
    largest = 0.0
    for number, arch in enumerate(archs):
        side = SIDES[number % len(SIDES)]
        images = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(number))
        activate(theirs, ours.family, arch)
        largest = max(largest, float((ours(images, arch) - theirs(images)).abs().max()))
    return largest


def test_logits_equal_the_packages_for_50_random_subnets(pair, rng):
    theirs, ours, _ = pair
    space = ours.family.space
    codes = np.concatenate([space.corners(), space.sample(48, rng)])
    assert largest_difference(theirs, ours, space.architectures(codes)) < TOLERANCE


def test_the_package_reads_what_is_written_in_its_layout(pair, rng, tmp_path):
    _, ours, _ = pair
    (body,) = ours.family.bodies
    changed = supernet_of(ours.family.name)
    with torch.no_grad():
        for parameter in changed.parameters():
            parameter.add_(0.01 * torch.randn_like(parameter))
    state = changed.state_dict()
    stored = {theirs: state[ours].clone() for ours, theirs in once_for_all(changed, body).items()}
    torch.save({"state_dict": stored}, tmp_path / "ours")
    theirs = reference(ours.family.name)
    theirs.load_state_dict(torch.load(tmp_path / "ours", weights_only=True)["state_dict"])
    space = ours.family.space
    assert largest_difference(theirs, changed, space.architectures(space.sample(6, rng))) < TOLERANCE


def test_files_of_the_older_layout_are_read(pair, tmp_path):
    theirs, ours, _ = pair
    torch.save({"state_dict": {older(key): value for key, value in theirs.state_dict().items()}}, tmp_path / "old")
    again = supernet_of(ours.family.name)
    load(again, tmp_path / "old")
    assert all(torch.equal(tensor, again.state_dict()[key]) for key, tensor in ours.state_dict().items())


def test_a_classifier_of_other_classes_stays_new(pair):
    _, ours, path = pair
    fresh, loaded = supernet_of(ours.family.name, classes=7), supernet_of(ours.family.name, classes=7)
    load(loaded, path)
    for key, tensor in loaded.state_dict().items():
        expected = fresh.state_dict()[key] if ".classifier." in key else ours.state_dict()[key]
        assert torch.equal(tensor, expected), key


class TestWhatDoesNotFit:
    """One line each, and the supernet stays as it was."""

    @pytest.fixture
    def good(self, pair):
        return dict(read_tensors(pair[2]))

    def refused(self, pair, tensors, tmp_path, *words):
        torch.save({"state_dict": tensors}, tmp_path / "file")
        supernet = supernet_of(pair[1].family.name)
        before = {key: tensor.clone() for key, tensor in supernet.state_dict().items()}
        with pytest.raises(UserError) as caught:
            load(supernet, tmp_path / "file")
        message = str(caught.value)
        assert "\n" not in message
        for word in words:
            assert word in message
        assert all(torch.equal(tensor, before[key]) for key, tensor in supernet.state_dict().items())

    def test_missing_and_extra_names(self, pair, good, tmp_path):
        gone = sorted(key for key in good if "running_mean" in key)[:7]
        self.refused(pair, {k: v for k, v in good.items() if k not in gone}, tmp_path, "lacks", "and 2 more")
        self.refused(pair, good | {"extra.weight": torch.zeros(1)}, tmp_path, "extra.weight", "too many")

    def test_wrong_shapes(self, pair, good, tmp_path):
        key = next(key for key in good if key.endswith("running_var"))
        self.refused(pair, good | {key: torch.ones(3)}, tmp_path, "running_var", "(3,)")

    def test_numbers_that_are_not_finite(self, pair, good, tmp_path):
        key = next(key for key in good if key.endswith("running_var"))
        self.refused(pair, good | {key: torch.full_like(good[key], torch.nan)}, tmp_path, "not finite")

    def test_another_family(self, pair, tmp_path):
        other = next(name for name in NAMES if name[:8] != pair[1].family.name[:8])
        self.refused(pair, reference(other).state_dict(), tmp_path, pair[1].family.name)


class Code:
    def __reduce__(self):
        return print, ("run",)


def test_a_file_with_code_is_refused_and_none_of_it_runs(tmp_path, capsys):
    torch.save({"state_dict": {"a": torch.zeros(1)}, "more": Code()}, tmp_path / "file")
    with pytest.raises(UserError, match="could run code"):
        read_tensors(tmp_path / "file")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_a_truncated_file(share, tmp_path):
    torch.save({"state_dict": {"a": torch.zeros(10_000)}}, tmp_path / "whole")
    content = (tmp_path / "whole").read_bytes()
    (tmp_path / "part").write_bytes(content[: int(share * len(content))])
    with pytest.raises(UserError, match="damaged, truncated"):
        read_tensors(tmp_path / "part")


@pytest.mark.parametrize("content", [torch.zeros(3), {"state_dict": {}}, {"a": 1}, [torch.zeros(3)]])
def test_files_without_weights_by_name(content, tmp_path):
    torch.save(content, tmp_path / "file")
    with pytest.raises(UserError, match="no weights by name"):
        read_tensors(tmp_path / "file")


def test_no_file(tmp_path):
    with pytest.raises(UserError, match="no file of weights"):
        read_tensors(tmp_path / "none")


@pytest.mark.parametrize("rename", [str, older])
def test_the_largest_network_alone_gives_the_subnets_that_the_package_cuts_from_it(tmp_path, rename):
    alone = largest_alone()
    path = tmp_path / "ofa_D4_E6_K7"
    torch.save({"state_dict": {rename(key): tensor for key, tensor in alone.state_dict().items()}}, path)
    ours = supernet_of("ofa-mbv3-w1.0")
    load(ours, path)
    theirs = networks().OFAMobileNetV3(
        dropout_rate=0, ks_list=[3, 5, 7], expand_ratio_list=[3, 4, 6], depth_list=[2, 3, 4]
    ).eval()  # fmt: skip
    theirs.load_state_dict(torch.load(path, weights_only=True)["state_dict"])
    space = ours.family.space
    archs = space.architectures(np.concatenate([space.corners(), space.sample(10, np.random.default_rng(0))]))
    assert largest_difference(theirs, ours, archs) < TOLERANCE
    images = torch.randn(2, 3, 128, 128)
    with torch.inference_mode():
        torch.testing.assert_close(ours(images, space.largest), alone(images), atol=TOLERANCE, rtol=0)
