"""Errors of subnets are a pure function of weights, architecture and images. Row T12 of the cases."""

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score

from naturalize.objectives.error import Chosen, Error
from naturalize.supernet import Supernet, make_family
from naturalize.tasks import Classification
from naturalize.training.subnets import Subnets


class Pictures:
    """n pictures with a bright band where their label says; called as `data.Pixels` are."""

    views = 2

    def __init__(self, n, seed=0):
        self.labels = np.arange(n) % 3
        self.seed = seed
        self.asked = 0

    def __len__(self):
        return len(self.labels)

    def __call__(self, rows, resolution, view=0):
        self.asked += 1
        images = np.random.default_rng(self.seed + view).integers(0, 100, (len(self), 1, resolution, resolution))
        for place, label in enumerate(self.labels.tolist()):
            images[place, 0, label * 2 : label * 2 + 2] += 120
        return images[rows].astype(np.uint8)


@pytest.fixture
def supernet():
    torch.manual_seed(0)
    family = make_family("mini", 8)
    return Supernet(family, {"default": Classification(3).heads(family)}, [100.0], [60.0])


@pytest.fixture
def error(supernet):
    return Error(Subnets(supernet, Pictures(12), torch.device("cpu")), Classification(3), Pictures(20, seed=7))


def test_T12_measuring_A_then_B_then_A_gives_A_again_and_changes_nothing(supernet, error):
    before = {name: tensor.clone() for name, tensor in supernet.state_dict().items()}
    a, b = supernet.family.space.corners()[:, None]
    first, other, again = error.measure(a), error.measure(b), error.measure(a)
    assert first.values.tolist() == again.values.tolist()
    assert first.details == again.details
    assert error.measure(np.concatenate([b, a])).values.tolist() == [other.values[0], first.values[0]]
    for name, tensor in supernet.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_T12_networks_are_calibrated_on_training_pictures_and_answer_the_same_twice(supernet, error):
    arch = supernet.family.space.architectures(supernet.family.space.corners()[1:])[0]
    error.images.asked = 0
    one, two = error.subnets.of(arch), error.subnets.of(arch)
    assert error.images.asked == 0
    for (name, tensor), other in zip(one.state_dict().items(), two.state_dict().values(), strict=True):
        assert torch.equal(tensor, other), name
    assert not torch.equal(one.layers[0].norm.running_mean, torch.zeros_like(one.layers[0].norm.running_mean))


def test_D4_an_error_is_the_mean_over_views_of_the_share_of_wrong_answers(supernet, error):
    codes = supernet.family.space.corners()
    found = error.measure(codes)
    assert found.status == ["ok", "ok"]
    for value, detail, arch in zip(
        found.values, found.details, supernet.family.space.architectures(codes), strict=True
    ):
        network, side = error.subnets.of(arch).eval(), supernet.family.resolutions[arch.code[0]]
        wrong, answers = [0, 0], [[], []]
        for view in range(2):
            for row in range(20):  # one by one, unfolded
                with torch.no_grad():
                    logits = network(torch.from_numpy(error.images(np.array([row]), side, view)))
                wrong[view] += int(logits.argmax()) != error.images.labels[row]
                answers[view].append(int(logits.argmax()))
        assert value == pytest.approx(100 * sum(wrong) / 40)
        balanced = [100 - 100 * balanced_accuracy_score(error.images.labels, each) for each in answers]
        assert detail == {
            "wrong": wrong[0],
            "images": 20,
            "views": 2,
            "balanced": pytest.approx(balanced[0]),
            "balanced_views": pytest.approx(np.mean(balanced)),
        }


@pytest.mark.parametrize(
    "lacking",
    [
        torch.OutOfMemoryError("CUDA out of memory.\nand more"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 7 bytes."),
        RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried to allocate 7 bytes."),
        MemoryError("Unable to allocate 7 GiB"),
        MemoryError(),
    ],
)
def test_C12_what_there_is_no_memory_for_gets_a_status_and_no_value(supernet, error, monkeypatch, lacking):
    def fail(arch):
        raise lacking

    monkeypatch.setattr(error.subnets, "of", fail)
    found = error.measure(supernet.family.space.corners())
    assert [status.startswith("out of memory") for status in found.status] == [True] * 2
    assert "\n" not in found.status[0]
    assert np.isnan(found.values).all()


@pytest.mark.skipif(torch.cuda.is_available(), reason="about the allocator of CPUs")
def test_C12_so_it_is_known_from_what_torch_raises_here(supernet, error, monkeypatch):
    monkeypatch.setattr(error.subnets, "of", lambda arch: torch.empty(2**58))
    found = error.measure(supernet.family.space.corners()[:1])
    assert found.status[0].startswith("out of memory")


def test_C12_any_other_error_is_raised(supernet, error, monkeypatch):
    def fail(arch):
        raise RuntimeError("expected input to have 1 channels, but got 3 channels instead")

    monkeypatch.setattr(error.subnets, "of", fail)
    with pytest.raises(RuntimeError, match="3 channels"):
        error.measure(supernet.family.space.corners())


def test_chosen_images_are_a_part_of_the_others():
    whole = Pictures(20)
    part = Chosen(whole, np.array([3, 5, 8]), views=1)
    assert part.views == 1
    assert len(part) == 3
    assert part.labels.tolist() == whole.labels[[3, 5, 8]].tolist()
    assert np.array_equal(part(np.array([1, 2]), 8), whole(np.array([5, 8]), 8))
