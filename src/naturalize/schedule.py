"""The division of what a run may spend: a budget of time, or a number of iterations. Arithmetic only.

A budget is divided by costs that are measured at the start (`Costs`). Iterations start by the clock, and later ones
make up for late ones; the end has a reserve that nothing else may touch.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

# the paper's sizes (method.md, section 1); a budget starts with as many as it can measure
INITIAL, NEW, KEPT = 100, 50, 300
# shares of a budget, or of the part of it that the comment names
PREPARATION = 0.3  # of what the reserve leaves; at most half of the budget by contract
WARM_UP = 0.1  # replaces PREPARATION where the supernet starts from prepared weights
MEASURING = 0.25  # of an iteration, at most unless the fewest measurements take longer
ADAPTING_OF_REST = 0.4  # least share of adaptation after preparation, unless the fewest measurements need more
LEAST_MEASURING = 0.05  # of what is left, for the smallest measuring pass; images are left out until it fits
FINAL_MEASURING = 0.1  # the same of the final pass, which selects the front and so takes more images
ADAPTING = 0.7  # of an iteration, at least, where there are several
LATE_MEASURING = 0.6  # of what is left, at most, for the fewest measurements of a last iteration
LAST = 0.25  # of what preparation leaves, for the last adaptation
LAST_ANEW = 0.6  # of all that the reserve leaves, for a last adaptation that starts anew from the starting weights
EPOCHS_ANEW = 120  # fewest epochs of such a one: in as many, few pictures are learnt by heart
CURVE_END = 0.85  # of the learning rate's cosine, where iterations end: errors are nearly those of its end
LAST_BEGIN = 0.6  # of its own cosine, where the last adaptation begins
SELECTING = 0.25  # of what is left after the iterations, at most, to measure what the last adaptation may train
OVERHEAD = 0.07  # of an iteration, at most, for the search
FEWEST_ITERATIONS, MOST_ITERATIONS = 2, 30
FEWEST_IMAGES = 500  # that a measurement keeps, where there are as many; views are left out first
REPORT_S = 2.5
FRONT = 12  # networks that the reserve expects to get a classifier and to read the test split
TESTING = 0.12  # of what is left at the start, at most, for these: where it is too little, fewer networks are tested
FEWEST_TESTED = 5  # networks that there should be time to test even then
FEWEST_FINAL = 8  # networks that the final pass measures even when it is late
LATE_TESTING = 0.4  # of what is left after the iterations, at most, is kept for tests on a machine that slowed
LEAST_LEFT = 0.5  # of what is left at the start stays out of the reserve, however slowly the test split is read


@dataclass(frozen=True)
class Costs:
    """Seconds that steps take on this machine, measured on a few networks before anything is planned.

    Attributes:
        image_s: to answer one image, the mean of random architectures.
        network_s: to cut and calibrate a network, and to measure what there is besides its error.
        search_s: to fit the predictor and to search.
        read_test_s: to read the test split.
    """

    image_s: float
    network_s: float
    search_s: float
    read_test_s: float

    def measure_s(self, images: int) -> float:
        """Seconds of one measurement on a number of images."""
        return self.network_s + images * self.image_s


@dataclass(frozen=True)
class Plan:
    """A division of a budget, all in seconds of the run's own clock; recorded before it starts.

    Attributes:
        prepare_until: second at which preparation ends.
        iterations: expected number; 0 where there is no time to search.
        iteration_s: length of each.
        measuring_s: part of an iteration for its measuring pass.
        final_from: second at which the iterations are over; the final pass, the last adaptation and the test follow.
        val_images, views: validation images that a measurement answers, and views of each.
        members: architectures that one measuring pass is expected to hold.
        measure_s: expected of one measurement.
        end_s: reserve for reading the test split and for the report.
        final_images, final_views: as `val_images` and `views`, of the final pass; 0 where they are the same.
        anew: whether the last adaptation starts anew from the weights that were brought along.
    """

    prepare_until: float
    iterations: int
    iteration_s: float
    measuring_s: float
    final_from: float
    val_images: int
    views: int
    members: int
    measure_s: float
    end_s: float
    final_images: int = 0
    final_views: int = 0
    anew: bool = False

    def record(self) -> dict[str, Any]:
        """The plan as a JSON value."""
        return asdict(self)


def make_plan(
    budget_s: float, used_s: float, costs: Costs, *, val_images: int, views: int, end_images: int, fewest: int,
    preparation: float, chosen: tuple[int, int] | None = None, epoch_s: float = math.inf,
) -> Plan:  # fmt: skip
    """Divide what is left of a budget.

    Where not even one iteration fits, and subnets must be prepared first, preparation gets the time of the iterations:
    that is the better use of it.

    Args:
        budget_s: wall clock in all.
        used_s: wall clock used so far.
        costs: of this machine.
        val_images: validation images that there are.
        views: of each validation image; views are left out before images are.
        end_images: images that each network of the front answers in the end: for its test and its classifier.
        fewest: measurements of a pass, at least.
        preparation: share of what the reserve leaves.
        chosen: validation images and views that stay as they are, since some were measured already.
        epoch_s: estimated seconds of an epoch of a last adaptation that may start anew; infinite where it may not.
    """
    free = max(1.0, budget_s - used_s)
    one_test_s = costs.measure_s(end_images)
    test_s = costs.read_test_s + max(FEWEST_TESTED * one_test_s, min(FRONT * one_test_s, TESTING * free))
    end_s = min(REPORT_S + min(0.02 * budget_s, 12.0) + test_s, (1 - LEAST_LEFT) * free)
    left = free - end_s

    def affordable(share: float) -> tuple[int, int]:
        """Images and views of a pass of the fewest measurements in a share of the time."""
        images = int(max((share * left / fewest - costs.network_s) / costs.image_s, min(val_images, FEWEST_IMAGES)))
        return min(val_images, images), max(1, min(views, images // val_images))

    final_images, final_views = affordable(FINAL_MEASURING)
    val_images, views = chosen or affordable(LEAST_MEASURING)
    final_images, final_views = max(final_images, val_images), max(final_views, views)
    measure_s = costs.measure_s(val_images * views)
    final_each_s = costs.measure_s(final_images * final_views)
    final_s = min(max(fewest * final_each_s, min(0.06 * left, KEPT * final_each_s)), 0.25 * left)
    left -= final_s
    anew = LAST_ANEW * left >= EPOCHS_ANEW * epoch_s
    preparing = min(preparation * ((1 - LAST_ANEW) * left if anew else left), 0.5 * budget_s)
    last_s = LAST_ANEW * left if anew else LAST * (left - preparing)
    adapting = left - preparing - last_s
    shortest = max((fewest * measure_s + costs.search_s) / (1 - ADAPTING), costs.search_s / OVERHEAD)
    not_adapting = max(adapting + last_s - ADAPTING_OF_REST * (budget_s - used_s - preparing), 0.0)
    fitting = min(adapting / shortest, not_adapting / (fewest * measure_s + costs.search_s))
    iterations = max(FEWEST_ITERATIONS, min(MOST_ITERATIONS, int(fitting)))
    if fitting < 1 and preparation > WARM_UP:
        iterations, preparing = 0, min(preparing + adapting, 0.5 * budget_s)
        adapting = 0.0
    iteration_s = adapting / max(1, iterations)
    spare_s = not_adapting / max(1, iterations) - costs.search_s
    measuring_s = max(fewest * measure_s, min(MEASURING * iteration_s, spare_s))
    members = max(fewest, min(KEPT, int(measuring_s / measure_s)))
    return Plan(
        prepare_until=used_s + preparing,
        iterations=iterations,
        iteration_s=iteration_s,
        measuring_s=measuring_s,
        final_from=used_s + preparing + adapting,
        val_images=val_images,
        views=views,
        members=members,
        measure_s=measure_s,
        end_s=end_s,
        final_images=final_images,
        final_views=final_views,
        anew=anew,
    )


def remaining_iterations(plan: Plan, used_s: float) -> int:
    """Iterations that still fit, by the clock: 0 when less than half of one is left, or none was planned."""
    return max(0, round((plan.final_from - used_s) / plan.iteration_s)) if plan.iterations else 0


def has_time_to_measure(left_s: float, fewest: int, measure_s: float) -> bool:
    """Whether the fewest measurements leave time to adapt before the final measurement, at the present speed."""
    return fewest * measure_s <= LATE_MEASURING * left_s


def testing_until(budget_s: float, slowness: float) -> float:
    """Second of the run's clock by which the front is tested; the report comes after it.

    Args:
        budget_s: wall clock in all.
        slowness: present seconds of a measurement, as a multiple of the planned ones.
    """
    return budget_s - REPORT_S * min(2.0, slowness)


def adapted_until(plan: Plan, budget_s: float, slowness: float) -> float:
    """Second of the run's clock at which the last adaptation is expected to end, before the front is known.

    It leaves time to read the test split at the machine's present speed, but no more than a part of the time after the
    iterations: networks that cannot be tested leave the front.
    """
    end = testing_until(budget_s, slowness)
    return end - min(plan.end_s * slowness, LATE_TESTING * (end - plan.final_from))


def least_anew_s(plan: Plan, budget_s: float) -> float:
    """Shortest last adaptation that starts anew, in seconds: half of the planned one; infinite where it is to go on."""
    return 0.5 * (adapted_until(plan, budget_s, 1.0) - plan.final_from) if plan.anew else math.inf


def final_until(plan: Plan, budget_s: float, slowness: float, number: int) -> float:
    """Second of the run's clock at which the final measuring pass ends, once it has measured a number of networks."""
    until = adapted_until(plan, budget_s, slowness)
    return until if number < FEWEST_FINAL else plan.final_from + SELECTING * (until - plan.final_from)


def cosine_part(done: float, remaining: int, limit: float) -> tuple[float, float]:
    """The part of the learning-rate curve that the next adaptation follows: an equal share of what is left of it.

    Args:
        done: share of the curve, 0 to 1, that adaptations covered so far.
        remaining: adaptations that are left, this one included.
        limit: share of the curve at which the last one ends.
    """
    return done, limit if remaining <= 1 else done + (limit - done) / remaining
