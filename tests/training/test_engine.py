"""Networks measured side by side: order, threads, and what happens when one of them fails or time is over."""

import threading
import time

import pytest
import torch
from lightning_fabric import Fabric
from torch.nn import functional as F

from naturalize.training.engine import at_once, make_fabric, memory_format, quickest_thread_count, side_by_side

CPU = torch.device("cpu")


def nothing() -> None:
    """Called while waiting."""


@pytest.fixture
def two_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine with two CPUs."""
    monkeypatch.setattr("naturalize.training.engine.allowed_cpus", lambda: 2)


def test_results_come_in_order_and_two_are_worked_on_at_once(two_cpus: None) -> None:
    both = threading.Barrier(2, timeout=10)  # breaks unless two are inside at the same time

    def work(item: int) -> int:
        both.wait()
        time.sleep(0.05 * (item % 2))
        return item

    assert list(side_by_side(work, range(6), CPU, nothing)) == list(range(6))


def test_one_that_takes_long_holds_back_results_but_no_worker(two_cpus: None) -> None:
    others = threading.Event()

    def work(item: int) -> int:
        if item == 0:
            assert others.wait(10), "the others were not begun while the first was under way"
        if item == 5:
            others.set()
        return item

    assert list(side_by_side(work, range(6), CPU, nothing)) == list(range(6))


def test_each_has_its_own_cpus_and_training_keeps_its_threads(two_cpus: None) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert list(side_by_side(lambda item: torch.get_num_threads(), range(4), CPU, nothing)) == [1] * 4
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_a_stall_does_not_choose_the_number_of_threads_and_a_busy_machine_does(two_cpus: None) -> None:
    before, takes, calls = torch.get_num_threads(), {2: 0.01, 1: 0.03}, list[int]()

    def work() -> None:
        calls.append(torch.get_num_threads())
        time.sleep(0.2 if len(calls) == 2 else takes[calls[-1]])  # the first one that counts stalls

    times = dict[int, list[float]]()
    try:
        assert quickest_thread_count(work, times) == torch.get_num_threads() == 2
        assert calls == [2, 2, 1, 2, 1], "once for nothing"
        assert [len(times[threads]) for threads in (1, 2)] == [2, 2]
        takes[2] = 0.1  # another process wants the same CPUs
        assert quickest_thread_count(work, times) == torch.get_num_threads() == 1
        assert len(calls) == 8
    finally:
        torch.set_num_threads(before)


def test_one_at_a_time_on_a_gpu(two_cpus: None) -> None:
    assert at_once(torch.device("cuda")) == 1
    assert at_once(CPU) == 2


def test_items_may_end_by_what_was_done(two_cpus: None) -> None:
    found: list[int] = []

    def items():
        number = 0
        while len(found) < 3:
            yield number
            number += 1

    for item in side_by_side(lambda item: item, items(), CPU, nothing):
        found.append(item)
    assert found == list(range(len(found)))
    assert 3 <= len(found) <= 6


def test_what_fails_is_raised_and_what_has_not_begun_is_dropped(two_cpus: None) -> None:
    begun: list[int] = []

    def work(item: int) -> int:
        begun.append(item)
        if item == 1:
            raise ValueError("item 1")
        return item

    with pytest.raises(ValueError, match="item 1"):
        list(side_by_side(work, range(100), CPU, nothing))
    assert len(begun) < 10


def test_a_stop_while_waiting_is_raised_at_once(two_cpus: None) -> None:
    over = threading.Event()

    def stop() -> None:
        over.set()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(side_by_side(lambda item: over.wait(10), range(8), CPU, stop))


def test_the_fabric_says_nothing_of_its_precision(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def as_a_gpu_has_it(**options: object) -> Fabric:
        return Fabric(accelerator="cpu", precision="bf16-mixed")

    monkeypatch.setattr("lightning_fabric.Fabric", as_a_gpu_has_it)
    make_fabric()
    assert not caplog.records
    as_a_gpu_has_it()
    assert caplog.records, "what a caller's own Fabric says is told as before"


def test_channels_come_last_on_a_cpu_only() -> None:
    assert memory_format(CPU) is torch.channels_last
    assert memory_format(torch.device("cuda")) is torch.contiguous_format


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_new_depthwise_convolutions_cost_a_gpu_nothing() -> None:
    gpu = torch.device("cuda")

    def seconds(channels: int) -> float:
        maps = torch.randn(64, channels, 16, 16, device=gpu).to(memory_format=memory_format(gpu)).requires_grad_()
        weight = torch.randn(channels, 1, 3, 3, device=gpu, requires_grad=True)
        start = time.perf_counter()
        F.conv2d(maps, weight, padding=1, groups=channels).sum().backward()
        torch.cuda.synchronize()
        return time.perf_counter() - start

    seconds(40)  # what any convolution loads at first
    assert sum(seconds(channels) for channels in range(48, 128, 8)) < 1.0
