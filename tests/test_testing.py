"""Networks of a front in turn, for as long as there is time."""

from types import SimpleNamespace

import pytest

from naturalize import testing


class Clock:
    """A watch whose time passes by work alone."""

    used_s = 0.0

    def progress(self, what, done, total):
        """Nobody listens."""


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
    setting = SimpleNamespace(watch=watch, error=SimpleNamespace(device=SimpleNamespace(type="cuda")))
    networks = [{"madds": millions * 1_000_000} for millions in (0, 10, 40, 70, 90)]

    def work(network):
        watch.used_s += (network["madds"] + testing.AS_MADDS) / 10e6  # 1, 2, 5, 8 and 10 seconds
        return network["madds"] // 1_000_000

    assert [found for _, found, _ in testing.in_turn(setting, "test", networks, until, work)] == tested
