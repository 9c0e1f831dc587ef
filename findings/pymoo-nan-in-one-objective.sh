#!/bin/sh
# pymoo 0.6.2: one NaN among the objectives of a population, and a result has no front.
#
# A problem of three objectives whose second is NaN for one solution of each generation. NSGA-III runs to its end without
# an error or a warning, and result.F is None: every solution that was found is lost, not those that could not be
# measured.
#
# Seen: "finite: 1 or more solutions on the front; with one NaN: F is None".
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet pymoo==0.6.2 numpy==2.4.6
"$work/venv/bin/python" - <<'PY'
import numpy as np
import pymoo
from pymoo.algorithms.moo.nsga3 import NSGA3
from pymoo.core.problem import Problem
from pymoo.optimize import minimize
from pymoo.util.ref_dirs import get_reference_directions


class Sphere(Problem):
    def __init__(self, lost):
        super().__init__(n_var=6, n_obj=3, xl=0.0, xu=1.0)
        self.lost = lost

    def _evaluate(self, x, out, *args, **kwargs):
        values = np.stack([((x - target) ** 2).sum(axis=1) for target in (0.0, 0.5, 1.0)], axis=1)
        if self.lost:
            values[0, 1] = np.nan
        out["F"] = values


def front(lost):
    directions = get_reference_directions("das-dennis", 3, n_partitions=6)
    return minimize(Sphere(lost), NSGA3(directions, pop_size=40), ("n_gen", 5), seed=1).F


whole, lost = front(False), front(True)
told = lost if lost is None else len(lost)
print(f"pymoo {pymoo.__version__}: finite: {len(whole)} solutions on the front; with one NaN a generation: {told}")
assert len(whole)
assert lost is None
PY
