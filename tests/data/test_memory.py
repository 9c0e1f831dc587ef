"""What is kept of very many pictures, and of work that waits."""

import sys
from array import array

import numpy as np
import pytest
from pictures import Fx

from naturalize.data import machine, open_data
from naturalize.data.machine import in_threads
from naturalize.data.parts import Texts


def test_a_picture_that_is_not_held_takes_a_third_of_a_kilobyte_beside_its_path(fx: Fx) -> None:
    dataset = open_data(fx("photos", 200, "cat", "dog"), memory_limit=0)
    part = dataset.entries[0].part
    assert isinstance(part.names, Texts)
    assert isinstance(part.sizes, array)
    assert isinstance(dataset.paths, Texts)
    modes = set()
    for entry in dataset.entries:
        assert entry.seen is not None
        assert not hasattr(entry.seen, "__dict__")
        assert sum(map(sys.getsizeof, (entry, entry.row, entry.seen, entry.seen.content))) < 330
        modes.add(id(entry.seen.mode))
    assert len(modes) == 1


@pytest.mark.parametrize("texts", [[], ["a", "", "ü猫", "b\udcff", "x" * 1000], [f"{row}.jpg" for row in range(300)]])
def test_texts_are_those_that_were_given(texts: list[str]) -> None:
    kept = Texts(texts)
    assert len(kept) == len(texts)
    assert list(kept) == texts
    assert kept == tuple(texts)
    assert kept != [*texts, "more"]
    assert kept[1:3] == texts[1:3]
    if texts:
        assert kept[-1] == texts[-1]
        assert kept.index(texts[2]) == 2
        assert kept[np.int64(1)] == texts[1]
    with pytest.raises(IndexError):
        kept[len(texts)]


@pytest.mark.parametrize("count", [0, 1, 7, 500])
def test_ranges_come_back_in_order_and_few_wait(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "AHEAD", 3)
    begun: list[int] = []
    told: list[tuple[str, int, int]] = []

    def work(rows: range) -> list[int]:
        begun.append(rows.start)
        return list(rows)

    def progress(phase: str, done: int, total: int) -> None:
        assert len(begun) <= done // 3 + 4
        told.append((phase, done, total))

    found = in_threads(work, count, 3, "scan", progress)
    assert [row for rows in found for row in rows] == list(range(count))
    assert told == [("scan", min(start + 3, count), count) for start in range(0, count, 3)]


def test_work_that_has_not_begun_is_dropped_when_progress_raises() -> None:
    begun: list[int] = []

    def stop(phase: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        in_threads(lambda rows: begun.append(rows.start), 10_000, 1, "scan", stop)
    assert len(begun) < 1000
