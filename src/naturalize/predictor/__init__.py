"""Predictors: scikit-learn regressors from encoded codes to error, fitted anew in every iteration on few measurements.

A predictor is one class and one line in `PREDICTORS`. It takes `random_state`, follows scikit-learn's contract to the
letter (`check_estimator` proves it), and answers many architectures at once. More predictors come later; the room is
ready for them.
"""

from sklearn.base import RegressorMixin

from naturalize.errors import unknown
from naturalize.predictor.held_out import held_out_rank_correlation
from naturalize.predictor.rbf import RBFEnsemble

__all__ = ["DEFAULT", "PREDICTORS", "RBFEnsemble", "held_out_rank_correlation", "make"]

DEFAULT = "rbf-ensemble"
PREDICTORS: dict[str, type[RegressorMixin]] = {DEFAULT: RBFEnsemble}


def make(name: str, seed: int) -> RegressorMixin:
    """An unfitted predictor by its name in `PREDICTORS`. Raises `UserError` for a name that is not there."""
    if name not in PREDICTORS:
        raise unknown("predictor", name, PREDICTORS)
    return PREDICTORS[name](random_state=seed)
