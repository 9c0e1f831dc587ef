"""What a run can start from: a name, a file, another run."""

import numpy as np
import pytest
import torch
from file_server import Behaviour
from reference import activate, largest_alone, reference

import naturalize
from naturalize import options, schedule
from naturalize.errors import UserError
from naturalize.run import Settings
from naturalize.starting import starts_prepared
from naturalize.weights import family_of_file, file_supernet, has_published, published_supernet
from naturalize.weights.fetch import blob_id
from naturalize.weights.published import FILES, LARGEST, Published
from naturalize.weights.tensors import read_tensors

NAMES = ["ofa-mbv3-w1.0", "ofa-mbv3-w1.2", "ofa-proxyless-w1.3", "ofa-resnet50"]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A function from the name of a supernet to a file as its authors wrote it, with random weights."""
    directory = tmp_path_factory.mktemp("files")

    def file_of(name):
        path = directory / name
        if not path.exists():
            torch.save({"state_dict": reference(name).state_dict()}, path)
        return path

    return file_of


@pytest.mark.parametrize("name", NAMES)
def test_a_file_says_which_supernet_it_is(files, name):
    assert family_of_file(files(name)) == name
    supernet = file_supernet(files(name)).eval()
    theirs = reference(name)
    (arch,) = supernet.family.space.architectures(supernet.family.space.sample(1, np.random.default_rng(0)))
    activate(theirs, supernet.family, arch)
    images = torch.randn(2, 3, 128, 128)
    with torch.inference_mode():
        torch.testing.assert_close(supernet(images, arch), theirs(images), atol=1e-4, rtol=0)


def test_files_of_something_else_are_refused(tmp_path):
    torch.save({"state_dict": {"conv1.weight": torch.zeros(64, 3, 7, 7)}}, tmp_path / "other")
    with pytest.raises(UserError, match="no supernet that is known here"):
        file_supernet(tmp_path / "other")


def test_both_bodies_are_fetched_by_name(files, server, cache, monkeypatch):
    fetchable, sources = {}, {}
    for body, name in enumerate(("ofa-mbv3-w1.0", "ofa-mbv3-w1.2")):
        path = files(name)
        fetchable[body] = Published(name, "nets", blob_id(path), 1)
        sources[name] = (server(Behaviour(path.read_bytes())),)
    monkeypatch.setattr(Published, "sources", property(lambda file: sources[file.name]))
    monkeypatch.setitem(FILES, "ofa-mbv3", fetchable)
    supernet = published_supernet("ofa-mbv3").eval()
    family = supernet.family
    for body, name in enumerate(("ofa-mbv3-w1.0", "ofa-mbv3-w1.2")):
        (arch,) = family.space.architectures(family.in_body(family.space.corners()[1:], body))
        theirs = reference(name)
        images = torch.randn(1, 3, 96, 96)
        theirs.set_max_net()
        with torch.inference_mode():
            torch.testing.assert_close(supernet(images, arch), theirs(images), atol=1e-4, rtol=0)


def test_the_largest_network_alone_is_fetched_by_name(tmp_path, server, cache, monkeypatch):
    alone = largest_alone()
    path = tmp_path / "ofa_D4_E6_K7"
    torch.save({"state_dict": alone.state_dict()}, path)
    sources = (server(Behaviour(path.read_bytes())),)
    monkeypatch.setattr(Published, "sources", property(lambda file: sources))
    file = Published("ofa_D4_E6_K7", "checkpoints", blob_id(path), 1)
    monkeypatch.setitem(LARGEST, "ofa-d4-e6-k7", ("ofa-mbv3-w1.0", file))
    supernet = published_supernet("ofa-d4-e6-k7").eval()
    images = torch.randn(1, 3, 96, 96)
    with torch.inference_mode():
        torch.testing.assert_close(supernet(images, supernet.family.space.largest), alone(images), atol=1e-4, rtol=0)


def test_it_is_known_whether_the_subnets_of_the_weights_were_trained(files, tmp_path):
    def prepared(supernet, weights):
        return starts_prepared(Settings(data="photos", supernet=supernet, weights=weights), tmp_path)

    torch.save({"state_dict": largest_alone().state_dict()}, tmp_path / "largest")
    assert not prepared("mini", None)
    assert prepared("mini", "published")
    assert prepared("ofa-mbv3", "published")
    assert not prepared("efficientnet-lite0", "published")
    assert not prepared("ofa-mbv3-w1.0", "ofa-d4-e6-k7")
    assert not prepared("ofa-mbv3-w1.0", str(tmp_path / "largest"))
    assert all(prepared(name, str(files(name))) for name in NAMES)


def test_names_paths_and_what_is_neither(files, tmp_path):
    assert options.named_supernet(None, False) == ("auto", "published")
    assert options.named_supernet("mini", True) == ("mini", None)
    assert options.named_supernet("ofa-mbv3", False) == ("ofa-mbv3", "published")
    assert options.named_supernet("ofa-mbv3", True) == ("ofa-mbv3", None)
    path = files("ofa-resnet50")
    assert options.named_supernet(path, False) == ("ofa-resnet50", str(path))
    assert not has_published("ofa-resnet50")
    assert options.named_supernet("ofa-d4-e6-k7", False) == ("ofa-mbv3-w1.0", "ofa-d4-e6-k7")
    with pytest.raises(UserError, match="--scratch"):
        options.named_supernet("ofa-d4-e6-k7", True)
    with pytest.raises(UserError, match="--scratch"):
        options.named_supernet(path, True)
    with pytest.raises(UserError, match=r"unknown supernet.*did you mean ofa-mbv3"):
        options.named_supernet("ofa-mb3", False)


@pytest.fixture
def small(monkeypatch):
    """Fewer networks measured than by default, on one thread."""
    monkeypatch.setattr(schedule, "INITIAL", 24)
    monkeypatch.setattr(schedule, "NEW", 6)
    monkeypatch.setattr("naturalize.workbench.allowed_cpus", lambda: 1)


def bright(n, side, channels, classes=3):
    """Pictures of classes that differ in brightness."""
    labels = np.arange(n) % classes
    noise = np.random.default_rng(0).integers(0, 30, (n, side, side, channels))
    images = (40 + 60 * labels[:, None, None, None] + noise).astype(np.uint8)
    return images if channels == 3 else images[..., 0], labels


@pytest.mark.usefixtures("small")
def test_a_run_starts_from_another_ones_supernet_and_architectures(tmp_path):
    first = naturalize.transfer(bright(60, 8, 1), tmp_path / "first", iterations=1, epochs=2, listeners=())
    second = naturalize.transfer(
        bright(60, 32, 3, classes=4), tmp_path / "second", iterations=1, epochs=1,
        supernet=first.directory, archive=first.directory, listeners=(),
    )  # fmt: skip
    assert second.settings.supernet == "mini"
    assert second.family.resolutions != first.family.resolutions
    members = second.archive().members(0)
    layers = {str(arch)[1:] for arch in members}
    carried = {network.architecture[1:] for network in first.front()}
    assert carried <= layers
    assert len(second.class_names) == 4
    with pytest.raises(UserError, match="of mini, not of ofa-mbv3"):
        naturalize.transfer(
            bright(60, 8, 1), tmp_path / "third", iterations=1, supernet="ofa-mbv3", scratch=True,
            archive=first.directory, listeners=(),
        )  # fmt: skip


def test_the_supernet_is_chosen_by_the_size_of_the_pictures():
    for side, name in ((28, "mini"), (96, "efficientnet-lite0")):
        said = naturalize.check(bright(60, side, 3), listeners=())
        assert any(f"supernet {name} with its published weights" in line for line in said)


def test_C13_a_lack_of_memory_is_no_damaged_file(tmp_path, monkeypatch):
    def full(*arguments, **options):
        raise MemoryError

    (tmp_path / "weights.pt").write_bytes(b"")
    monkeypatch.setattr(torch, "load", full)
    with pytest.raises(MemoryError):
        read_tensors(tmp_path / "weights.pt")
