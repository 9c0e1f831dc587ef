"""The multi-layer perceptron: one of the predictors that the paper compares."""

from __future__ import annotations

import warnings
from typing import Any

from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor

from naturalize.predictor.threads import one_thread


class MultiLayerPerceptron(MLPRegressor):
    """scikit-learn's, fitted in one thread; its last iteration is where it should end, and nothing to warn of."""

    def fit(self, X: Any, y: Any, **options: Any) -> MultiLayerPerceptron:
        """Shapes: `(n, d), (n,)`. Options are those of scikit-learn."""
        with one_thread(), warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            super().fit(X, y, **options)
        return self
