"""How fast this machine is by now: the number of threads, and what a network and an image take."""

from __future__ import annotations

import time

import numpy as np

from naturalize import rng
from naturalize.schedule import Costs
from naturalize.setting import Setting
from naturalize.space import Architecture
from naturalize.training.engine import at_once, quickest_thread_count, side_by_side
from naturalize.training.evaluate import fold, images_at_once

TIMED_PIXELS, LEAST_TIMED = 2**16, 4  # of a batch by which threads are timed: 64 images of 32 px, 4 of 128 and more
TIMED_NETWORKS, SAMPLE = 4, 64  # by which the machine is timed, and of how many they are
ELASTIC_TRAINING = 8.0  # a step takes so many times as long as answers of networks that were cut, two of them at once
SEARCH_S, READ_S, RESIZE_S = 2.0, 1e-3, 2e-4  # to fit and search; to read a picture; to resize one that was read
RESOLUTIONS_OF_A_FRONT = 8  # that are expected


def choose_threads(setting: Setting) -> int:
    """Take the number of threads with which a few random networks train fastest, at present."""
    trainer = setting.trainer
    trainer.supernet.train(not trainer.keeps_statistics)
    batches = []
    for number, arch in enumerate(random_networks(setting)[::2]):
        images, labels = trainer.batch(number, arch)
        few = max(LEAST_TIMED, TIMED_PIXELS // images.shape[-1] ** 2)
        batches.append((arch, images[:few], labels[:few]))

    def work() -> None:
        for arch, images, labels in batches:
            setting.watch.check()
            trainer.fabric.backward(setting.task.loss(trainer.supernet(images, arch), labels))

    threads = quickest_thread_count(work)
    trainer.optimizer.zero_grad(set_to_none=True)
    return threads


def random_networks(setting: Setting) -> list[Architecture]:
    """Those by which the machine is timed: a few of a sample, spread by multiply-adds, so that means are alike."""
    space, generator = setting.supernet.family.space, rng.generator(setting.seed, "costs")
    sample = space.sample_trimmed if setting.reads_published else space.sample
    codes = sample(SAMPLE, generator)
    order = setting.problem.exact["madds"](codes).argsort(kind="stable")
    places = (np.arange(TIMED_NETWORKS) + 0.5) * SAMPLE / TIMED_NETWORKS
    return space.architectures(codes[order[places.astype(int)]])


def measure_costs(setting: Setting) -> Costs:
    """Time a few random networks, and choose the number of threads on the way.

    Each answers twice, and the quicker counts: one stall would make all that is planned ten times as dear.
    """
    archs, subnets, error = random_networks(setting), setting.subnets, setting.error
    threads = choose_threads(setting)
    rows = np.arange(min(len(error.images), images_at_once(setting.supernet.family.resolutions[-1])))

    def seconds(arch: Architecture) -> tuple[float, float]:
        error.images(rows, subnets.resolution(arch))  # made once, and not at every measurement
        start = time.perf_counter()
        network = fold(subnets.of(arch))
        cut_s, answer_s = time.perf_counter() - start, []
        for _ in range(2):
            start = time.perf_counter()
            error.answer(network, rows, arch)
            answer_s.append(time.perf_counter() - start)
        return cut_s, min(answer_s) / len(rows)

    each = np.array(list(side_by_side(seconds, archs, setting.device, setting.watch.check)))
    network_s, image_s = (each.mean(axis=0) / at_once(setting.device)).tolist()
    setting.watch.event("machine", threads=threads, image_ms=1e3 * image_s, network_ms=1e3 * network_s)
    sides = min(RESOLUTIONS_OF_A_FRONT, len(setting.supernet.family.resolutions))
    return Costs(image_s, network_s, SEARCH_S, read_test_s(setting, sides))


def epoch_s(setting: Setting, costs: Costs) -> float:
    """What an epoch of training and validation pictures takes, about."""
    return ELASTIC_TRAINING * costs.image_s * (len(setting.trainer.images.pixels) + len(setting.val))


def read_test_s(setting: Setting, resolutions: int) -> float:
    """What reading the test pictures takes, about, and resizing them to so many resolutions."""
    rows = setting.dataset.splits["test"]
    held = not setting.dataset.given_test and len(rows) and setting.dataset.holds(int(rows[-1]))
    return len(rows) * ((0.0 if held else READ_S) + RESIZE_S * resolutions)
