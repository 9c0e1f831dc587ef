"""The chance that measuring fails, learnt from failures, so that a search leaves such regions alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from naturalize.search.problem import Floats
from naturalize.space import Codes

FEWEST = 5  # failures, and successes, to learn from
TREES = 100


def chance_of_failure(measured: Codes, failed: Codes, seed: int) -> Callable[[Codes], Floats] | None:
    """A function for the chance that measuring fails, codes `(n, d)` to 0..1 `(n,)`, by a random forest.

    A forest fits, since failures mostly depend on a few variables, each above or below a bound. None where too little
    is known, as where nothing fails.

    Args:
        measured, failed: architectures whose measurements gave values, and those that gave none, `(k, d)` each.
        seed: of the forest.
    """
    if min(len(measured), len(failed)) < FEWEST:
        return None
    from sklearn.ensemble import RandomForestClassifier  # slow to import, seldom needed

    forest = RandomForestClassifier(TREES, random_state=seed).fit(
        np.concatenate([measured, failed]), np.repeat([False, True], [len(measured), len(failed)])
    )

    def chance(codes: Codes) -> Floats:
        return forest.predict_proba(codes)[:, 1] if len(codes) else np.empty(0)

    return chance
