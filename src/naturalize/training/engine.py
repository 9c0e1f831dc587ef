"""Device and precision, by Lightning Fabric; threads: how many train, and how many networks are measured at once."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from statistics import median_low
from typing import TYPE_CHECKING, TypeVar

import torch

from naturalize.data.machine import allowed_cpus

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Item = TypeVar("Item")
Result = TypeVar("Result")

AT_ONCE = 8  # networks that are measured at once, at most: more would wait for Python's lock
TELL_S = 0.25
LATEST = 3  # times that tell which number of threads is faster by now


def make_fabric(accelerator: str = "auto") -> Fabric:
    """One device. Mixed precision on a GPU only: float32 trains twice as fast as bfloat16 on a CPU."""
    from lightning_fabric import Fabric  # brings torch's compiler: a third of a command's start, where none trains

    gpu = accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
    precision = "bf16-mixed" if gpu and torch.cuda.is_bf16_supported() else "32-true"
    logger = logging.getLogger("lightning_fabric")
    before = logger.level
    logger.setLevel(logging.WARNING)  # it would report the precision, which was chosen here
    try:
        return Fabric(accelerator="cuda" if gpu else "cpu", devices=1, precision=precision)
    finally:
        logger.setLevel(before)


def memory_format(device: torch.device) -> torch.memory_format:
    """The layout of weights and maps in memory: channels last on a CPU, first on a GPU.

    On a GPU, cuDNN compiles a program for each new depthwise convolution of maps with channels last, forward and
    backward, and an elastic network has new ones in every step: 7.3 s a step of `mini` on an H200 in place of 0.04 s.
    """
    return torch.channels_last if device.type == "cpu" else torch.contiguous_format


def quickest_thread_count(work: Callable[[], object], times: dict[int, list[float]] | None = None) -> int:
    """Set and return the number of threads, one or all allowed, with which `work` runs faster.

    On a busy machine two threads can be many times slower than one. The middle of the latest three times decides, or
    the lower of two: by a single one, a stall of a moment once left a run of 40 minutes with one thread of two.

    Args:
        work: what is timed.
        times: seconds of it by number of threads, from earlier calls, to which one more is added; timed twice where
            there are none.
    """
    times = {} if times is None else times
    counts, rounds = (allowed_cpus(), 1), 1 if times else 2
    torch.set_num_threads(counts[0])
    work()  # what else was done since has emptied the caches
    if counts[0] == 1:
        return 1
    for _ in range(rounds):
        for threads in counts:
            torch.set_num_threads(threads)
            start = time.perf_counter()
            work()
            times.setdefault(threads, []).append(time.perf_counter() - start)
    best = min(counts, key=lambda threads: median_low(times[threads][-LATEST:]))
    torch.set_num_threads(best)
    return best


def at_once(device: torch.device) -> int:
    """Networks that are measured at once: one for each CPU, since one network hardly uses two; one on a GPU."""
    return min(AT_ONCE, allowed_cpus()) if device.type == "cpu" else 1


def side_by_side(
    work: Callable[[Item], Result], items: Iterable[Item], device: torch.device, waiting: Callable[[], object]
) -> Iterator[Result]:
    """Yield results of `work` in the order of items, working on `at_once` of them in parallel, each with its own CPUs.

    An item is taken when a worker will soon be free, so items may end by the clock. A slow one holds back the results
    of those after it, but no worker. Errors of `work` and `waiting` are raised here; then, and when the iterator is
    left, work that has begun is awaited.

    Args:
        work: called in threads; shares nothing that it changes.
        items: to work on.
        device: that decides how many are worked on at once.
        waiting: called in this thread, several times a second.
    """
    workers = at_once(device)
    threads = max(1, allowed_cpus() // workers)  # a setting of the thread that sets it: training keeps its own
    begun: deque[Future[Result]] = deque()
    left, more = iter(items), True
    with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(threads,)) as pool:
        try:
            while begun or more:
                under_way = [future for future in begun if not future.done()]
                if begun and begun[0].done():
                    yield begun.popleft().result()
                elif more and len(under_way) <= workers:
                    try:
                        begun.append(pool.submit(work, next(left)))
                    except StopIteration:
                        more = False
                else:
                    wait(under_way, TELL_S, FIRST_COMPLETED)
                    waiting()
        finally:
            for future in begun:
                future.cancel()
