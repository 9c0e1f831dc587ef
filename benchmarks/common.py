"""What the benchmark scripts share: transfers by the real command line, and results as small JSON files."""

import json
import multiprocessing
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from naturalize.report.report import best_network

if TYPE_CHECKING:
    from naturalize.workbench import Workbench

HERE = Path(__file__).parent
SHARED = HERE.parents[1] / "shared" / "data"

Front = dict[str, Any]
Job = TypeVar("Job")
Result = TypeVar("Result")


def machine() -> dict[str, Any]:
    """The machine and the libraries that figures were measured with."""
    import torch

    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"cpus": cpus, "processor": processor(), "python": platform.python_version(), "torch": torch.__version__}


def processor() -> str:
    """The processor's name."""
    info = Path("/proc/cpuinfo")
    names = [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    return names[0] if names else platform.machine()


def transfer(data: str | Path, out: Path, *options: str) -> tuple[Front, float]:
    """Run `naturalize transfer` in a process of its own; its front and its wall clock in seconds.

    A run that is finished already is not repeated, so a benchmark that was stopped goes on where it was.
    """
    start = time.perf_counter()
    command = [sys.executable, "-m", "naturalize", "transfer", str(data), "--out", str(out), *options]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return read_front(out), time.perf_counter() - start


def seconds(work: Callable[[], object]) -> float:
    """Wall clock of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def each_on_a_cpu(work: Callable[[Job], Result], jobs: Iterable[Job]) -> list[Result]:
    """Results of jobs, in order; each process is kept on a CPU of its own, as many at once as there are CPUs."""
    context = multiprocessing.get_context("spawn")
    cpus, free = sorted(os.sched_getaffinity(0)), context.Queue()
    for cpu in cpus:
        free.put(cpu)
    with ProcessPoolExecutor(len(cpus), context, take_a_cpu, (free,)) as pool:
        return list(pool.map(work, jobs))


def take_a_cpu(free: Any) -> None:
    """Keep this process on a CPU of its own."""
    os.sched_setaffinity(0, {free.get()})


def answer_all_unseen(own: "Workbench") -> None:
    """Let errors be those on all pictures that are not trained on: for choices, on data of which no result is told."""
    from naturalize.data import Pixels

    own.dataset.scan_test(own.watch.progress)
    rows = np.concatenate([own.dataset.splits["val"], own.dataset.splits["test"]])
    own.error.images = Pixels(own.dataset, rows, own.supernet.family.resolutions)


def read_front(run: Path) -> Front:
    """front.json of a run."""
    return json.loads((run / "front.json").read_text(encoding="utf-8"))


def best(front: Front) -> dict[str, Any]:
    """The network that `naturalize export` takes: the most accurate by validation."""
    return front["networks"][best_network(front)]


def write(name: str, result: dict[str, Any]) -> None:
    """Write results/NAME.json, with the machine."""
    path = HERE / "results" / f"{name}.json"
    path.write_text(json.dumps({"machine": machine(), **result}, indent=1) + "\n", encoding="utf-8")
    print(f"\nwrote {path.relative_to(HERE.parent)}")
