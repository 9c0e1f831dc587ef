"""The last adaptation: a branch that learns from validation pictures too, and can be stopped like all else."""

import json
import shutil
from collections import Counter
from contextlib import closing
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import naturalize
import runs
from naturalize import conclude, preparing, schedule
from naturalize.data import Pixels, open_data
from naturalize.errors import Interrupted, UserError
from naturalize.last_adaptation import branch, in_rounds
from naturalize.numbers import standard_error
from naturalize.selection import handicap, nearly_best
from naturalize.supernet import make_family
from naturalize.training.batches import Joined
from naturalize.weights import published_supernet

BUDGET = "40s"


class Stop:
    """Stops a run at the third step that it tells of after the final measurement."""

    def __init__(self):
        self.final, self.told = False, 0

    def __call__(self, event):
        self.final |= event["event"] == "iteration" and event["final"]
        self.told += self.final and event["event"] == "progress" and event["phase"] == "last"
        if self.told == 3:
            raise Interrupted(15)


@pytest.fixture(scope="module")
def stopped_then_finished(bands, tmp_path_factory):
    """Directory of a run that was stopped in its last adaptation and went on; its front when it was stopped."""
    out = tmp_path_factory.mktemp("runs") / "run"
    with pytest.raises(Interrupted):
        naturalize.transfer(bands, out, budget=BUDGET, listeners=[Stop()])
    front = json.loads((out / "front.json").read_text(encoding="utf-8"))
    shutil.copytree(out, out.with_name("stopped"))
    (branch,) = (out / "last").iterdir()
    left = sorted(path.name for path in branch.iterdir())
    state = json.loads((branch / "0000" / "state.json").read_text(encoding="utf-8"))
    naturalize.resume(out, listeners=())
    return out, front, left, state


def test_a_run_that_is_stopped_in_it_has_the_front_that_was_measured_and_goes_on(stopped_then_finished):
    out, before, left, state = stopped_then_finished
    version = before["weights_version"]
    assert (before["state"], before["val_weights_version"]) == ("stopped", version)
    assert left == ["0000", "latest"]
    assert (state["version"], state["complete"]) == (version, False)
    after = json.loads((out / "front.json").read_text(encoding="utf-8"))
    assert (after["state"], after["val_weights_version"]) == ("finished", version)
    assert after["weights_version"] == version + 1
    assert not (out / "last").exists()
    steps = [event["step"] for event in runs.events(out, "epoch") if event["version"] == version + 1]
    assert max(steps) > state["training"]["step"]


def test_a_stopped_run_that_was_finished_as_it_was_still_goes_on_with_it(bands, stopped_then_finished, tmp_path):
    out = stopped_then_finished[0]
    run = tmp_path / "run"
    shutil.copytree(out.with_name("stopped"), run)
    version = json.loads((run / "front.json").read_text())["weights_version"]
    naturalize.finish(run, data=bands, listeners=())
    as_it_was = json.loads((run / "front.json").read_text())
    assert (as_it_was["state"], as_it_was["weights_version"]) == ("finished", version)
    assert list((run / "last").iterdir())
    set_clock(run, 20.0)
    naturalize.resume(run, data=bands, listeners=())
    after = json.loads((run / "front.json").read_text())
    assert (after["val_weights_version"], after["weights_version"]) == (version, version + 1)
    assert not (run / "last").exists()


