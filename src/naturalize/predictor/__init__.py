"""Predictors: scikit-learn regressors from codes to error, fitted anew in every iteration on few measurements.

A regressor follows scikit-learn's contract to the letter (`check_estimator` proves it), and predicts many architectures
at once. A new one is a name in `PREDICTORS` and a line in `making.MAKERS`.

This file imports no scikit-learn, which takes a second or more: so the search library and the command line start at
once, and only what fits a predictor waits for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from naturalize.errors import unknown
from naturalize.space import SearchSpace

if TYPE_CHECKING:
    from sklearn.base import RegressorMixin

Counts = Callable[[Any], NDArray[np.float64]]
"""A function from codes `(n, d)` to known numbers of each architecture, `(n,)` or `(n, k)`, as counts by stage."""

PREDICTORS = ("auto", "cart", "gaussian-process", "mlp", "rbf", "rbf-ensemble")

WITH_SPREAD = ("auto", "gaussian-process", "rbf-ensemble")
"""Predictors that give a standard deviation too: `predict(codes, return_std=True)`."""


def make(name: str, space: SearchSpace, seed: int, counts: Sequence[Counts] = ()) -> RegressorMixin:
    """An unfitted predictor of codes `(n, d)` by its name in `PREDICTORS`.

    Args:
        name: one of `PREDICTORS`.
        space: of the codes.
        seed: of all draws.
        counts: functions for known numbers of an architecture, for predictors that use them.

    Raises:
        UserError: for an unknown name.
    """
    if name not in PREDICTORS:
        raise unknown("predictor", name, PREDICTORS)
    from naturalize.predictor.making import MAKERS

    return MAKERS[name](space, counts, seed)
