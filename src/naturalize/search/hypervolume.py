"""Hypervolume: how much of the space between the ideal and a reference point a set of networks dominates."""

import numpy as np
from numpy.typing import ArrayLike
from pymoo.indicators.hv import HV


def hypervolume(values: ArrayLike, reference: ArrayLike) -> float:
    """Share of the box from 0 to `reference` that the rows of `values` dominate: a number in [0, 1].

    Objectives are minimised and have their ideal at 0; dividing by the reference point takes their units away. Rows
    that do not lie below the reference point in every objective add nothing, and values below 0 count as 0.

    Args:
        values: `(n, m)`; n may be 0.
        reference: `(m,)`, positive.

    Raises:
        ValueError: for a reference that is not positive and finite, for values that are nan, and for other shapes.

    Example:
        >>> hypervolume([[1.0, 3.0], [2.0, 1.0]], reference=[4.0, 4.0])
        0.4375
    """
    reference = np.asarray(reference, dtype=np.float64)
    values = np.asarray(values, dtype=np.float64)
    if values.shape == (0,):
        values = values.reshape(0, len(reference))
    if values.ndim != 2 or values.shape[1:] != reference.shape:
        raise ValueError(f"values have the shape (n, {len(reference)}), a row each, not {values.shape}")
    if not (np.isfinite(reference) & (reference > 0)).all():
        raise ValueError(f"a reference point is positive and finite, not {reference.tolist()}")
    if np.isnan(values).any():
        raise ValueError("nan has no place in a front")
    inside = np.maximum(values / reference, 0)
    inside = inside[(inside < 1).all(axis=1)]
    return float(HV(ref_point=np.ones(len(reference)))(inside)) if len(inside) else 0.0
