"""The whole network by itself: its training before all others, its larger resolutions, what of it is delivered."""

import json
import re
import shutil
import signal
from contextlib import closing, suppress
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression
from torch import nn

import naturalize
import runs
from naturalize import beginning, nat, probing, schedule, whole
from naturalize.data import open_data
from naturalize.probing import probes_of
from naturalize.run import Run
from naturalize.run.front import WHOLE, networks_of
from naturalize.space import SearchSpace, Variable
from naturalize.supernet import make_family
from naturalize.tensor_files import load_tensors
from naturalize.training.evaluate import logits_of
from naturalize.weights import published_supernet
from runs import command, left_by

LITE = {"supernet": "efficientnet-lite0", "iterations": 1, "epochs": 1, "listeners": ()}


@pytest.fixture(scope="module")
def photographs(clothes):
    """80 photographs of four kinds of clothes, 112 px, as arrays."""
    return clothes(112)


@pytest.fixture(scope="module")
def run(photographs, tmp_path_factory):
    """A short transfer by number, which reads all larger resolutions, and the architectures that it trained."""
    drawn = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schedule, "INITIAL", 8)
        patch.setattr(schedule, "NEW", 4)
        step = nat.Transfer.drawn

        def noted(self, p, number):
            drawn.append(step(self, p, number))
            return drawn[-1]

        patch.setattr(nat.Transfer, "drawn", noted)
        made = naturalize.transfer(photographs, tmp_path_factory.mktemp("runs") / "run", **LITE)
    return made, drawn


def front_of(run):
    return json.loads((run.directory / "front.json").read_text(encoding="utf-8"))


def enlarged(photographs, rows, side):
    """Rows of pictures, resized as Pillow does it: `(n, 3, side, side)`."""
    pictures = [Image.fromarray(photographs[0][row]).resize((side, side), Image.Resampling.BILINEAR) for row in rows]
    return np.ascontiguousarray(np.stack([np.asarray(picture) for picture in pictures]).transpose(0, 3, 1, 2))


def test_a_part_of_a_space_has_the_codes_and_strings_of_the_space():
    family = make_family("efficientnet-lite0", 224)
    space, part = family.space, family.space.up_to(3)
    sampled = part.sample(200, np.random.default_rng(0))
    assert set(sampled[:, 0].tolist()) == {0, 1, 2, 3}
    assert part.strings(sampled) == space.strings(sampled)
    assert [space.parse(text).code for text in part.strings(sampled)] == [tuple(row) for row in sampled.tolist()]
    assert part.parse(part.largest.text) == part.largest == space.architectures(space.wholes())[3]
    with pytest.raises(naturalize.UserError, match="resolution is 4, not 0 to 3"):
        part.parse(space.architectures(space.wholes())[4].text)


def test_a_part_of_a_small_space_is_counted_as_one_by_one():
    space = SearchSpace("cups", [Variable("height", 0, 11), Variable("width", 1, 3)])
    part = space.up_to(4)
    assert (part.size, part.strings(part.corners())) == (5 * 3, ["001", "043"])


def test_larger_resolutions_are_read_and_never_trained(run):
    run, drawn = run
    assert (run.trained[-1], run.family.resolutions[-4:]) == (112, (128, 160, 192, 224))
    with closing(run.archive()) as archive:
        members = [arch for t in (0, 1) for arch in archive.members(t)]
    assert len(drawn) >= 1
    assert max(arch.code[0] for arch in (*drawn, *members)) < len(run.trained)
    assert probes_of(run.directory, whole.FILE).resolutions == [112, 128, 160, 192, 224]
    assert set(probes_of(run.directory).resolutions) <= set(run.trained)


def test_classifiers_and_answers_at_larger_resolutions_are_those_of_the_network_that_was_trained(run, photographs):
    """Features by the plain network, pictures by Pillow, classifiers as good as scikit-learn's."""
    run, _ = run
    dataset = open_data(photographs)
    train, val = dataset.splits["train"], dataset.splits["val"]
    probes = probes_of(run.directory, whole.FILE)
    source = published_supernet("efficientnet-lite0")
    network = source.extract(source.family.space.largest).eval()
    network.head.classifier = nn.Identity()
    network.load_state_dict(load_tensors(run.directory / whole.WEIGHTS)[0], strict=False)
    for side in (128, 224):
        pictures = enlarged(photographs, np.arange(len(photographs[0])), side)
        features = logits_of(network, pictures, torch.device("cpu")).numpy()
        ours = features @ probes.weight[side].numpy().T + probes.bias[side].numpy()
        assert (ours.argmax(1)[val] != dataset.labels[val]).tolist() == probes.answers[side][0].tolist()
        mean, std = features[train].mean(0), features[train].std(0) + 1e-6
        theirs = LogisticRegression(max_iter=500).fit((features[train] - mean) / std, dataset.labels[train])
        agree = theirs.predict((features - mean) / std) == ours.argmax(1)
        assert agree[train].mean() > 0.95


