"""The predictor that ranks best on the pairs at hand, chosen by cross-validation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.utils.validation import check_is_fitted, validate_data

from naturalize.predictor.held_out import held_out_rank_correlation


class BestPredictor(RegressorMixin, BaseEstimator):
    """The one of several predictors with the highest rank correlation on rows that it was not fitted on.

    Args:
        predictors: names and regressors; the first wins where none is better, or where no order is defined.
        random_state: seed of the folds.

    Attributes:
        rank_correlations_: Kendall's tau by name; nan where it is not defined.
        best_: name of the chosen predictor.
        predictor_: the chosen predictor, fitted to all rows.
    """

    def __init__(self, predictors: Sequence[tuple[str, RegressorMixin]], random_state: int = 0) -> None:
        self.predictors = predictors
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> BestPredictor:
        """Choose a predictor and fit it to rows X `(n, d)` and targets y `(n,)`."""
        X, y = validate_data(self, X, y, dtype=None, y_numeric=True)
        taus = [held_out_rank_correlation(predictor, X, y, self.random_state) for _, predictor in self.predictors]
        self.rank_correlations_ = {name: tau for (name, _), tau in zip(self.predictors, taus, strict=True)}
        self.best_, best = self.predictors[int(np.argmax(np.nan_to_num(taus, nan=-2.0)))]
        self.predictor_ = clone(best).fit(X, y)
        return self

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """Predictions of the chosen predictor, and their standard deviations if asked for. `(n, d) -> (n,), (n,)`."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=None, reset=False)
        return self.predictor_.predict(X, return_std=True) if return_std else self.predictor_.predict(X)
