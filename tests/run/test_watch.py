"""The clock, events and stops of a run. Rows R04, R10 and T08 of the cases."""

import json
import os
import signal
import time

import pytest

from naturalize.archive import Archive
from naturalize.errors import Interrupted
from naturalize.run.watch import Watch, read_events
from naturalize.space import SearchSpace, Variable


@pytest.fixture
def archive(tmp_path):
    opened = Archive(tmp_path / "archive.sqlite", SearchSpace("one", [Variable("a", 0, 9)]))
    yield opened
    opened.close()


def test_R10_the_clock_goes_on_from_what_was_used_and_leaves_out_the_pause(tmp_path, archive):
    first = Watch([], time.monotonic() - 100)
    first.attach(tmp_path / "events.jsonl", archive)
    first.save_clock()
    again = Watch([], time.monotonic() - 5)
    again.attach(tmp_path / "events.jsonl", archive)
    assert 105 <= again.used_s < 110


def test_R10_progress_makes_the_clock_durable_now_and_then(tmp_path, archive):
    watch = Watch([], time.monotonic() - 50)
    watch.attach(tmp_path / "events.jsonl", archive)
    watch.progress("measure", 1, 2)
    assert archive.used_s >= 50


def test_events_before_there_is_a_run_are_written_too(tmp_path, archive):
    heard = []
    watch = Watch([heard.append], time.monotonic())
    watch.event("early", number=1)
    watch.attach(tmp_path / "events.jsonl", archive)
    watch.event("late", number=2)
    assert [event["event"] for event in read_events(tmp_path / "events.jsonl")] == ["early", "late"]
    assert [event["event"] for event in heard] == ["early", "late"]


def test_R04_an_event_cut_by_a_crash_does_not_take_the_next_one_with_it(tmp_path, archive):
    path = tmp_path / "events.jsonl"
    path.write_text('{"event": "epoch", "epoch": 1}\n{"event": "epo')
    watch = Watch([], time.monotonic())
    watch.attach(path, archive)
    watch.event("epoch", epoch=2)
    assert [event["epoch"] for event in read_events(path)] == [1, 2]
    assert json.loads(path.read_text().splitlines()[-1])["epoch"] == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_T08_a_signal_stops_at_the_next_safe_point_and_a_second_one_at_once(number):
    watch = Watch([], time.monotonic())
    before = signal.getsignal(number)
    with watch.stoppable():
        os.kill(os.getpid(), number)
        with pytest.raises(Interrupted) as stop:
            watch.progress("adapt", 1, 2)
        assert stop.value.exit_code == 128 + number
        with pytest.raises(Interrupted):
            signal.raise_signal(number)
    assert signal.getsignal(number) == before


def test_a_phase_is_told_also_when_it_ends_early(tmp_path, archive):
    watch = Watch([], time.monotonic())
    watch.attach(tmp_path / "events.jsonl", archive)
    with pytest.raises(RuntimeError), watch.phase("adapt", version=1):
        raise RuntimeError
    (event,) = read_events(tmp_path / "events.jsonl")
    assert (event["phase"], event["version"]) == ("adapt", 1)
