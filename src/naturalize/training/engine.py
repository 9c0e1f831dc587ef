"""Device, precision and threads, by Lightning Fabric."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import torch
from lightning_fabric import Fabric


def allowed_cpus() -> int:
    """CPUs that this process may use: fewer than the machine's in a container or under `taskset`."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def make_fabric(accelerator: str = "auto") -> Fabric:
    """One device. Mixed precision on a GPU only: float32 trains twice as fast as bfloat16 on a CPU."""
    gpu = accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
    precision = ("bf16-mixed" if torch.cuda.is_bf16_supported() else "16-mixed") if gpu else "32-true"
    return Fabric(accelerator="cuda" if gpu else "cpu", devices=1, precision=precision)


def quickest_thread_count(work: Callable[[], object]) -> int:
    """The number of threads, one or all allowed, with which `work` runs faster; it is set.

    On a busy machine two threads can be many times slower than one.
    """
    best, best_s = 1, float("inf")
    for threads in sorted({1, allowed_cpus()}, reverse=True):
        torch.set_num_threads(threads)
        work()
        start = time.perf_counter()
        work()
        seconds = time.perf_counter() - start
        if seconds < best_s:
            best, best_s = threads, seconds
    torch.set_num_threads(best)
    return best
