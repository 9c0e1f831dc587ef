"""The latency model, against truths that are known: made-up times of layers, and a clock that can be slowed."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from naturalize.errors import UserError
from naturalize.latency import clock, store
from naturalize.latency.clock import ratios, spread_of
from naturalize.latency.making import chosen
from naturalize.latency.model import FIELDS, KINDS, Samples, fit, layer_keys
from naturalize.latency.setting import Setting, parse_setting
from naturalize.latency.store import Store
from naturalize.objectives.exact import whole_layers
from naturalize.objectives.latency import Latency
from naturalize.supernet import make_family
from naturalize.tasks import Classification

TASK = Classification(5)


def truth(keys, rng):
    """Seconds of layers by their keys: cost by size, and a whim of each layer that no size explains."""
    of = dict(zip(FIELDS, np.moveaxis(keys, -1, 0), strict=True))
    madds = of["kernel"] ** 2 * of["cin"] * of["cout"] // np.maximum(of["groups"], 1) * of["size_out"] ** 2
    moved = of["cout"] * of["size_out"] ** 2
    weighted = np.isin(of["kind"], (KINDS.index("conv"), KINDS.index("linear")))
    base = 2e-6 + 2e-11 * madds * weighted * np.where(of["groups"] > 1, 6, 1) + 1e-10 * moved
    return base * np.exp(0.2 * rng.standard_normal(base.shape))


@pytest.mark.parametrize(("name", "side"), [("mini", 32), ("efficientnet-lite0", 96), ("ofa-resnet50", 128)])
def test_it_finds_made_up_times_of_layers_in_noisy_networks(name, side):
    family, rng = make_family(name, side), np.random.default_rng(0)
    layers = whole_layers(family, TASK, 3)
    codes = family.space.sample(400, rng)
    keys = layer_keys(layers(codes))
    distinct, place = np.unique(keys.reshape(-1, len(FIELDS)), axis=0, return_inverse=True)
    by_layer = np.where(distinct[:, 0] < 0, 0.0, truth(distinct, rng))
    seconds = 1e-4 + by_layer[place.reshape(keys.shape[:2])].sum(axis=1)
    samples = Samples()
    for row in range(300):
        samples.add(keys[row][keys[row][:, 0] >= 0], seconds[row] * (1 + 0.02 * rng.standard_normal()))
    model = fit(samples)
    told = model.constant + model.seconds(keys[300:]).sum(axis=1)
    assert spearmanr(told, seconds[300:]).statistic > 0.98
    assert np.median(np.abs(told - seconds[300:]) / seconds[300:]) < 0.03
    latency = Latency(model, family, TASK, 3)  # the same by look-up, in milliseconds, rounded to nanoseconds a layer
    np.testing.assert_allclose(latency(codes[300:]), 1e3 * told, rtol=1e-3)


def test_a_layer_that_was_never_measured_has_what_its_work_explains():
    family, rng = make_family("mini", 32), np.random.default_rng(1)
    keys = layer_keys(whole_layers(family, TASK, 3)(family.space.sample(60, rng)))
    samples = Samples()
    for row in keys:
        samples.add(row[row[:, 0] >= 0], 1e-4 + truth(row[row[:, 0] >= 0], np.random.default_rng(7)).sum())
    model = fit(samples)
    unseen = np.array([[KINDS.index("conv"), 0, 40, 48, 1, 1, 1, 9, 9, 0]])
    assert tuple(unseen[0]) not in set(map(tuple, samples.keys.tolist()))
    assert model.seconds(unseen)[0] > 0
    assert model.seconds(np.full((1, len(FIELDS)), -1))[0] == 0


def test_networks_are_chosen_so_that_every_layer_is_measured_and_none_again_that_is_known():
    family = make_family("mini", 32)
    layers = whole_layers(family, TASK, 3)
    codes = chosen(family.space, layers, {}, 600)
    keys = layer_keys(layers(codes))
    every = layer_keys(layers(family.space.sample(2000, np.random.default_rng(3))))
    measured = {tuple(key): 0 for key in keys.reshape(-1, len(FIELDS)).tolist()}
    for row in keys.tolist():
        for key in {tuple(key) for key in row}:
            measured[key] += 1
    wanted = {tuple(key) for key in every.reshape(-1, len(FIELDS)).tolist() if key[0] >= 0}
    assert wanted <= measured.keys()
    assert len(chosen(family.space, layers, dict.fromkeys(measured, 100), 600)) == 0


def test_a_neighbour_who_slows_the_machine_does_not_change_ratios(monkeypatch):
    """Networks of 1, 2 and 3 ms on a clock of our own; the machine is up to five times as slow, by turns."""
    now = 0.0

    def network(seconds):
        def once():
            nonlocal now
            now += seconds * (1 + 4 * (int(now / 0.7) % 3 == 1))

        return once

    monkeypatch.setattr(clock.time, "perf_counter", lambda: now)
    found = ratios([network(t) for t in (1e-3, 2e-3, 3e-3)], network(1e-3), 99, lambda: None)
    np.testing.assert_allclose(np.median(found, axis=0), [1, 2, 3], rtol=0.02)
    assert spread_of(found).max() < 0.02


def test_measured_networks_are_kept_and_a_damaged_file_counts_as_none(tmp_path):
    setting = Setting("cpu", threads=2)
    here = Store(setting, tmp_path)
    assert here.reference_s is None
    here.prepare()
    here.samples.add(np.arange(20).reshape(2, 10), 0.25)
    here.samples.add(np.arange(10, 30).reshape(2, 10), 0.5)
    here.reference_s = 0.125
    here.save()
    again = Store(setting, tmp_path)
    assert again.samples.rows == [[0, 1], [1, 2]]
    assert again.samples.seconds == [0.25, 0.5]
    assert again.reference_s == 0.125
    np.testing.assert_array_equal(again.samples.keys, np.arange(30).reshape(3, 10))
    assert Store(Setting("cpu"), tmp_path).samples.rows == []  # another setting
    here.path.write_text(here.path.read_text().replace("0.25", "0.75"))
    assert Store(setting, tmp_path).samples.rows == []


@pytest.mark.parametrize("content", ["", "[]", "null", "{}", "[" * 100_000, '{"format": 1}', "\0"])
def test_what_is_no_store_counts_as_none(tmp_path, content):
    path = Store(Setting("cpu"), tmp_path).path
    path.write_text(content)
    assert Store(Setting("cpu"), tmp_path).samples.rows == []


def test_a_place_that_cannot_be_made_is_named_before_anything_is_timed(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="NATURALIZE_CACHE"):
        Store(Setting("cpu"), tmp_path / "file" / "latency").prepare()


def test_another_processor_has_a_store_of_its_own(tmp_path, monkeypatch):
    first = Store(Setting("cpu"), tmp_path).path
    monkeypatch.setattr(store, "processor", lambda: "another")
    assert Store(Setting("cpu"), tmp_path).path != first


@pytest.mark.parametrize(
    ("text", "setting", "short"),
    [
        ("cpu", Setting("cpu"), "cpu"),
        ("cpu,threads=1,batch=1", Setting("cpu"), "cpu"),
        ("cpu,batch=8,threads=2", Setting("cpu", 2, 8), "cpu,threads=2,batch=8"),
    ],
)
def test_settings_go_by_a_text(text, setting, short):
    assert parse_setting(text) == setting
    assert str(setting) == short


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "unknown runtime ''"),
        ("gpu", "unknown runtime 'gpu': did you mean cpu"),
        ("cpu,thread=2", "unknown option of a latency 'thread': did you mean threads"),
        ("cpu,threads=0", "threads is a whole number from 1 to 1024, not '0'"),
        ("cpu,batch=two", "batch is a whole number"),
        ("cpu,batch", "batch is a whole number"),
        ("cpu,threads=" + 5000 * "9", "threads is a whole number from 1 to 1024"),
        ("cpu,threads=٢", "threads is a whole number"),
        ("cpu,threads=2,threads=4", "threads is given twice"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(text, words):
    with pytest.raises(UserError, match=words):
        parse_setting(text)


def test_those_measured_last_are_split_off_with_their_times():
    samples = Samples()
    for row in range(5):
        samples.add(np.array([[0, 0, row + 1, 8, 1, 1, 1, 4, 4, 0], [0, 0, 8, 8, 3, 1, 1, 4, 4, 0]]), 1.0 + row)
    rest, last = samples.split(2)
    assert rest.seconds == [1.0, 2.0, 3.0]
    assert [seconds for _, seconds in last] == [4.0, 5.0]
    np.testing.assert_array_equal(last[1][0], [[0, 0, 5, 8, 1, 1, 1, 4, 4, 0], [0, 0, 8, 8, 3, 1, 1, 4, 4, 0]])
    whole, none = samples.split(0)
    assert (whole.seconds, none) == (samples.seconds, [])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ncnn,batch=2", "latency:ncnn,batch=2: ncnn takes one picture at a time: leave batch out"),
        ("cuda,threads=4", "latency:cuda,threads=4: a GPU has no threads to choose: leave threads out"),
    ],
)
def test_an_option_that_a_runtime_does_not_have_is_refused(text, words):
    with pytest.raises(UserError, match=words):
        parse_setting(text)
    assert parse_setting(text[:-1] + "1") == Setting(text.partition(",")[0])


def test_a_runtime_may_have_a_clock_of_its_own():
    assert clock.burst(lambda: 0.25, 3) == 0.25
    assert clock.burst(lambda: [0.25], 3) < 0.25
