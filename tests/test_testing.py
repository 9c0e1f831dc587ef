"""Networks of a front in turn, for as long as there is time."""

import time
from types import SimpleNamespace

import pytest

from naturalize import testing
from naturalize.archive import Measurement
from naturalize.space import Architecture
from naturalize.training import engine


class Clock:
    """A watch whose time passes by work alone."""

    used_s = 0.0

    def progress(self, what, done, total):
        """Nobody listens."""


def front_of(*millions):
    """Entries of so many multiply-adds, each larger one better."""
    return [{"madds": number * 1_000_000, "val_error_views": 100.0 - number} for number in millions]


@pytest.mark.parametrize(
    ("until", "tested"),
    [
        (None, [90, 0, 40, 10, 70]),
        (0.5, [90]),
        (10.5, [90]),
        (12.0, [90, 0]),
        (14.0, [90, 0, 10]),  # too late for 40, but not for 10
        (16.0, [90, 0, 40]),
        (18.5, [90, 0, 40, 10]),
        (26.0, [90, 0, 40, 10, 70]),
    ],
)
def test_what_the_next_network_takes_is_foretold_by_multiply_adds(monkeypatch, until, tested):
    monkeypatch.setattr(testing, "side_by_side", lambda work, items, device, waiting: map(work, items))
    watch = Clock()
    bench = SimpleNamespace(watch=watch, device=SimpleNamespace(type="cuda"))
    networks = front_of(0, 10, 40, 70, 90)

    def work(network):
        watch.used_s += (network["madds"] + testing.AS_MADDS) / 10e6  # 1, 2, 5, 8 and 10 seconds
        return network["madds"] // 1_000_000

    assert [found for _, found, _ in testing.in_turn(bench, "test", networks, until, work)] == tested


@pytest.mark.parametrize(("few", "tested"), [(5, [90, 0, 10]), (2, [90, 0])])
def test_the_first_few_may_be_late(monkeypatch, few, tested):
    monkeypatch.setattr(testing, "FEWEST_TESTED", few)
    monkeypatch.setattr(testing, "side_by_side", lambda work, items, device, waiting: map(work, items))
    watch = Clock()
    bench = SimpleNamespace(watch=watch, device=SimpleNamespace(type="cuda"))
    networks = front_of(0, 10, 40, 70, 90)

    def work(network):
        watch.used_s += (network["madds"] + testing.AS_MADDS) / 10e6
        return network["madds"] // 1_000_000

    found = [found for _, found, _ in testing.in_turn(bench, "test", networks, 12.0, work, late_s=3.0)]
    assert found == tested  # 11 s after two; 40 would end after 16, 10 ends after 13


class Running(Clock):
    """A watch whose time passes."""

    def __init__(self):
        self.start = time.monotonic()

    @property
    def used_s(self):
        """Since it was made."""
        return time.monotonic() - self.start

    def check(self):
        """Nobody stops it."""


def test_what_the_third_network_takes_is_foretold_although_workers_are_free(monkeypatch):
    monkeypatch.setattr(engine, "at_once", lambda device: 3)
    bench = SimpleNamespace(watch=Running(), device=SimpleNamespace(type="cpu"))
    networks = front_of(0, 10, 40, 70, 90)

    def work(network):
        time.sleep((network["madds"] + testing.AS_MADDS) / 100e6)  # 0.1, 0.2, 0.5, 0.8 and 1 second
        return network["madds"] // 1_000_000

    assert [found for _, found, _ in testing.in_turn(bench, "test", networks, 0.5, work)] == [90, 0, 10]


def test_what_others_dominate_has_its_turn_last():
    networks = front_of(0, 10, 20, 40, 70, 90)
    networks[1]["val_error_views"] = 100.0  # as good as the smallest one
    networks[4]["val_error_views"] = 61.0  # worse than 40 M
    order = testing.in_order(networks)
    assert order[:4] == [5, 0, 2, 3]
    assert sorted(order[4:]) == [1, 4]
    assert testing.in_order([]) == [], "as of a front that holds the published network alone, which needs no classifier"


def test_time_is_kept_for_classifiers_of_trained_networks_alone(monkeypatch):
    monkeypatch.setattr(testing, "read_test_s", lambda bench, sides: 3.0)
    monkeypatch.setattr(testing, "images_of_a_classifier", lambda bench: 500)
    detail = {"images": 100, "views": 1}
    known = {
        Architecture((number,), text): Measurement(None, 50.0, 0.0, "ok", seconds, detail)
        for number, (text, seconds) in enumerate([("a", 1.0), ("b", 2.0)])
    }
    bench = SimpleNamespace(
        run=SimpleNamespace(context=lambda *of: of, trained=(32, 64)),
        archive=SimpleNamespace(measurements=lambda of: known),
        dataset=SimpleNamespace(splits={"test": range(1000)}),
    )
    entries = [("a", "transfer", 32), ("b", "transfer", 64), ("c", "whole", 128), ("d", "published", 64)]
    networks = [{"architecture": text, "origin": origin, "resolution": side} for text, origin, side in entries]
    classifiers_s, test_s = testing.ending_s(bench, {"weights_version": 2, "networks": networks})
    assert classifiers_s == pytest.approx((0.01 + 0.02) * 500)
    assert test_s == pytest.approx((0.01 + 0.02 + 0.08 + 0.02) * 1000 + 3.0)
