"""The Gaussian process: the most accurate predictor on few measurements, and it gives standard deviations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.optimize import minimize
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from naturalize.predictor.threads import one_thread

Floats = NDArray[np.float64]

FIT_ROWS = 300
"""Rows that the hyper-parameters are chosen on, at most; the other rows take part in the posterior alone."""

PREDICT_BYTES = 100_000_000
"""Memory for the covariances of the rows that are predicted together."""

NOISE = -4.0
"""Prior mean of the noise's logarithm; the other prior means are 0, and all prior standard deviations are 1."""

GROWN = 1.1
"""Growth of the rows from which on a warm start chooses the hyper-parameters again."""

WIDEST = 4.0
"""Largest distance of a hyper-parameter's logarithm from the mean of its prior."""

JITTER = 1e-8
"""Share of the mean variance that is added to each variance, so that equal rows can be told apart."""

MOST_LOG = 600.0
"""Largest logarithm that is turned back: a fit to a handful of rows may reach far beyond what a float holds."""


class GaussianProcess(RegressorMixin, BaseEstimator):
    """Gaussian process with a linear and a Matern 5/2 kernel, one length-scale for each group of columns.

    k(a, b) = s_l^2 a' . b' + s_m^2 m(|a' - b'|),  m(r) = (1 + sqrt(5) r + 5 r^2 / 3) exp(-sqrt(5) r),
    a' being a with each group g of p_g columns divided by its length-scale and by the root of p_g.

    Length-scales, both amplitudes and the noise are the most probable ones under unit normal priors on their
    logarithms, by L-BFGS with exact gradients (Rasmussen and Williams, section 5.4). Targets are standardised; with
    `margin`, their logarithms are, so that a difference between good architectures counts more than between bad ones.

    Columns should be standardised.

    Args:
        groups: of each column, any labels; all columns are one group where None.
        margin: share of the targets' range by which the zero of their logarithm lies below the least target; no
            logarithm where None.
        warm_start: begin another fit from the hyper-parameters of the one before, in place of the prior's mean; keep
            them until there are a tenth more rows, or other groups.

    Attributes:
        hyper_: the hyper-parameters' logarithms: length-scales by group, Matern and linear amplitude, noise.
        chosen_: what they were chosen for, groups, margin and whether targets vary; and on how many rows.
        X_: rows, `(n, p)`, each column divided by its length-scale and by the root of its group's size.
    """

    def __init__(
        self, groups: Sequence[Any] | None = None, margin: float | None = 0.4, warm_start: bool = False
    ) -> None:
        self.groups = groups
        self.margin = margin
        self.warm_start = warm_start

    def fit(self, X: Any, y: Any) -> GaussianProcess:
        """Fit to rows X `(n, p)` and targets y `(n,)`."""
        X, y = validate_data(self, X, y, dtype=np.float64, y_numeric=True)
        labels = np.zeros(X.shape[1], dtype=int)
        if self.groups is not None:
            if len(self.groups) != X.shape[1]:
                raise ValueError(f"groups of {len(self.groups)} columns, and {X.shape[1]} columns")
            labels = np.unique(np.asarray(self.groups), return_inverse=True)[1]
        self.labels_, self.sizes_ = labels, np.bincount(labels)
        self.target_ = Target.of(y.astype(np.float64), self.margin)
        z = self.target_.forward(y.astype(np.float64))
        with one_thread():
            of = labels.tolist(), self.margin, bool(np.ptp(y))
            before, rows = getattr(self, "chosen_", (None, 0)) if self.warm_start else (None, 0)
            if before != of or not rows <= len(X) < GROWN * rows:
                some = np.linspace(0, len(X) - 1, min(len(X), FIT_ROWS)).astype(int)
                posterior = LogPosterior(X[some], z[some], labels)
                same = before is not None and len(self.hyper_) == len(posterior.prior)
                start = self.hyper_ if same else posterior.prior
                found = minimize(posterior, start, jac=True, method="L-BFGS-B", bounds=posterior.bounds)
                self.hyper_: Floats = found.x
                self.chosen_ = of, len(X)
            self.lengths_, self.matern_, self.linear_, noise = split(self.hyper_)
            self.X_ = self._scaled(X)
            self.cholesky_ = factor(self._covariance(self.X_), noise)
            self.alpha_ = cho_solve(self.cholesky_, z)
        return self

    def predict(self, X: Any, return_std: bool = False) -> Floats | tuple[Floats, Floats]:
        """Medians, and half the distances between the quantiles at 16% and 84%. Shapes: `(n, p) -> (n,), (n,)`.

        The latter, if asked for, are those of the function, without the noise of a measurement.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        chunk = max(1, PREDICT_BYTES // (32 * len(self.X_)))
        with one_thread():
            found = [self._posterior(X[i : i + chunk], return_std) for i in range(0, len(X), chunk)]
        mean, std = (np.concatenate(parts) for parts in zip(*found, strict=True))
        values = self.target_.backward(mean)
        if not return_std:
            return values
        return values, (self.target_.backward(mean + std) - self.target_.backward(mean - std)) / 2

    def _posterior(self, X: Floats, with_std: bool) -> tuple[Floats, Floats]:
        """Mean and standard deviation of the transformed target, `(n,)` each; the latter 0 where not `with_std`."""
        scaled = self._scaled(X)
        cross = self._covariance(scaled)
        mean = cross @ self.alpha_
        if not with_std:
            return mean, np.zeros(len(X))
        own = self.matern_ + self.linear_ * (scaled**2).sum(axis=1)
        explained = solve_triangular(self.cholesky_[0], cross.T, lower=True)
        return mean, np.sqrt(np.maximum(own - (explained**2).sum(axis=0), 0))

    def _scaled(self, X: Floats) -> Floats:
        return X / (self.lengths_ * np.sqrt(self.sizes_))[self.labels_]

    def _covariance(self, scaled: Floats) -> Floats:
        """Covariance of rows with the fitted rows. Shapes: `(m, p) -> (m, n)`."""
        distance = np.sqrt(squared_distances(scaled, self.X_))
        return self.matern_ * matern(distance) + self.linear_ * (scaled @ self.X_.T)


@dataclass(frozen=True)
class Target:
    """The transformation of targets before a fit: their logarithm above `floor` if that is finite; standardised."""

    floor: float
    mean: float
    std: float

    @classmethod
    def of(cls, y: Floats, margin: float | None) -> Target:
        """The transformation for targets `(n,)`, with the margin of `GaussianProcess`."""
        spread = float(np.ptp(y))
        floor = -np.inf if margin is None or spread == 0 else float(y.min()) - margin * spread
        plain = cls(floor, 0.0, 1.0).forward(y)
        return cls(floor, float(plain.mean()), float(plain.std()) or 1.0)

    def forward(self, y: Floats) -> Floats:
        """Transform targets."""
        return ((y if np.isinf(self.floor) else np.log(y - self.floor)) - self.mean) / self.std

    def backward(self, z: Floats) -> Floats:
        """Turn transformed targets back."""
        plain = z * self.std + self.mean
        return plain if np.isinf(self.floor) else np.exp(np.minimum(plain, MOST_LOG)) + self.floor


class LogPosterior:
    """The negative logarithm of the posterior of hyper-parameters, and its gradient.

    Args:
        X: rows, `(n, p)`.
        z: targets, standardised, `(n,)`.
        labels: group of each column, 0 to g - 1, `(p,)`.
    """

    def __init__(self, X: Floats, z: Floats, labels: NDArray[np.int64]) -> None:
        self.z = z
        parts = [X[:, labels == group] for group in range(labels.max() + 1)]
        self.squared = np.stack([squared_distances(part, part) / part.shape[1] for part in parts])
        self.products = np.stack([part @ part.T / part.shape[1] for part in parts])
        self.prior = np.zeros(len(parts) + 3)
        self.prior[-1] = NOISE
        self.bounds = [(mean - WIDEST, mean + WIDEST) for mean in self.prior]

    def __call__(self, hyper: Floats) -> tuple[float, Floats]:
        """Value, and gradient by the logarithms of the hyper-parameters, `(g + 3,)`."""
        lengths, matern_amplitude, linear_amplitude, noise = split(hyper)
        n = len(self.z)
        distance = np.sqrt(np.tensordot(lengths**-2, self.squared, 1))
        kernel = matern_amplitude * matern(distance)
        linear = linear_amplitude * np.tensordot(lengths**-2, self.products, 1)
        cholesky = factor(kernel + linear, noise)
        alpha = cho_solve(cholesky, self.z)
        away = hyper - self.prior
        value = 0.5 * self.z @ alpha + np.log(np.diag(cholesky[0])).sum() + 0.5 * away @ away
        weight = 0.5 * (cho_solve(cholesky, np.eye(n)) - np.outer(alpha, alpha))
        slope = weight * matern_amplitude * matern_slope(distance)
        by_length = np.tensordot(self.squared, slope, 2) * lengths**-2
        by_length -= 2 * linear_amplitude * np.tensordot(self.products, weight, 2) * lengths**-2
        by_rest = 2 * (weight * kernel).sum(), 2 * (weight * linear).sum(), 2 * noise * np.trace(weight)
        return float(value), np.concatenate([by_length, by_rest]) + away


def factor(covariance: Floats, noise: float) -> tuple[Floats, bool]:
    """Cholesky factor of a covariance `(n, n)` plus the variance of the noise; the covariance is overwritten."""
    diagonal = np.diag_indices(len(covariance))
    covariance[diagonal] += noise + JITTER * covariance[diagonal].mean()
    return cho_factor(covariance, lower=True)


def split(hyper: Floats) -> tuple[Floats, float, float, float]:
    """Length-scales, then variances: Matern, linear, noise. From the logarithms of scales and standard deviations."""
    matern_amplitude, linear_amplitude, noise = np.exp(2 * hyper[-3:]).tolist()
    return np.exp(hyper[:-3]), matern_amplitude, linear_amplitude, noise


def squared_distances(A: Floats, B: Floats) -> Floats:
    """Squared distances of the rows of A to those of B. Shapes: `(m, p), (n, p) -> (m, n)`."""
    squared = (A**2).sum(axis=1)[:, None] + (B**2).sum(axis=1) - 2 * A @ B.T
    return np.maximum(squared, 0)


def matern(distance: Floats) -> Floats:
    """Matern 5/2 of distances in length-scales."""
    root = np.sqrt(5.0) * distance
    return (1 + root + root**2 / 3) * np.exp(-root)


def matern_slope(distance: Floats) -> Floats:
    """Minus twice the derivative of `matern` by the squared distance."""
    root = np.sqrt(5.0) * distance
    return 5 / 3 * (1 + root) * np.exp(-root)
