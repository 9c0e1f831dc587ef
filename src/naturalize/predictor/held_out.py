"""Rank correlation of a predictor on architectures that it was not fitted on."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau
from sklearn.base import RegressorMixin
from sklearn.model_selection import KFold, cross_val_predict

FOLDS = 5


def held_out_rank_correlation(predictor: RegressorMixin, X: NDArray[Any], y: NDArray[np.float64], seed: int) -> float:
    """Kendall's tau between measured and predicted values, each predicted by a model that did not see it.

    Cross-validation in five folds (as many as there are rows, if fewer). It answers "are these measurements enough?":
    1 is the true order, 0 is no better than chance. The predictor itself is left as it is; clones are fitted.

    Args:
        predictor: any scikit-learn regressor.
        X: inputs of the predictor, codes or numbers, `(n, d)`.
        y: measured values, `(n,)`.
        seed: of the folds.

    Returns:
        A number from -1 to 1; nan where no order is defined: fewer than three rows, or all values equal.
    """
    if len(y) < 3 or np.ptp(y) == 0:
        return float("nan")
    folds = KFold(min(FOLDS, len(y)), shuffle=True, random_state=seed)
    predicted = cross_val_predict(predictor, X, y, cv=folds)
    return float(kendalltau(y, predicted).statistic)
