#!/bin/sh
# pymoo 0.6.2: one NaN among the objectives of one solution, once, and NSGA-III's result has a front of one solution.
#
# Solution 1 of the second generation (40 solutions) has NaN for its second objective, as where a measurement fails;
# everything else is finite. The solution itself leaves the population, and no error or warning is told. But the ideal
# point that the survival keeps is NaN from then on: all solutions are of one niche, for the rest of the run, and
# result.F has one row in place of ten or more. The population behind it holds the others still.
#
# Seen: "2 objectives: 13 on the front, with one NaN 1; 3 objectives: 10 on the front, with one NaN 1".
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


class Spheres(Problem):
    def __init__(self, objectives, lost):
        super().__init__(n_var=6, n_obj=objectives, xl=0.0, xu=1.0)
        self.lost = lost
        self.generation = 0

    def _evaluate(self, x, out, *args, **kwargs):
        targets = np.linspace(0, 1, self.n_obj)
        values = np.stack([((x - target) ** 2).sum(axis=1) for target in targets], axis=1)
        self.generation += 1
        if self.lost and self.generation == 2:
            values[0, 1] = np.nan
        out["F"] = values


def result(objectives, partitions, lost):
    directions = get_reference_directions("das-dennis", objectives, n_partitions=partitions)
    return minimize(Spheres(objectives, lost), NSGA3(directions, pop_size=40), ("n_gen", 8), seed=1)


print(f"pymoo {pymoo.__version__}")
for objectives, partitions in ((2, 12), (3, 6)):
    whole, lost = result(objectives, partitions, False), result(objectives, partitions, True)
    print(f"{objectives} objectives: {len(whole.F)} on the front, with one NaN {len(lost.F)}")
    assert len(whole.F) >= 10
    assert len(lost.F) == 1
    assert np.isfinite(lost.pop.get("F")).all()
PY