def test_the_whole_network_was_trained_and_differs_from_the_published_one(run):
    run, _ = run
    supernet = published_supernet("efficientnet-lite0")
    before = supernet.extract(supernet.family.space.largest).state_dict()
    after = load_tensors(run.directory / whole.WEIGHTS)[0]
    moved = [name for name, tensor in after.items() if name in before and tensor.shape == before[name].shape]
    assert any(not torch.equal(after[name], before[name]) for name in moved if name.endswith("conv.weight"))
    kept = [name for name in moved if name.endswith(("running_mean", "running_var"))]
    assert kept
    assert all(torch.equal(after[name], before[name]) for name in kept), "statistics stay"


def test_requirements_that_leave_out_larger_resolutions_leave_out_their_training(photographs, tmp_path, monkeypatch):
    monkeypatch.setattr(schedule, "INITIAL", 8)
    monkeypatch.setattr(schedule, "NEW", 4)
    told = []
    run = naturalize.transfer(
        photographs, tmp_path / "run", **{**LITE, "listeners": [told.append]}, require="madds<75M"
    )
    assert not {event["phase"] for event in told if event["event"] == "phase"} & {"tune", "larger"}
    assert not (run.directory / whole.FILE).exists()
    assert all(network["madds"] <= 75e6 for network in front_of(run)["networks"])


def test_a_run_of_an_older_naturalize_trains_all_its_resolutions(run, tmp_path):
    shutil.copytree(run[0].directory, tmp_path / "run")
    path = tmp_path / "run" / "run.toml"
    old = Run(tmp_path / "run")
    Run.create(old.directory, old.settings, {**old.facts, "pixels": {**old.facts["pixels"]}})
    facts = Run(tmp_path / "run").facts
    del facts["pixels"]["trained"]
    old = Run.create(path.parent, old.settings, facts)
    assert old.trained == old.family.resolutions
    assert old.space.size == old.family.space.size


def test_a_damaged_network_is_named(run, tmp_path):
    shutil.copytree(run[0].directory, tmp_path / "run")
    path = tmp_path / "run" / whole.WEIGHTS
    path.write_bytes(path.read_bytes()[:-9])
    bench = type("Bench", (), {"run": Run(tmp_path / "run")})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(whole, "published", lambda bench: nn.Identity())
        with pytest.raises(naturalize.UserError, match=r"whole-weights\.safetensors is damaged"):
            whole.whole_networks(bench, [128])


@pytest.mark.parametrize("name", [whole.FILE, whole.WEIGHTS])
def test_what_was_read_and_is_gone_is_named_before_any_work(name, run, photographs, tmp_path):
    shutil.copytree(run[0].directory, tmp_path / "run")
    (tmp_path / "run" / name).unlink()
    told = []
    with pytest.raises(naturalize.UserError, match=f"{re.escape(name)} is gone: put it back"):
        naturalize.resume(tmp_path / "run", data=photographs, iterations=2, listeners=[told.append])
    assert {event["phase"] for event in told if event["event"] == "phase"} <= {"scan"}


@pytest.mark.parametrize("name", [whole.FILE, whole.WEIGHTS])
def test_what_was_read_and_is_damaged_is_named_before_any_work(name, run, photographs, tmp_path):
    shutil.copytree(run[0].directory, tmp_path / "run")
    content = bytearray((tmp_path / "run" / name).read_bytes())
    content[-5] ^= 1
    (tmp_path / "run" / name).write_bytes(content)
    told = []
    with pytest.raises(naturalize.UserError, match=f"{re.escape(name)} is damaged"):
        naturalize.resume(tmp_path / "run", data=photographs, iterations=2, listeners=[told.append])
    assert {event["phase"] for event in told if event["event"] == "phase"} <= {"scan"}


def test_another_budget_chooses_again_until_training_begins(photographs, tmp_path, monkeypatch):
    monkeypatch.setattr(whole, "seconds_of_a_pixel", lambda bench: 1e-9)
    found = []

    def work(transfer):
        bench = transfer.bench
        for budget_s in (50.0, 3600.0, 50.0, None):
            settings = replace(bench.run.settings, budget_s=budget_s)
            whole.choose_sides(replace(bench, run=bench.run.with_settings(settings)))
            found.append(whole.sides_to_read(bench))
        monkeypatch.setattr(type(bench.run.checkpoints), "latest", lambda self: "0000")
        whole.choose_sides(replace(bench, run=bench.run.with_settings(replace(settings, budget_s=50.0))))
        found.append(whole.sides_to_read(bench))

    monkeypatch.setattr(nat, "transfer", work)
    with suppress(naturalize.UserError):  # no report where nothing is measured
        naturalize.transfer(photographs, tmp_path / "run", **LITE)
    every = [224, 192, 160, 128, 112]
    assert found == [[], every, [], every, every]


