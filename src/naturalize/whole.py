"""The whole network by itself: fine-tuned before subnets are fitted to it, and read at large resolutions.

While it has all steps to itself, a published network learns a new set gently, and forgets little of what it knew. It is
the large end of the front: enlarged pictures suit a network that learnt from large ones, also where there is no time to
train on them (networks do better at larger resolutions than they trained at: Touvron et al., NeurIPS 2019). Figures are
in docs/benchmarks.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from naturalize import journal, rng
from naturalize.errors import UserError
from naturalize.probing import (
    LEAST_BUDGET_S,
    Probes,
    affordable,
    features_at,
    loaded,
    pictures_to_fit,
    probes_of,
    published,
    seconds_of_a_pixel,
    start_of_classifier,
    with_classifiers,
)
from naturalize.session import Session
from naturalize.space import Architecture
from naturalize.supernet import Subnet
from naturalize.tensor_files import save_tensors
from naturalize.training.adapt import Extent, cosine, warm_up
from naturalize.warm_start import fitted_rows, logistic_regression, plain_network, set_classifier, without_classifier
from naturalize.workbench import Workbench

FILE, WEIGHTS = "whole.safetensors", "whole-weights.safetensors"  # classifiers by resolution; the network
RATE_OF_NEW = 4e-4  # the same as the next one, for a head that knows nothing yet
RATE, WARM_UP_SHARE, BATCH = 2e-4, 0.1, 32  # of AdamW, where its cosine starts; rise to it; pictures in a batch
BEFORE = -2  # weights version that the tuning begins with; the next one it completes
FROM = 112  # the least trained resolution that is read too, in pixels: at smaller ones the supernet's network is better
LARGER = 0.1  # share, of a budget less twice what is used by then, for reading larger resolutions and their test


def choose_sides(bench: Workbench) -> None:
    """Decide at which resolutions the whole network will be read: those too large to be trained, and the largest ones.

    The largest comes first. Each is, if the budget has time for it and for its test, and if it meets the requirements.
    Another budget chooses again, until training begins.
    """
    probed, budget_s = probes_of(bench.run.directory), bench.run.settings.budget_s
    found = bench.archive.decision(journal.LARGER)
    same = found is not None and found["budget_s"] == budget_s
    if probed is None or same or bench.run.checkpoints.latest() is not None:
        return
    sides = sides_allowed(bench)
    tests, pixel_s = len(bench.dataset.splits["test"]), 0.0
    if budget_s is not None and budget_s < LEAST_BUDGET_S:
        sides = []
    chosen = sides[::-1]
    if budget_s is not None and sides:
        pixel_s = seconds_of_a_pixel(bench)
        read = len(fitted_rows(bench, pictures_to_fit(bench))) + len(probed.rows) + tests
        chosen = affordable(sides, pixel_s * read, LARGER * (budget_s - 2 * bench.watch.used_s))
    test_s = pixel_s * tests * sum(side**2 for side in chosen)
    bench.archive.record_decision(journal.LARGER, {"sides": chosen, "test_s": test_s, "budget_s": budget_s})


def sides_allowed(bench: Workbench) -> list[int]:
    """Resolutions at which the whole network may be read, ascending: large ones that meet the requirements."""
    family = bench.supernet.family
    allowed = bench.problem.allowed(family.space.wholes()).tolist()
    return [side for side, fits in zip(family.resolutions, allowed, strict=True) if fits and side >= FROM]


def tune(bench: Workbench, extent: Extent) -> None:
    """Fine-tune the whole network at the trained resolutions; its classifier starts from the probe's.

    It is the largest network of the supernet, whose weights it changes; all others are fitted to it afterwards.

    Args:
        bench: of the run, at its start or in the course of this training.
        extent: of the training.
    """
    if bench.run.checkpoints.latest() is None and bench.classifies:
        (body,) = bench.supernet.family.bodies
        set_classifier(bench, body, *start_of_classifier(bench))
    images = bench.trainer.images
    size = min(BATCH, bench.trainer.batches.size)
    batches = replace(bench.trainer.batches, size=size)
    bench = replace(bench, trainer=replace(bench.trainer, batches=batches))
    archs = bench.space.architectures(bench.space.wholes())
    large = len(archs) - 1
    if not bench.classifies:  # enlarged pictures take long
        large = max(0, int(np.searchsorted(bench.run.trained, images.labels.shape[1], "right")) - 1)

    def draw(step: int) -> Architecture:
        """At a large resolution every other time, since it is read beyond; at a random one between."""
        return archs[rng.generator(bench.seed, "tune", step).integers(large if step % 2 else 0, len(archs))]

    rate = warm_up(cosine(0.0, 1.0, RATE if bench.classifies else RATE_OF_NEW), WARM_UP_SHARE)
    session = Session(bench, BEFORE)
    session.train("tune", BEFORE + 1, lambda first: bench.trainer.adaptation_step(draw, first), extent, rate)


def is_tuned(bench: Workbench) -> bool:
    """Whether the whole network is trained by itself: where it is read, or a new head learns with it."""
    return bool(sides_to_read(bench)) or (bench.starts_whole and not bench.classifies)


def read_whole(bench: Workbench) -> bool:
    """Read the whole network of the present supernet at the resolutions that were chosen.

    The run gets its weights, and a classifier with validation answers for each of them. Validation pictures are read
    plain, in one view. Returns False, and does nothing, where that is done already.
    """
    directory, sides = bench.run.directory, sides_to_read(bench)
    probed = probes_of(directory)
    if probed is None or not sides or bench.archive.decision(journal.READ):
        return False
    network = plain_network(bench, bench.supernet, bench.space.largest)
    save_tensors(directory / WEIGHTS, network.state_dict())
    network, task = without_classifier(network), bench.task
    rows, answered = fitted_rows(bench, pictures_to_fit(bench)), probed.rows
    labels, truth = bench.trainer.images.labels[rows], torch.from_numpy(bench.val.labels[answered])
    probes = Probes({}, {}, answered, {})
    for side in sides:
        with bench.watch.phase("larger", resolution=side):
            of_train = features_at(bench, network, bench.trainer.images.pixels, rows, side, "larger")
            of_val = features_at(bench, network, bench.val, answered, side, "larger")
            weight, bias = logistic_regression(task, of_train, labels)
            probes.answers[side] = task.answers(of_val @ weight.T + bias, truth).numpy()[None]
            if bench.run.settings.budget_s is not None:  # as the last adaptation: validation has judged
                features, both = torch.cat([of_train, of_val]), torch.cat([labels, truth])
                weight, bias = logistic_regression(task, features, both)
            probes.weight[side], probes.bias[side] = weight, bias
    probes.write(directory / FILE)
    bench.archive.record_decision(journal.READ, True)
    return True


def check_read(bench: Workbench) -> None:
    """Raise `UserError` where the whole network, or what was read by it, is gone or damaged."""
    for path in (bench.run.directory / name for name in (FILE, WEIGHTS)):
        if not bench.archive.decision(journal.READ):
            return
        if not path.exists():
            raise UserError(f"{path} is gone: put it back from a copy, or start the run anew")
        loaded(path)


def sides_to_read(bench: Workbench) -> list[int]:
    """Resolutions at which the whole network is read, the largest first; none where it is not trained by itself."""
    decided = bench.archive.decision(journal.LARGER)
    return [] if decided is None else list(decided["sides"])


def whole_networks(bench: Workbench, resolutions: Sequence[int]) -> dict[int, Subnet]:
    """The whole network as it was read, by resolution, each with the classifier of that resolution."""
    probes = probes_of(bench.run.directory, FILE)
    if probes is None or not resolutions:
        return {}
    network = published(bench)
    network.load_state_dict(loaded(bench.run.directory / WEIGHTS))
    return with_classifiers(network, probes, resolutions)
