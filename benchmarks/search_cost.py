"""What a search itself takes: one iteration with 100 to 3,000 members, and 10,000 predictions.

    python benchmarks/search_cost.py

On Once-for-All's MobileNetV3 with made-up errors. An iteration is what comes after a batch: the batch is told, the
predictor fitted again, the next batch of four found. Beside it stands the predictor alone: one fit and 5,000
predictions with their spread, which is about what an iteration asks of it. Medians of three. The paper's search is left
out beyond 1,000 members: each of its 500 models takes cubic time.
"""

from collections.abc import Callable
from statistics import median

import numpy as np
from common import machine, seconds, write

from naturalize.objectives.exact import Exact, stage_counts
from naturalize.predictor import make
from naturalize.search import SearchProblem, make_searcher
from naturalize.space import Codes
from naturalize.supernet import make_family
from naturalize.tasks import Classification

MEMBERS = (100, 300, 1000, 3000)
METHODS = {"auto": 3000, "nat": 1000}  # and the most members that each is measured with
REPEATS = 3


def several(work: Callable[[], object]) -> float:
    """Median seconds of a few calls."""
    return median(seconds(work) for _ in range(REPEATS))


def main() -> None:
    """Measure, print and write."""
    family, task = make_family("ofa-mbv3-w1.0", 224), Classification(1000)
    space, madds, counts = family.space, Exact("madds", family, task, 3), stage_counts(family, task, 3)
    problem = SearchProblem(space, ["error", "madds"], {"madds": madds})
    rng = np.random.default_rng(0)

    def error(codes: Codes) -> np.ndarray:
        return 60 - 4 * np.log(madds(codes) / 1e8) + np.sin(codes).sum(axis=1) / 10

    everything = space.sample_distinct(MEMBERS[-1] + 100, rng)
    values = np.column_stack([error(everything), madds(everything)])
    asked = space.sample(10_000, rng)
    table = {}
    for n in MEMBERS:
        found = {}
        for method in (method for method, most in METHODS.items() if n <= most):
            searcher = make_searcher(method, problem, 0, known=[counts])
            searcher.tell(everything[:n], values[:n])
            searcher.ask(4)
            places = iter(range(n, n + 4 * REPEATS, 4))

            def iteration() -> None:
                place = next(places)  # noqa: B023
                searcher.tell(everything[place : place + 4], values[place : place + 4])  # noqa: B023
                searcher.ask(4)  # noqa: B023

            found[f"iteration, {method}"] = several(iteration)
        model = make("gaussian-process", space, 0, [madds, counts]).fit(everything[:n], values[:n, 0])
        found["fit again"] = several(lambda: model.fit(everything[:n], values[:n, 0]))  # noqa: B023
        found["5,000 with spread"] = several(lambda: model.predict(asked[:5000], return_std=True))  # noqa: B023
        found["10,000 predictions"] = several(lambda: model.predict(asked))  # noqa: B023
        table[n] = {name: round(value, 4) for name, value in found.items()}
        print(f"{n:>5} members  " + "  ".join(f"{name} {value:.3f} s" for name, value in found.items()), flush=True)
    write("search-cost", {"machine": machine(), "seconds": table})


if __name__ == "__main__":
    main()
