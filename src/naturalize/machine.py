"""The present speed of this machine: the best number of threads, and the seconds that a network and an image take."""

from __future__ import annotations

import time

import numpy as np
import torch

from naturalize import journal, rng
from naturalize.objectives import COST, ERROR
from naturalize.schedule import Costs
from naturalize.space import Architecture
from naturalize.training.engine import at_once, quickest_thread_count, side_by_side
from naturalize.training.evaluate import fold, images_at_once
from naturalize.workbench import Workbench

TIMED_PIXELS, LEAST_TIMED = 2**16, 4  # batch that threads are timed on: 64 images of 32 px, 4 of 128 px and more
TIMED_NETWORKS, SAMPLE = 4, 64  # networks that the machine is timed on, and the sample that they are picked from
ELASTIC_TRAINING = 8.0  # training on an image takes this many times as long as an answer, with two networks at once
SEARCH_S, READ_S, RESIZE_S = 2.0, 1e-3, 2e-4  # to fit and search; to read a picture; to resize one that was read
RESOLUTIONS_OF_A_FRONT = 8  # that a front is expected to have


def choose_threads(bench: Workbench) -> int:
    """Set the number of threads to that with which a few random networks train fastest at present; return it.

    Each call times them once more: other processes come and go. On a GPU nothing is timed.
    """
    before = torch.get_num_threads()
    if bench.device.type != "cpu":
        return before
    trainer = bench.trainer
    trainer.supernet.train(not trainer.keeps_statistics)
    batches = []
    for number, arch in enumerate(random_networks(bench)[::2]):
        images, labels = trainer.batch(number, arch)
        few = max(LEAST_TIMED, TIMED_PIXELS // images.shape[-1] ** 2)
        batches.append((arch, images[:few], labels[:few]))

    def work() -> None:
        for arch, images, labels in batches:
            bench.watch.check()
            trainer.fabric.backward(bench.task.loss(trainer.supernet(images, arch), labels))

    threads = quickest_thread_count(work, bench.thread_times)
    trainer.optimizer.zero_grad(set_to_none=True)
    if threads != before:
        bench.watch.event("threads", threads=threads)
    return threads


def random_networks(bench: Workbench, n: int = TIMED_NETWORKS) -> list[Architecture]:
    """The n networks that the machine is timed on: of a sample, spread by multiply-adds to make means alike."""
    space, generator = bench.space, rng.generator(bench.seed, "costs")
    sample = space.sample_trimmed if bench.starts_whole else space.sample
    codes = sample(SAMPLE, generator)
    order = bench.problem.exact[COST](codes).argsort(kind="stable")
    places = (np.arange(n) + 0.5) * SAMPLE / n
    return space.architectures(codes[order[places.astype(int)]])


def measure_costs(bench: Workbench) -> Costs:
    """Time a few random networks, and set the number of threads on the way.

    Each answers twice and the faster time counts: a single stall would make the whole plan ten times too slow. What
    else a run measures counts for each network, whatever the number of images is.
    """
    archs, subnets, error = random_networks(bench), bench.subnets, bench.error
    threads = choose_threads(bench)
    rows = np.arange(min(len(error.images), images_at_once(bench.run.trained[-1])))

    def seconds(arch: Architecture) -> tuple[float, float]:
        error.images(rows, subnets.resolution(arch))  # pictures are resized once, and not at every measurement
        start = time.perf_counter()
        network = fold(subnets.of(arch))
        cut_s, answer_s = time.perf_counter() - start, []
        for _ in range(2):
            start = time.perf_counter()
            error.answers(network, rows, arch)
            answer_s.append(time.perf_counter() - start)
        return cut_s, min(answer_s) / len(rows)

    each = np.array(list(side_by_side(seconds, archs, bench.device, bench.watch.check)))
    cut_s, image_s = (each.mean(axis=0) / at_once(bench.device)).tolist()
    besides_s = seconds_besides(bench, archs[len(archs) // 2]) / at_once(bench.device)
    times_ms = {"image_ms": 1e3 * image_s, "network_ms": 1e3 * cut_s, "besides_ms": 1e3 * besides_s}
    bench.watch.event("machine", threads=threads, **times_ms)
    sides = min(RESOLUTIONS_OF_A_FRONT, len(bench.run.trained))
    larger = bench.archive.decision(journal.LARGER) or {"test_s": 0.0}
    return Costs(image_s, cut_s + besides_s, SEARCH_S, read_test_s(bench, sides) + larger["test_s"])


def seconds_besides(bench: Workbench, arch: Architecture) -> float:
    """Seconds of what a run measures of a network besides its error: 0.0 where that is nothing."""
    start = time.perf_counter()
    for name, objective in bench.measures.items():
        if name != ERROR:
            objective.measure(np.array([arch.code]))
    return time.perf_counter() - start if len(bench.measures) > 1 else 0.0


def epoch_s(bench: Workbench, costs: Costs) -> float:
    """Estimated seconds of one epoch over the training and validation pictures."""
    return ELASTIC_TRAINING * costs.image_s * (len(bench.trainer.images.pixels) + len(bench.val))


def read_test_s(bench: Workbench, resolutions: int) -> float:
    """Estimated seconds to read the test pictures, and to resize them to a number of resolutions."""
    rows = bench.dataset.splits["test"]
    held = not bench.dataset.given_test and len(rows) and bench.dataset.holds(int(rows[-1]))
    return len(rows) * ((0.0 if held else READ_S) + RESIZE_S * resolutions)
