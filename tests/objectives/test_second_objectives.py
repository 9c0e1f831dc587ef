"""Objectives that no room knows of, one measured and one counted: each is a single line of the registry."""

import json
from contextlib import closing

import numpy as np
import pytest

import naturalize
from naturalize import schedule
from naturalize.errors import UserError
from naturalize.objectives import OBJECTIVES, Measured, Objective
from naturalize.search import non_dominated
from naturalize.supernet import make_family
from naturalize.supernet.layers import LayerTable


class Roughness:
    """A stand-in for a latency: known to nobody before it is asked; some networks have none."""

    def measure(self, codes):
        values = (codes * codes).sum(axis=1).astype(float) + 0.5
        lost = codes.sum(axis=1) % 7 == 3
        return Measured(
            np.where(lost, np.nan, values), np.zeros(len(codes)), ["lost" if each else "ok" for each in lost]
        )


@pytest.fixture(scope="module")
def data():
    """Pictures, with the two objectives registered while they are in use."""
    labels = np.arange(48) % 3
    images = (40 + 80 * labels[:, None, None] + np.random.default_rng(0).integers(0, 30, (48, 8, 8))).astype(np.uint8)
    rough = Objective(
        "roughness", "ms", "measured", "roughness in ms", lambda v: f"{v:.1f} ms", lambda run: Roughness()
    )
    weights = Objective("kernels", "kernels", "exact", "columns of kernels", lambda v: f"{v:.0f}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(OBJECTIVES, "roughness", rough)
        patch.setitem(OBJECTIVES, "kernels", weights)
        patch.setattr(LayerTable, "kernels", lambda table: np.where(table.params() > 0, table.kernel, 0), raising=False)
        patch.setattr(schedule, "INITIAL", 24)
        patch.setattr(schedule, "NEW", 6)
        yield images, labels


def transferred(data, out, iterations):
    """A transfer by error, a measured objective and a counted one, with a limit."""
    options = {"objectives": ("error", "roughness", "kernels"), "iterations": iterations, "epochs": 1, "listeners": ()}
    return naturalize.transfer(data, out, **options, require="kernels<10000")


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    """Of one iteration."""
    return transferred(data, tmp_path_factory.mktemp("runs") / "run", 1)


def test_the_front_is_of_all_objectives(run):
    front = json.loads((run.directory / "front.json").read_text())
    assert front["objectives"] == ["error", "roughness", "kernels"]
    values = [
        [network["val_error_views"], network["objectives"]["roughness"], network["objectives"]["kernels"]]
        for network in front["networks"]
    ]
    assert non_dominated(values).all()
    for network in front["networks"]:
        code = np.array(run.family.space.parse(network["architecture"]).code)
        assert network["objectives"]["roughness"] == (code**2).sum() + 0.5
        assert code.sum() % 7 != 3, "what could not be measured is on no front"
        assert network["objectives"]["madds"] == network["madds"]
    assert len(front["reference"]) == 3
    assert 0 < front["hypervolume"][-1]["hypervolume"] < 1


def test_every_value_is_in_the_archive_in_a_context_of_its_own(run):
    with closing(run.archive()) as archive:
        versions = [facts["weights_version"] for facts in archive.iterations()]
        found = [
            [archive.measurements(run.context(name, version)) for name in ("error", "roughness")]
            for version in versions
        ]
    for errors, rough in found:
        assert errors.keys() == rough.keys()
    assert {measurement.status for measurement in found[0][1].values()} == {"ok", "lost"}


def test_N14_what_could_not_be_measured_is_measured_no_more(data, tmp_path):
    """Failures are told to the search of every iteration, whatever weights version they are of."""
    run = transferred(data, tmp_path / "run", 2)
    with closing(run.archive()) as archive:
        lost = archive.failed(run.task_name)
        versions = [facts["weights_version"] for facts in archive.iterations()]
        asked = [set(archive.measurements(run.context("roughness", version))) for version in versions]
    assert lost
    assert len(versions) == 3
    for arch in lost:
        assert sum(arch in each for each in asked) == 1, "once, and never again"


def test_reference_points_do_without_the_largest_network(data, tmp_path, monkeypatch):
    """Where that cannot be measured, the next smaller member says what is large."""
    upper, measure = make_family("mini", 8).space.upper, Roughness.measure

    def without_the_largest(self, codes):
        found = measure(self, codes)
        found.values[(codes[:, 1:] == upper[1:]).all(axis=1)] = np.nan
        return found

    monkeypatch.setattr(Roughness, "measure", without_the_largest)
    run = transferred(data, tmp_path / "run", 1)
    front = json.loads((run.directory / "front.json").read_text())
    assert np.isfinite(front["reference"]).all()
    assert front["hypervolume"][-1]["hypervolume"] > 0


def test_limits_go_on_the_counted_one_alone(run):
    counts = [network.value("kernels") for network in run.front()]
    chosen = run.best(f"kernels<={min(counts):.0f}")
    assert chosen.measured.value("kernels") == min(counts)
    with pytest.raises(UserError, match=r"no network of the front meets kernels<1: the nearest is \d+ with kernels"):
        run.best("kernels<1")
    with pytest.raises(UserError, match="roughness is measured"):
        run.best("roughness<3")


def test_the_report_shows_them_in_their_words(run):
    page = (run.directory / "report.html").read_text(encoding="utf-8")
    assert "roughness in ms" in page
    assert "columns of kernels" in page
    assert f"{run.front()[0].value('roughness'):.1f} ms" in page
