"""Searches on the fitted truth: share of the best known hypervolume after 60, 100 and 250 evaluations.

    python benchmarks/search.py                              # seeds 0 to 9
    python benchmarks/search.py --first-seed 100 --seeds 4   # choices are made on seeds from 100 on
    python benchmarks/search.py --methods auto nat optuna-tpe

Every method of `naturalize.search.METHODS`, and two samplers of Optuna (`pip install optuna`), all with the same
corners, as far as they are within the limits: nothing counts beyond 27% and 500 M. Error is measured, multiply-adds are
known, to all. Printed besides: how many
evaluations a method needs for what the best one without a predictor has in the end, and the seconds of the algorithm
itself. Needs ../shared/data/ofa-mbv3-w1.0-truth.npz.
"""

import argparse
import time
import warnings
from collections.abc import Sequence
from statistics import mean, stdev
from typing import Any

import numpy as np
from common import SHARED, write
from joblib import Parallel, delayed

from naturalize.search import METHODS, SearchArchive, SearchProblem
from naturalize.study.truths import Truth, fitted

CHECKPOINTS = (60, 100, 250)
WITH_PREDICTOR = {"auto", "nat", "optuna-tpe"}
OPTUNA = ("optuna-tpe", "optuna-nsga3")


def by_optuna(truth: Truth, name: str, evaluations: int, seed: int) -> SearchArchive:
    """The same search by a sampler of Optuna.

    Its settings were chosen on seeds from 100 on, as those of `naturalize.search.baselines`: out of populations of 10,
    20 and 40, and of TPE's variables one by one or together, after 10, 20 and 40 trials.

    What it asks again is not measured again and does not count; nor does what is beyond the limit on multiply-adds.
    """
    import optuna

    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    problem = SearchProblem(truth.space, list(truth.objectives), truth.exact, truth.limits)
    sampler: Any = (
        optuna.samplers.TPESampler(n_startup_trials=20, seed=seed)
        if name == "optuna-tpe"
        else optuna.samplers.NSGAIIISampler(population_size=20, seed=seed)
    )
    study = optuna.create_study(directions=["minimize"] * len(truth.objectives), sampler=sampler)
    space = truth.space
    for corner in space.corners():
        study.enqueue_trial({v.name: int(c) for v, c in zip(space.variables, corner, strict=True)})
    archive = SearchArchive(problem)
    known: dict[tuple[int, ...], list[float]] = {}
    for _ in range(100 * evaluations):
        if len(archive) >= evaluations:
            break
        trial = study.ask()
        code = np.array([[trial.suggest_int(v.name, v.lower, v.upper) for v in space.variables]])
        code = space.repair(code)
        key = tuple(code[0].tolist())
        if not problem.allowed(code)[0]:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
            continue
        if key not in known:
            values = archive.problem.exact_values(code)
            for column, objective in enumerate(truth.objectives):
                if objective not in truth.exact:
                    values[:, column] = truth.evaluate(code)[objective]
            known[key] = values[0].tolist()
            archive.add(code, values, [""])
        study.tell(trial, known[key])
    return archive


def run_one(method: str, seed: int, evaluations: int) -> tuple[str, int, list[float], float]:
    """Shares of the best known hypervolume after each evaluation, and the seconds that it took without the truth's."""
    truth = fitted(SHARED / "ofa-mbv3-w1.0-truth.npz")
    inside = 0.0

    def evaluate(codes: Any) -> Any:
        nonlocal inside
        begun = time.perf_counter()
        answer = truth.evaluate(codes)
        inside += time.perf_counter() - begun
        return answer

    start = time.perf_counter()
    if method in OPTUNA:
        archive = by_optuna(truth, method, evaluations, seed)
    else:
        archive = truth.search(evaluations, method=method, seed=seed, evaluate=evaluate)
    seconds = time.perf_counter() - start - inside
    return method, seed, truth.shares(archive).tolist(), seconds


def needed(shares: Sequence[float], level: float) -> int | None:
    """Evaluations until a level is reached; None where it is not."""
    reached = np.flatnonzero(np.asarray(shares) >= level)
    return int(reached[0]) + 1 if len(reached) else None


def main() -> None:
    """Run, print and write the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", default=[*METHODS, *OPTUNA])
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--evaluations", type=int, default=CHECKPOINTS[-1])
    asked = parser.parse_args()
    seeds = range(asked.first_seed, asked.first_seed + asked.seeds)
    jobs = [(method, seed, asked.evaluations) for method in asked.methods for seed in seeds]
    found = Parallel(n_jobs=-1)(delayed(run_one)(*job) for job in jobs)
    curves = {m: np.array([shares for method, _, shares, _ in found if method == m]) for m in asked.methods}
    times = {m: mean(seconds for method, _, _, seconds in found if method == m) for m in asked.methods}
    without = [m for m in asked.methods if m not in WITH_PREDICTOR]
    level = max((float(curves[m][:, -1].mean()) for m in without), default=1.0)
    checkpoints = [n for n in CHECKPOINTS if n <= asked.evaluations]
    print(
        f"share of the best known hypervolume, mean (sd) over seeds {seeds[0]} to {seeds[-1]}; to {level:.3f}: median"
    )
    table = {}
    for method, curve in sorted(curves.items(), key=lambda item: -item[1][:, -1].mean()):
        cells = {
            str(n): (round(float(curve[:, n - 1].mean()), 4), round(stdev(curve[:, n - 1].tolist()), 4))
            for n in checkpoints
        }
        reached = float(np.median([needed(shares, level) or np.inf for shares in curve.tolist()]))
        table[method] = {
            "share": cells,
            "to_level": reached if np.isfinite(reached) else None,
            "seconds": times[method],
        }
        text = "  ".join(f"{n}: {cell[0]:.3f} ({cell[1]:.3f})" for n, cell in cells.items())
        print(f"{method:>13}  {text}  to {level:.3f}: {reached:g}  {times[method]:.1f} s")
    write("search", {"seeds": [seeds[0], seeds[-1]], "level": level, "methods": table})


if __name__ == "__main__":
    main()
