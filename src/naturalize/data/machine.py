"""What this process may use of the machine: threads and memory."""

import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from naturalize.progress import Progress, silent

AHEAD = 64  # ranges that wait for a thread, or to be fetched: each of a million would take a kilobyte

Result = TypeVar("Result")


def allowed_cpus() -> int:
    """CPUs that this process may use: fewer than the machine's in a container or under `taskset`."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def available_memory() -> int:
    """Bytes that can be allocated without swapping: the least of what the system and the container leave."""
    system = _meminfo() or os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    group = Path("/sys/fs/cgroup")
    try:
        limit, used = (group / "memory.max").read_text().strip(), (group / "memory.current").read_text()
    except OSError:
        return system
    return system if limit == "max" else max(0, min(system, int(limit) - int(used)))


def _meminfo() -> int:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable")), 0)


def pixel_budget() -> int:
    """Bytes that one store of decoded pixels may take unless told: a quarter of the available memory."""
    return available_memory() // 4


def in_threads(
    work: Callable[[range], Result], count: int, chunk: int, phase: str = "", progress: Progress = silent
) -> list[Result]:
    """`work` of consecutive ranges that cover `range(count)`, results in order; Pillow decodes and resizes in parallel.

    `progress` is called from this thread after every range; when it raises, what has not begun is dropped.
    """
    starts = range(0, count, chunk)
    results: list[Result] = []
    begun: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(min(allowed_cpus(), max(1, len(starts))))
    try:
        for number in range(len(starts) + AHEAD):
            if number < len(starts):
                begun.append(pool.submit(work, range(starts[number], min(starts[number] + chunk, count))))
            if number >= AHEAD and begun:
                results.append(begun.popleft().result())
                progress(phase, min(len(results) * chunk, count), count)
    finally:
        pool.shutdown(cancel_futures=True)
    return results
