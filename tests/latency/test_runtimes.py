"""Runtimes that networks are timed in: each where it is installed, and a line where it is not."""

import importlib.util
import sys

import numpy as np
import pytest
import torch

import naturalize
from naturalize.errors import UserError
from naturalize.latency.bench import Bench
from naturalize.latency.making import make_model
from naturalize.latency.runtimes import RUNTIMES
from naturalize.latency.setting import NAMES, Setting, parse_setting
from naturalize.latency.store import Store
from naturalize.objectives.exact import whole_layers
from naturalize.supernet import Supernet, make_family
from naturalize.tasks import Classification

LIBRARIES = {
    "openvino": ["openvino"],
    "ncnn": ["ncnn", "pnnx"],
    "executorch": ["executorch"],
    "litert": ["litert_torch"],
}
SLOW = ("executorch", "litert")  # to make a file of a network


def here(name: str):
    missing = [module for module in LIBRARIES[name] if importlib.util.find_spec(module) is None]
    return pytest.mark.skipif(bool(missing), reason=f"{', '.join(missing)} is not installed")


EACH = [pytest.param(name, marks=[here(name), *([pytest.mark.slow] if name in SLOW else [])]) for name in LIBRARIES]


@pytest.fixture(scope="module")
def supernet():
    family = make_family("mini", 32)
    heads = {"default": Classification(10).heads(family)}
    return Supernet(family, heads, [0.0] * 3, [1.0] * 3).eval()


def test_every_runtime_has_a_name_and_every_name_a_runtime():
    assert set(NAMES) == set(RUNTIMES)


@pytest.mark.parametrize("name", EACH)
def test_a_runtime_runs_the_largest_network_longer_than_the_smallest(supernet, name):
    space = supernet.family.space
    with Bench(supernet, Setting(name)) as bench:
        ratios = bench.medians(space.architectures(space.corners()))
    assert ratios[1] > 1.5 * ratios[0] > 0
    assert ratios[1] == pytest.approx(1.0, abs=0.5)  # the reference is such a network


@pytest.mark.parametrize("name", [param for param in EACH if param.values[0] not in ("ncnn", "executorch")])
def test_more_pictures_at_once_take_longer(supernet, name):
    one, eight = (timed(supernet, Setting(name, batch=batch)) for batch in (1, 8))
    assert eight > 2 * one


def timed(supernet, setting):
    with Bench(supernet, setting) as bench:
        return bench.reference_s()


@here("openvino")
def test_a_latency_model_of_another_runtime(supernet, tmp_path):
    setting, space = Setting("openvino"), supernet.family.space
    layers = whole_layers(supernet.family, Classification(10), 3)
    with Bench(supernet, setting) as bench:
        store = Store(setting, tmp_path)
        model, judged = make_model(bench, space, layers, store, 4.0)
    assert store.machine["version"].startswith("openvino ")
    assert store.path.name.startswith("openvino-")
    assert judged.networks >= 8
    assert judged.median_error < 60
    assert model.constant >= 0


@pytest.mark.parametrize(
    ("name", "module", "extra"),
    [
        ("openvino", "openvino", "openvino"),
        ("ncnn", "ncnn", "ncnn"),
        ("ncnn", "pnnx", "ncnn"),
        ("executorch", "executorch.version", "executorch"),
        ("litert", "litert_torch", "litert"),
    ],
)
def test_a_runtime_that_is_not_installed_is_told_before_a_transfer_does_anything(
    tmp_path, monkeypatch, name, module, extra
):
    monkeypatch.setitem(sys.modules, module, None)
    images = np.zeros((8, 8, 8), np.uint8)
    with pytest.raises(
        UserError, match=rf"^{module.partition('.')[0]} is not installed .*: pip install 'naturalize\[{extra}\]'$"
    ):
        naturalize.transfer((images, np.arange(8) % 2), tmp_path / "run", objectives=("error", f"latency:{name}"))
    with pytest.raises(UserError, match=rf"naturalize\[{extra}\]"):
        naturalize.transfer((images, np.arange(8) % 2), tmp_path / "run", require=f"latency:{name}<4ms")
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_told_in_a_line(tmp_path):
    images = np.zeros((8, 8, 8), np.uint8)
    with pytest.raises(UserError, match=r"^latency:cuda needs an NVIDIA GPU, and torch .* sees none$"):
        naturalize.transfer((images, np.arange(8) % 2), tmp_path / "run", objectives=("error", "latency:cuda"))
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_networks_are_timed_as_graphs_of_a_gpu(supernet):
    space = supernet.family.space
    with Bench(supernet, parse_setting("cuda,batch=64")) as bench:
        ratios = bench.medians(space.architectures(space.corners()))
    assert 0 < ratios[0] < ratios[1]
