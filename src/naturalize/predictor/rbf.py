"""Radial basis functions: one of the paper's predictors, and the ensemble of them that it settles on.

All members are fitted and evaluated together: a member is a mask over the variables, and a sum over masked variables is
a matrix product for all members at once (benchmarks/predictor.py measures it against one by one).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import qr
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from naturalize.predictor.threads import one_thread

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

FIT_BYTES = 100_000_000
"""Memory for the linear systems of the members that are fitted together; solving them needs about twice as much."""

PREDICT_BYTES = 4_000_000
"""Memory for the distances of the rows that are predicted together: little, so that they stay in the cache."""

REDRAWS = 50
"""Rounds of redrawing subsets that the data do not determine, before a single variable is taken instead."""

DETERMINED = 1e-8
"""Smallest eigenvalue of the variables' correlations at which a linear function of them still counts as determined."""


class RBFEnsemble(RegressorMixin, BaseEstimator):
    """Median of many cubic radial basis function models, each on a random subset of the variables.

    A member interpolates its training rows by `sum_i w_i |x - x_i|^3 + c_0 + c . x`, x being its subset's variables.
    The size of a subset is uniform in 1..d; a subset is redrawn when the rows do not determine its linear tail, the
    exact form of the reproduction's rule "fewer distinct rows than variables". Rows that are equal in a subset count
    as one, with the mean of their targets: to interpolate them one by one would be singular.

    Inputs are used as they are. The paper scales them to [0, 1] by each variable's range: give
    `SearchSpace.scale(codes)`.

    Source: Lu et al., "Neural Architecture Transfer", TPAMI 2021; subsets and median as in Chebykin et al.,
    "Evolutionary Neural Cascade Search across Supernetworks", GECCO 2022.

    Args:
        n_members: number of models, K.
        random_state: of the subsets.

    Attributes:
        masks_: the variables of each member, bool `(K, d)`.
        X_: the training rows, `(n, d)`.
        weights_: of the radial functions, `(K, n)`; 0 for a row that equals an earlier one in the member's subset.
        tail_: `c_0` and `c` of each member, `(K, 1 + d)`; 0 outside its subset.
    """

    def __init__(self, n_members: int = 500, random_state: int | np.random.RandomState | None = None) -> None:
        self.n_members = n_members
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> RBFEnsemble:
        """Fit all members to rows X `(n, d)` and targets y `(n,)`. One row or constant targets give a constant."""
        X, y = validate_data(self, X, y, dtype=np.float64, y_numeric=True)
        y = y.astype(np.float64)
        self.X_ = X
        self.masks_ = self._subsets(X)
        chunk = max(1, FIT_BYTES // (8 * sum(X.shape, 1) ** 2))
        with one_thread():
            solved = [interpolate(X, y, self.masks_[k : k + chunk]) for k in range(0, len(self.masks_), chunk)]
        self.weights_ = np.concatenate([weights for weights, _ in solved])
        self.tail_ = np.concatenate([tail for _, tail in solved])
        return self

    def _subsets(self, X: Floats) -> Mask:
        """The variables of each member. Shapes: `(n, d) -> (K, d)`."""
        return draw_subsets(X, self.n_members, check_random_state(self.random_state))

    def predict(self, X: Any, return_std: bool = False) -> Floats | tuple[Floats, Floats]:
        """Medians of the members' answers, and if asked for half the distances between their quantiles at 16% and 84%.

        Shapes: `(n, d) -> (n,), (n,)`.
        """
        members = self.predict_members(X)
        median = np.median(members, axis=1)
        if not return_std:
            return median
        low, high = np.quantile(members, (0.16, 0.84), axis=1)
        return median, (high - low) / 2

    def predict_members(self, X: Any) -> Floats:
        """The answer of every member. Shapes: `(n, d) -> (n, K)`."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        answers = self.tail_[:, 0] + X @ self.tail_[:, 1:].T
        chunk = max(1, PREDICT_BYTES // (8 * self.weights_.size))
        with one_thread():
            for i in range(0, len(X), chunk):
                cubes = cubed(squared_distances(self.masks_, X[i : i + chunk], self.X_))
                answers[i : i + chunk] += np.matmul(cubes, self.weights_[:, :, None])[:, :, 0].T
        return answers


class RBF(RBFEnsemble):
    """One cubic radial basis function model with a linear tail on all variables (NAT, section 3.2).

    Of variables that the rows cannot tell apart, those that come first in a pivoted QR factorisation are used.
    """

    def __init__(self) -> None:
        pass

    def _subsets(self, X: Floats) -> Mask:
        return independent(X)[None]


def independent(X: Floats) -> Mask:
    """Mask `(d,)` of as many variables as the rows determine a linear function of."""
    centred = X - X.mean(axis=0)
    spread = np.sqrt((centred**2).sum(axis=0))
    centred = np.divide(centred, spread, out=np.zeros_like(X), where=np.ptp(X, axis=0) > 0)
    triangle, order = qr(centred, mode="r", pivoting=True)
    diagonal = np.abs(np.diag(triangle))
    mask = np.zeros(X.shape[1], dtype=bool)
    mask[order[: int((diagonal > np.sqrt(DETERMINED)).sum())]] = True
    return mask


def draw_subsets(X: Floats, n_members: int, random: np.random.RandomState) -> Mask:
    """A random subset of the variables for each member, determined by the rows. Shapes: `(n, d) -> (K, d)`.

    Variables that never vary are in no subset, and no subset is larger than the number of variables that the rows can
    tell apart: redrawing would end there anyway. Without any variable that varies all subsets are empty.

    Args:
        X: rows, `(n, d)`.
        n_members: number of subsets, K.
        random: generator of all draws.
    """
    centred = X - X.mean(axis=0)
    spread = np.sqrt((centred**2).sum(axis=0))
    varies = np.ptp(X, axis=0) > 0
    correlation = np.divide(centred, spread, out=np.zeros_like(X), where=varies)
    correlation = correlation.T @ correlation
    largest = int((np.linalg.eigvalsh(correlation) > DETERMINED).sum())

    masks = random_masks(varies, largest, n_members, random)
    for _ in range(REDRAWS):
        redraw = ~determined(masks, correlation)
        if not redraw.any():
            return masks
        masks[redraw] = random_masks(varies, largest, int(redraw.sum()), random)
    redraw = ~determined(masks, correlation)
    masks[redraw] = random_masks(varies, 1, int(redraw.sum()), random)
    return masks


def random_masks(varies: Mask, largest: int, n_masks: int, random: np.random.RandomState) -> Mask:
    """n_masks subsets of the variables that vary, of a size uniform in 1..largest, by `random`. `(n_masks, d)`."""
    sizes = random.randint(1, largest + 1, size=(n_masks, 1)) if largest else np.zeros((n_masks, 1))
    lots = np.where(varies, random.random_sample((n_masks, len(varies))), np.inf)
    return lots.argsort(axis=1).argsort(axis=1) < sizes


def determined(masks: Mask, correlation: Floats) -> Mask:
    """Whether the rows determine a linear function of each subset's variables. Shapes: `(K, d), (d, d) -> (K,)`."""
    both = masks[:, :, None] & masks[:, None, :]
    within = np.where(both, correlation, np.eye(len(correlation)))
    return np.linalg.eigvalsh(within)[:, 0] > DETERMINED


def squared_distances(masks: Mask, A: Floats, B: Floats) -> Floats:
    """Squared distances of the rows of A to those of B in each subset. Shapes: `(K, d), (m, d), (n, d) -> (K, m, n)`.

    One matrix product of non-negative numbers: rows that are equal in a subset have the distance 0 exactly.
    """
    by_variable = (A.T[:, :, None] - B.T[:, None, :]) ** 2
    return (masks.astype(np.float64) @ by_variable.reshape(len(by_variable), -1)).reshape(-1, len(A), len(B))


def cubed(squared: Floats) -> Floats:
    """The radial function r^3 of squared distances r^2."""
    return squared * np.sqrt(squared)


def interpolate(X: Floats, y: Floats, masks: Mask) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Weights `(K, n)` and tails `(K, 1 + d)` of the cubic interpolants of y on each subset of the variables.

    It solves [[phi, P], [P', 0]] [w, c] = [y, 0] with P = [1, x]. Every member has a system of the same shape: repeated
    rows and variables outside its subset, which it does not use, have a 1 on the diagonal and 0 elsewhere.

    Args:
        X, y: rows `(n, d)` and targets `(n,)`.
        masks: of the variables of each subset, `(K, d)`.
    """
    n_members, n_rows = len(masks), len(X)
    squared = squared_distances(masks, X, X)
    equal = squared == 0
    first = equal.argmax(axis=2) == np.arange(n_rows)
    means = (equal @ y) / equal.sum(axis=2)

    used = np.concatenate([first, np.ones((n_members, 1), dtype=bool), masks], axis=1)
    system = np.zeros((n_members, used.shape[1], used.shape[1]))
    system[:, :n_rows, :n_rows] = cubed(squared)
    system[:, :n_rows, n_rows] = system[:, n_rows, :n_rows] = 1
    system[:, :n_rows, n_rows + 1 :] = X
    system[:, n_rows + 1 :, :n_rows] = X.T
    system *= used[:, :, None] & used[:, None, :]
    system += ~used[:, :, None] * np.eye(used.shape[1])

    target = np.zeros(used.shape)
    target[:, :n_rows] = means * first
    solution = np.linalg.solve(system, target[:, :, None])[:, :, 0]
    return solution[:, :n_rows], solution[:, n_rows:]
