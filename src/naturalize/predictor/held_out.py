"""Predictions for architectures that a predictor was not fitted on, and how well they rank."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau
from sklearn.base import RegressorMixin
from sklearn.model_selection import KFold, cross_val_predict

FOLDS = 5


def held_out_rank_correlation(predictor: RegressorMixin, X: NDArray[Any], y: NDArray[np.float64], seed: int) -> float:
    """Kendall's tau between measured values and `held_out_predictions`; arguments as there.

    It answers "are these measurements enough?": 1 is the true order, 0 is no better than chance, nan is no order.
    """
    return rank_correlation(y, held_out_predictions(predictor, X, y, seed))


def held_out_predictions(
    predictor: RegressorMixin, X: NDArray[Any], y: NDArray[np.float64], seed: int
) -> NDArray[np.float64]:
    """The value that is predicted for each row by a model that did not see it.

    Cross-validation in five folds (as many as there are rows, if fewer). The predictor itself is left as it is; clones
    are fitted.

    Args:
        predictor: any scikit-learn regressor.
        X: inputs of the predictor, codes or numbers, `(n, d)`.
        y: measured values, `(n,)`.
        seed: of the folds.

    Returns:
        `(n,)`; nan where no order is defined: fewer than three rows, or all values equal.
    """
    if len(y) < 3 or np.ptp(y) == 0:
        return np.full(len(y), np.nan)
    folds = KFold(min(FOLDS, len(y)), shuffle=True, random_state=seed)
    return np.asarray(cross_val_predict(predictor, X, y, cv=folds), dtype=np.float64)


def rank_correlation(measured: NDArray[np.float64], predicted: NDArray[np.float64]) -> float:
    """Kendall's tau of two rankings `(n,)`, -1 to 1; nan where a value is."""
    return float(kendalltau(measured, predicted).statistic)
