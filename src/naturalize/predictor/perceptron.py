"""The multi-layer perceptron: one of the predictors that the paper compares."""

from __future__ import annotations

import warnings
from typing import Any

from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor

from naturalize.predictor.threads import one_thread


class MultiLayerPerceptron(MLPRegressor):
    """scikit-learn's perceptron, fitted in one thread; ending at the last iteration is no reason for a warning."""

    def fit(self, X: Any, y: Any, **options: Any) -> MultiLayerPerceptron:
        """Fit to rows X `(n, d)` and targets y `(n,)`, with options of scikit-learn."""
        with one_thread(), warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            super().fit(X, y, **options)
        return self