def test_a_stopped_run_that_was_finished_stays_as_it_is_where_no_time_is_left(bands, stopped_then_finished, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(stopped_then_finished[0].with_name("stopped"), run)
    naturalize.finish(run, data=bands, listeners=())
    as_it_was = (run / "front.json").read_text()
    set_clock(run, 41.0)
    naturalize.resume(run, data=bands, listeners=())
    assert (run / "front.json").read_text() == as_it_was
    assert not (run / "last").exists()


def test_a_finished_run_is_not_replaced_by_what_a_few_seconds_more_can_do(bands, stopped_then_finished, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(stopped_then_finished[0], run)
    as_it_was = (run / "front.json").read_text(), (run / "run.toml").read_text()
    set_clock(run, 38.2)
    with pytest.raises(UserError, match=r"has used 38s: to become better it needs 30s more at least, as --budget 69s"):
        naturalize.resume(run, data=bands, budget="60s", listeners=())
    assert as_it_was == ((run / "front.json").read_text(), (run / "run.toml").read_text())


def test_a_kill_after_the_result_was_written_loses_nothing(bands, stopped_then_finished, tmp_path, monkeypatch):
    run = tmp_path / "run"
    shutil.copytree(stopped_then_finished[0].with_name("stopped"), run)
    set_clock(run, 20.0)
    with monkeypatch.context() as patch:
        patch.setattr(conclude, "forget", fail)  # ends it where the result was just written
        with pytest.raises(MemoryError):
            naturalize.resume(run, data=bands, listeners=())
    result = (run / "front.json").read_text()
    assert json.loads(result)["state"] == "finished"
    naturalize.finish(run, data=bands, listeners=())
    naturalize.resume(run, data=bands, listeners=())
    assert (run / "front.json").read_text() == result
    assert not (run / "last").exists()


@pytest.fixture(scope="module")
def begun_anew(clothes, tmp_path_factory):
    """Events of a run on photographs whose last adaptation started anew, was stopped and went on; its directory.

    And the weights with which it did.
    """
    out, told, starts = tmp_path_factory.mktemp("runs") / "run", [], []
    asked = {"supernet": "efficientnet-lite0", "budget": "60s"}

    def started(bench):
        preparing_start(bench)
        starts.append({name: tensor.clone() for name, tensor in bench.supernet.state_dict().items()})

    preparing_start = preparing.start_from_published
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schedule, "EPOCHS_ANEW", 1e-3)
        patch.setattr(preparing, "start_from_published", started)
        with pytest.raises(Interrupted):
            naturalize.transfer(clothes(64), out, **asked, listeners=[Stop(), told.append])
        naturalize.resume(out, data=clothes(64), listeners=[told.append])
    return told, out, starts


def test_where_time_is_long_it_starts_anew_from_the_published_network(begun_anew):
    told, _, starts = begun_anew
    (plan,) = (event for event in told if event["event"] == "plan")
    assert plan["anew"]
    assert len(starts) == 1, "what was stopped goes on from its checkpoint"
    (again,) = starts
    published = published_supernet("efficientnet-lite0").state_dict()
    bodies = {name: tensor for name, tensor in published.items() if name.startswith("bodies.")}
    assert len(bodies) > 100
    for name, tensor in bodies.items():
        if name.endswith(("mean_shift", "var_factor")) or ".offsets." in name or ".shifts" in name:
            continue  # fitted to the pictures
        torch.testing.assert_close(again[name].flatten().sort().values, tensor.flatten().sort().values)


def test_started_anew_its_rate_rises_and_falls_to_nothing(begun_anew):
    _, out, _ = begun_anew
    front = json.loads((out / "front.json").read_text())
    assert front["state"] == "finished"
    rates = [event["rate"] for event in runs.events(out, "epoch") if event["phase"] == "last"]
    assert max(rates) > 0.9 * preparing.RATE_OF_KEPT
    assert rates[0] < max(rates)
    assert rates[-1] < 0.1 * max(rates)


def set_clock(run, seconds):
    """Tests of what a budget leaves must not depend on how fast this machine is."""
    with closing(naturalize.open_run(run).archive(read_only=False)) as archive:
        archive.used_s = seconds


def fail(*_):
    raise MemoryError


def test_a_branch_is_of_one_version_one_front_and_one_beginning(tmp_path):
    small, large = make_family("mini", 32).space.architectures(make_family("mini", 32).space.corners())
    both = [small, large]
    branches = [(3, both, False), (4, both, False), (3, [small], False), (3, [large, small], False), (3, both, True)]
    directories = {branch(tmp_path, *of).directory for of in branches}
    assert len(directories) == 5
    assert branch(tmp_path, *branches[0]).directory in directories


def test_the_supernet_stays_at_the_version_that_was_measured(stopped_then_finished):
    out, before, *_ = stopped_then_finished
    run = naturalize.open_run(out)
    assert run.checkpoints.state(run.checkpoints.latest())["version"] == before["weights_version"]


def test_S09_the_test_error_is_that_of_the_weights_that_are_delivered(bands, stopped_then_finished):
    out = stopped_then_finished[0]
    run, dataset = naturalize.open_run(out), open_data(bands, scan_test=True)
    for network in json.loads((out / "front.json").read_text(encoding="utf-8"))["networks"]:
        pixels = Pixels(dataset, dataset.splits["test"], [network["resolution"]])
        images = torch.from_numpy(pixels(np.arange(len(pixels)), network["resolution"]))
        with torch.inference_mode():
            answers = run.network(network["architecture"]).module()(images).argmax(1).numpy()
        assert 100.0 * np.mean(answers != pixels.labels) == pytest.approx(network["test_error"])


def test_fine_tuning_goes_on_with_validation_pictures_and_does_not_judge_by_them(
    bands, stopped_then_finished, tmp_path
):
    out = stopped_then_finished[0]
    shutil.copytree(out, tmp_path / "run")
    before = {network.architecture: network for network in naturalize.open_run(out).front()}
    told = []
    run = naturalize.finetune(tmp_path / "run", budget="30s", data=bands, listeners=[told.append])
    (event,) = (event for event in told if event["event"] == "finetuned")
    assert event["kept"]
    assert event["after"] is None
    after = next(network for network in run.front() if network.architecture == event["architecture"])
    assert after.val_error == before[after.architecture].val_error
    assert after.before_finetuning["test_error"] == before[after.architecture].test_error


def test_every_architecture_has_its_turn_once_in_a_round():
    archs = make_family("mini", 32).space.architectures(make_family("mini", 32).space.corners())
    archs = [*archs, *archs, *archs[:1]]
    for round_ in range(3):
        drawn = Counter(in_rounds(archs, 0, step) for step in range(5 * round_, 5 * round_ + 5))
        assert drawn == Counter(archs)


def test_joined_pictures_are_those_of_the_first_then_those_of_the_second(bands):
    dataset = open_data(bands)
    parts = [Pixels(dataset, dataset.splits[name], [32]) for name in ("train", "val")]
    both = Joined(*parts)
    assert len(both) == len(parts[0]) + len(parts[1])
    rows = np.random.default_rng(0).permutation(len(both))
    one_by_one = np.concatenate([part(np.arange(len(part)), 32) for part in parts])
    assert (both(rows, 32) == one_by_one[rows]).all()
    assert both.labels.tolist() == [*parts[0].labels, *parts[1].labels]


def test_no_error_in_ten_pictures_is_no_certainty():
    none, one = standard_error(np.array([0.0, 10.0]), 10)
    assert none == pytest.approx(100 * (1 / 12 * 11 / 12 / 10) ** 0.5)
    assert 8 < none < one < 12


def test_networks_that_stand_by_themselves_must_be_clearly_better_where_others_learn_on():
    """Nine wrong of a hundred: by Laplace's rule ten of 102, so 3.0 points."""
    space = make_family("efficientnet-lite0", 64).space
    bench = SimpleNamespace(
        run=SimpleNamespace(trained=(64, 96)),
        subnets=SimpleNamespace(resolution=lambda arch: [64, 96, 224][arch.code[0]]),
        error=SimpleNamespace(images=range(100)),
    )
    three = space.architectures(space.wholes()[:3])
    margins = handicap(bench, three, np.array([9.0, 30.0, 9.0]))
    assert margins[0] == pytest.approx(100 * (10 / 102 * 92 / 102 / 100) ** 0.5)
    assert margins[1] > margins[0]
    assert margins[2] == 0
    assert handicap(bench, three[:0], np.empty(0)).shape == (0,)
    assert handicap(bench, three, np.array([9.0, 30.0, 9.0]), kept=[2.5, 3.5, 4.5]).tolist() == [2.5, 3.5, 0]


@pytest.mark.parametrize(("error", "kept"), [(30.0, [1]), (33.0, [1]), (36.0, [])])
def test_the_largest_network_stays_where_validation_is_not_sure_of_a_smaller_one(error, kept):
    space = make_family("efficientnet-lite0", 64).space
    bench = SimpleNamespace(
        run=SimpleNamespace(settings=SimpleNamespace(objectives=["error", "madds"])),
        reads_published=True,
        supernet=SimpleNamespace(family=SimpleNamespace(space=space)),
        error=SimpleNamespace(images=range(100)),
    )
    values = np.array([[30.0, 1e6], [error, 9e6]])  # the standard error of 33% is 4.7 points, of 36% 4.8
    none = [None, None]
    assert nearly_best(bench, space.corners(), values, none) == kept
    untrained = np.array([[20.0, 8e6]])  # as of the published network with its classifier, which competes too
    assert nearly_best(bench, space.corners(), np.concatenate([values, untrained]), none) == []
    assert nearly_best(bench, space.corners(), values, [2.0, 2.0]) == kept * (error < 32.0), (
        "by an error that has its own"
    )