def test_where_all_resolutions_are_trained_it_is_read_at_the_large_ones(photographs, tmp_path, monkeypatch):
    """As with pictures of 224 px and time to train on them."""
    monkeypatch.setattr(beginning, "READ", ())
    found = []

    def work(transfer):
        whole.choose_sides(transfer.bench)
        found.append((transfer.run.family.resolutions[-1], whole.sides_to_read(transfer.bench)))

    monkeypatch.setattr(nat, "transfer", work)
    with suppress(naturalize.UserError):  # no report where nothing is measured
        naturalize.transfer(photographs, tmp_path / "run", **LITE)
    assert found == [(112, [112])]


def test_a_finished_result_stays_while_the_whole_network_is_read(photographs, tmp_path):
    def stop_at(phase):
        def stop(event):
            if event["event"] == "phase" and event["phase"] == phase:
                raise naturalize.errors.Interrupted(signal.SIGTERM)

        return stop

    with pytest.raises(naturalize.errors.Interrupted):
        naturalize.transfer(photographs, tmp_path / "run", **{**LITE, "listeners": [stop_at("tune")]})
    naturalize.finish(tmp_path / "run", data=photographs, listeners=())
    finished = front_of(Run(tmp_path / "run"))
    assert finished["state"] == "finished"
    with pytest.raises(naturalize.errors.Interrupted):
        naturalize.resume(tmp_path / "run", data=photographs, listeners=[stop_at("prepare")])
    assert (tmp_path / "run" / whole.FILE).exists()
    assert front_of(Run(tmp_path / "run")) == finished


def test_stopped_before_the_supernet_is_trained_the_whole_network_is_on_the_front(photographs, tmp_path):
    def stop(event):
        if event["event"] == "phase" and event["phase"] == "prepare":
            raise naturalize.errors.Interrupted(signal.SIGTERM)

    with pytest.raises(naturalize.errors.Interrupted):
        naturalize.transfer(photographs, tmp_path / "run", **{**LITE, "epochs": 2, "listeners": [stop]})
    front = front_of(Run(tmp_path / "run"))
    whole_ones = [network for network in front["networks"] if network["origin"] == WHOLE]
    assert (front["state"], front["weights_version"]) == ("stopped", -1)
    assert front["whole_error"] is not None
    assert all(network["weights"] for network in whole_ones)
    naturalize.finish(tmp_path / "run", data=photographs, listeners=())
    told = " ".join(front_of(Run(tmp_path / "run"))["notes"])
    assert ("fine-tuned by itself" in told) == bool(whole_ones)
    assert ("nothing was trained" in told) == (not whole_ones)


@pytest.mark.parametrize("left_s", [0.0, 1.0, 3.0, 5.0, 9.0, 100.0])
def test_the_largest_that_there_is_time_for_are_read(left_s):
    """Against all subsets: no other choice that fits has the larger largest, then the larger second, and so on."""
    sides, pixel_s = [128, 160, 192, 224], 1e-4
    fitting = [
        sorted(chosen, reverse=True)
        for n in range(5)
        for chosen in combinations(sides, n)
        if sum(pixel_s * side**2 for side in chosen) <= left_s
    ]
    assert probing.affordable(sides, pixel_s, left_s) == max(fitting)


@pytest.mark.parametrize(
    ("point", "epochs"),
    [pytest.param("soft:1", 32, marks=pytest.mark.slow), ("tune:1", 2), ("larger:1", 2), ("prepare:1", 2)],
)
def test_killed_on_the_way_a_run_ends_as_an_unbroken_one(point, epochs, photographs, tmp_path):
    names = photographs[1]
    for row, picture in enumerate(photographs[0]):
        (tmp_path / "data" / str(names[row])).mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(tmp_path / "data" / str(names[row]) / f"{row:03d}.png")
    asked = ["--supernet", "efficientnet-lite0", "--iterations", "1", "--epochs", str(epochs), "--seed", "1"]
    command("transfer", tmp_path / "data", *asked, "--out", tmp_path / "unbroken")
    run = tmp_path / "run"
    killed = f"{point}:SIGKILL"
    command("transfer", tmp_path / "data", *asked, "--out", run, signals=killed, code=-signal.SIGKILL)
    command("resume", run)
    runs.assert_same(left_by(tmp_path / "unbroken"), left_by(run))
    assert WHOLE in {network.origin for network in networks_of(front_of(Run(run)))}
