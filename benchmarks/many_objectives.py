"""Twelve objectives, eleven of them predicted: IGD+ on DTLZ2 beside pymoo's NSGA-III, which measures all of them.

    python benchmarks/many_objectives.py                              # seeds 0 to 4
    python benchmarks/many_objectives.py --first-seed 100 --seeds 2   # choices are made on seeds from 100 on

20 integer variables of 11 options; f1 is given in closed form, the others are measured, 1,000 times. pymoo's NSGA-III
has 1,000 and 20,000 evaluations. IGD+ is of all that was measured and of the population that pymoo ends with, to 2,000
points of the known front; less is better.
"""

from __future__ import annotations

import argparse
import time
from statistics import mean, stdev
from typing import Any

import numpy as np
from common import write
from joblib import Parallel, delayed
from pymoo.algorithms.moo.nsga3 import NSGA3
from pymoo.core.problem import Problem
from pymoo.operators.crossover.sbx import SBX
from pymoo.operators.mutation.pm import PolynomialMutation
from pymoo.operators.repair.rounding import RoundingRepair
from pymoo.operators.sampling.rnd import IntegerRandomSampling
from pymoo.optimize import minimize

from naturalize.search import non_dominated, search
from naturalize.search.survival import reference_directions
from naturalize.study.truths import Floats, Truth, dtlz2, igd_plus

OBJECTIVES, EVALUATIONS, MANY, POINTS = 12, 1000, 20_000, 2000
WAYS = ("auto", f"nsga3, {EVALUATIONS:,}", f"nsga3, {MANY:,}")


def front() -> Floats:
    """Points of the unit sphere without negative values, drawn evenly."""
    points = np.abs(np.random.default_rng(0).normal(size=(POINTS, OBJECTIVES)))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def all_values(truth: Truth, codes: Any) -> Floats:
    """Every objective of architectures, `(n, 12)`."""
    found = truth.evaluate(codes) | {name: function(codes) for name, function in truth.exact.items()}
    return np.column_stack([found[name] for name in truth.objectives])


def by_pymoo(truth: Truth, evaluations: int, seed: int) -> tuple[Floats, Floats]:
    """What pymoo's NSGA-III, as its documentation sets it up for integers, measured, and what it ends with."""
    measured: list[Floats] = []

    class Dtlz2(Problem):
        def _evaluate(self, x: Floats, out: dict[str, Any], *args: Any, **kwargs: Any) -> None:
            out["F"] = all_values(truth, x.astype(int))
            measured.append(out["F"])

    directions = reference_directions(OBJECTIVES, 100)
    algorithm = NSGA3(
        directions,
        pop_size=max(100, len(directions)),
        sampling=IntegerRandomSampling(),
        crossover=SBX(prob=1.0, eta=30, vtype=float, repair=RoundingRepair()),
        mutation=PolynomialMutation(eta=20, vtype=float, repair=RoundingRepair()),
    )
    space = truth.space
    problem = Dtlz2(n_var=len(space), n_obj=OBJECTIVES, xl=space.lower, xu=space.upper, vtype=int)
    result = minimize(problem, algorithm, ("n_eval", evaluations), seed=seed)
    return np.concatenate(measured)[:evaluations], result.pop.get("F")


def run_one(way: str, seed: int) -> tuple[str, float, float, float]:
    """IGD+ of all that was measured and of the last population; seconds."""
    truth, known = dtlz2(OBJECTIVES, exact=[0]), front()
    start = time.perf_counter()
    if way.startswith("nsga3"):
        every, last = by_pymoo(truth, MANY if way.endswith(f"{MANY:,}") else EVALUATIONS, seed)
    else:
        archive = search(
            truth.space, truth.evaluate, truth.objectives, exact=truth.exact, method=way, evaluations=EVALUATIONS,
            seed=seed,
        )  # fmt: skip
        every = last = archive.values
    seconds = time.perf_counter() - start
    igds = [igd_plus(values[non_dominated(values)], known) for values in (every, last)]
    print(f"{way}, seed {seed}: {igds[0]:.4f}, last {igds[1]:.4f}, {seconds:.0f} s", flush=True)
    return way, igds[0], igds[1], seconds


def main() -> None:
    """Run, print and write the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ways", nargs="+", default=list(WAYS))
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=5)
    asked = parser.parse_args()
    seeds = range(asked.first_seed, asked.first_seed + asked.seeds)
    found = Parallel(n_jobs=-1)(delayed(run_one)(way, seed) for way in asked.ways for seed in seeds)
    table = {}
    for way in asked.ways:
        every, last, seconds = zip(*(values for name, *values in found if name == way), strict=True)
        spread = stdev(every) if len(every) > 1 else 0.0
        table[way] = {"measured": mean(every), "sd": spread, "last": mean(last), "seconds": mean(seconds)}
        print(f"{way:>14}  {mean(every):.4f} ({spread:.4f})  last {mean(last):.4f}  {mean(seconds):.0f} s")
    write("many-objectives", {"seeds": [seeds[0], seeds[-1]], "igd_plus": table})


if __name__ == "__main__":
    main()
