"""How sure a classifier's answers are, and what is left of them above a probability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

NONE = "none of these"  # stands for the classes of an answer below the threshold
STEPS = 100  # parts of the probabilities from 0 to 1


def confidence_of(probability: NDArray[np.floating], wrong: NDArray[np.bool_]) -> dict[str, list[int]]:
    """Numbers of `images` and of `wrong` answers in each hundredth of the probability, from 0 up.

    Args:
        probability: of each image's answer, `(n,)`.
        wrong: whether it is wrong, `(n,)`.
    """
    step = np.minimum((probability.astype(np.float64) * STEPS).astype(int), STEPS - 1)
    return {
        "images": np.bincount(step, minlength=STEPS).tolist(),
        "wrong": np.bincount(step[wrong], minlength=STEPS).tolist(),
    }


def above(confidence: Mapping[str, Sequence[int]], threshold: float) -> tuple[float, float | None]:
    """Percent of images whose answer is below a threshold, and percent wrong of the others; None where none is left.

    Args:
        confidence: as of `confidence_of`.
        threshold: a probability, by its nearest hundredth.
    """
    images, wrong = np.array(confidence["images"]), np.array(confidence["wrong"])
    first = round(STEPS * threshold)
    left = int(images[first:].sum())
    refused = 100.0 * float(images[:first].sum()) / max(1, int(images.sum()))
    return refused, 100.0 * float(wrong[first:].sum()) / left if left else None
