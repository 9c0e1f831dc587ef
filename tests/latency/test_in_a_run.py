"""Latency as an objective of a transfer: modelled for the search, kept by the run, measured on the front."""

import json

import numpy as np
import pytest

import naturalize
from naturalize import workbench
from naturalize.latency.bench import Bench
from naturalize.latency.making import make_model
from naturalize.latency.setting import Setting
from naturalize.latency.store import Store
from naturalize.objectives.exact import whole_layers
from naturalize.objectives.latency import kept_model
from naturalize.supernet import Supernet, make_family
from naturalize.tasks import Classification


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A short transfer by error and latency, with a limit that the largest networks exceed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NATURALIZE_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(workbench, "MODEL_S", 4.0)
        labels = np.arange(48) % 3
        images = (40 + 80 * labels[:, None, None] + np.random.default_rng(0).integers(0, 30, (48, 8, 8))).astype(
            np.uint8
        )
        objectives = ("error", "latency:cpu,threads=1", "madds")
        options = {"objectives": objectives, "require": "latency:cpu<50ms", "epochs": 1, "listeners": ()}
        out = tmp_path_factory.mktemp("runs") / "run"
        yield naturalize.transfer((images, labels), out, iterations=1, **options)


def test_the_front_has_what_the_model_tells_and_what_the_clock_does(run):
    front = json.loads((run.directory / "front.json").read_text())
    assert front["objectives"] == ["error", "latency:cpu", "madds"]
    for network in front["networks"]:
        told, measured = network["objectives"]["latency:cpu"], network["measured"]["latency:cpu"]
        assert 0 < told < 50
        assert measured["value"] > 0
        assert told / 3 < measured["value"] < 3 * told
        assert measured["spread"] >= 0


def test_the_model_is_kept_with_what_is_known_of_it(run):
    known = kept_model(run.directory / "latency-cpu.json")
    assert known is not None
    assert known[1]["fitted_to"] >= 16
    assert known[1]["networks"] >= 8
    assert known[1]["machine"]["version"].startswith("onnxruntime ")
    assert known[1]["machine"]["threads"] == 1


def test_the_archive_has_the_measured_ones_with_their_machine(run):
    from contextlib import closing

    from naturalize.archive import Context
    from naturalize.latency.store import machine_of

    front = json.loads((run.directory / "front.json").read_text())
    machine = json.dumps(machine_of(Setting("cpu")), sort_keys=True)
    of = Context("latency:cpu", run.task_name, "val", front["val_weights_version"], machine)
    with closing(run.archive()) as archive:
        found = archive.measurements(of)
    assert {network["architecture"] for network in front["networks"]} <= {arch.text for arch in found}
    for arch, measurement in found.items():
        assert measurement.value > 0, arch


def test_the_report_shows_both(run):
    page = (run.directory / "report.html").read_text(encoding="utf-8")
    assert "latency (cpu)" in page
    assert "on the clock" in page


def test_a_model_that_was_made_in_seconds_orders_the_ends_of_a_space_as_the_clock_does(tmp_path):
    family, task = make_family("mini", 32), Classification(10)
    supernet = Supernet(family, {"default": task.heads(family)}, [0.0] * 3, [1.0] * 3).eval()
    layers = whole_layers(family, task, 3)
    with Bench(supernet, Setting("cpu")) as bench:
        store = Store(Setting("cpu"), tmp_path)
        model, judged = make_model(bench, family.space, layers, store, 6.0)
        ratios, errors = bench.narrow(family.space.architectures(family.space.corners()), 5.0)
    assert judged.networks >= 8
    assert judged.median_error < 60  # a busy machine included: that it is a figure at all
    smallest, largest = 1e3 * ratios * store.reference_s
    from naturalize.objectives.latency import Latency

    told = Latency(model, family, task, 3)(family.space.corners())
    assert told[1] > 2 * told[0]
    assert largest > 2 * smallest
    assert (errors < 0.2).all()
    again = Store(Setting("cpu"), tmp_path)
    assert again.samples.seconds == store.samples.seconds
