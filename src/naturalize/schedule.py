"""How a run divides what it may spend: a budget of time, or a number of iterations. Arithmetic only.

A budget is divided on three facts measured at the start (`Costs`). Iterations start by the clock and what is late is
made up for by the later ones; the end has a reserve that nothing else may touch.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

# the paper's sizes (method.md, section 1); a budget starts with as many as it can measure
INITIAL, NEW, KEPT = 100, 50, 300
# shares of a budget
PREPARATION = 0.4  # of what the reserve leaves; at most half of the budget by contract
WARM_UP = 0.1  # in place of it where the bodies bring weights
MEASURING = 0.25  # of an iteration
LEAST_MEASURING = 0.1  # of what is left, for the smallest measuring pass; images are left out until it fits
OVERHEAD = 0.07  # of an iteration, at most, for the search
MOST_ITERATIONS = 30
FEWEST_IMAGES = 100
FRONT = 16  # networks that the reserve expects to read the test split


@dataclass(frozen=True)
class Costs:
    """What this machine takes, in seconds: measured on a few networks before anything is planned.

    Attributes:
        image_s: to answer one image, the mean of random architectures.
        network_s: to cut and calibrate a network.
        search_s: to fit the predictor and to search.
        read_test_s: to read the test split.
    """

    image_s: float
    network_s: float
    search_s: float
    read_test_s: float

    def measure_s(self, images: int) -> float:
        """One measurement."""
        return self.network_s + images * self.image_s


@dataclass(frozen=True)
class Plan:
    """A division of a budget, all in seconds of the run's own clock; recorded before it starts.

    Attributes:
        prepare_until: when preparation ends.
        iterations: how many are expected.
        iteration_s: length of each.
        final_from: when the last adaptation must be over.
        val_images: validation images that a measurement answers.
        members: architectures that one measuring pass is expected to hold.
    """

    prepare_until: float
    iterations: int
    iteration_s: float
    final_from: float
    val_images: int
    members: int

    def record(self) -> dict[str, Any]:
        """As a JSON value."""
        return asdict(self)


def make_plan(
    budget_s: float, used_s: float, costs: Costs, *, val_images: int, views: int, test_images: int, fewest: int,
    preparation: float,
) -> Plan:  # fmt: skip
    """Divide what is left of a budget.

    Args:
        views: of each validation image; 1 is assumed where images have to be left out.
        fewest: measurements of a pass, at least.
        preparation: share of what the reserve leaves.
    """
    report_s = 2.5 + 0.02 * budget_s
    test_s = costs.read_test_s + FRONT * costs.measure_s(test_images)
    left = max(1.0, budget_s - used_s - report_s - test_s)
    affordable = (LEAST_MEASURING * left / fewest - costs.network_s) / costs.image_s
    images = val_images * views
    if affordable < images:
        images = int(min(val_images, max(affordable, FEWEST_IMAGES)))
        val_images = images
    measure_s = costs.measure_s(images)
    final_s = max(fewest * measure_s, 0.06 * left)
    left = max(1.0, left - final_s)
    preparing = min(preparation * left, 0.5 * budget_s)
    adapting = left - preparing
    shortest = max((fewest * measure_s + costs.search_s) / 0.4, costs.search_s / OVERHEAD)
    iterations = max(1, min(MOST_ITERATIONS, int(adapting / shortest)))
    members = max(fewest, min(KEPT, int(MEASURING * adapting / iterations / measure_s)))
    return Plan(
        prepare_until=used_s + preparing,
        iterations=iterations,
        iteration_s=adapting / iterations,
        final_from=used_s + preparing + adapting,
        val_images=val_images,
        members=members,
    )


def remaining_iterations(plan: Plan, used_s: float) -> int:
    """Iterations that still fit, by the clock: 0 when less than half of one is left."""
    return max(0, round((plan.final_from - used_s) / plan.iteration_s))


def cosine_part(done: float, remaining: int) -> tuple[float, float]:
    """The part of the learning-rate curve that the next adaptation follows: an equal share of what is left of it.

    Args:
        done: share of the curve, 0 to 1, that is behind.
        remaining: adaptations that are left, this one included.
    """
    return done, done + (1.0 - done) / max(1, remaining)
