"""Preparation: a supernet that has no weights learns to have good subnets, before anything is searched."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from naturalize import rng
from naturalize.session import Session
from naturalize.space import Architecture, SearchSpace
from naturalize.training.adapt import Extent, cosine, warm_up

RATE = 0.1  # of new weights; falls to adaptation's
BEFORE_ADAPTATION = 0.5
WARM_UP_RATE = 0.02  # of a new head on a trained body
WARM_UP_SHARE = 0.1


def prepare(session: Session, extent: Extent, curve: float = BEFORE_ADAPTATION) -> None:
    """Weights version 0.

    New weights: the sandwich rule. Every batch trains the largest, the smallest and two random subnets; all but the
    largest are distilled from it (Yu et al., BigNAS, ECCV 2020). A trained body with a new head: a warm-up on uniformly
    drawn architectures, with a rate that rises linearly.

    Args:
        curve: share of a cosine to zero that the learning rate follows; 1 where no adaptation comes after.
    """
    setting = session.setting
    space, trainer, seed = setting.supernet.family.space, setting.trainer, setting.seed
    if setting.run.settings.weights is None:
        rate = warm_up(cosine(0.0, curve, RATE), WARM_UP_SHARE)
        session.train(
            "prepare", 0, lambda first: trainer.sandwich_step(partial(sandwich, space, seed), first), extent, rate
        )
    else:
        rate = warm_up(lambda done: WARM_UP_RATE, 1.0)
        session.train(
            "prepare", 0, lambda first: trainer.adaptation_step(partial(uniform, space, seed), first), extent, rate
        )


def sandwich(space: SearchSpace, seed: int, step: int) -> Sequence[Architecture]:
    """The architectures of a step: largest, smallest, two uniform ones; all of one body, bodies taking turns."""
    random = space.sample(2, rng.generator(seed, "sandwich", step))
    codes = np.concatenate([space.corners()[::-1], random])
    bodies = int(space.upper[1] - space.lower[1]) + 1
    codes[:, 1] = space.lower[1] + step % bodies
    return space.architectures(codes)


def uniform(space: SearchSpace, seed: int, step: int) -> Architecture:
    """The architecture of a step, drawn uniformly."""
    return space.architectures(space.sample(1, rng.generator(seed, "uniform", step)))[0]
