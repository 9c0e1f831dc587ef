"""The division of a budget, on machines of every speed. Rows C01 and C05 of the cases."""

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from naturalize import schedule
from naturalize.pace import ByClock, ByNumber
from naturalize.schedule import Costs, cosine_part, make_plan
from naturalize.testing import LATE, MOST_LATE_S, OVERTIME
from naturalize.training.adapt import cosine

FRONT = 30  # networks that are tested

budgets = st.floats(30, 36_000)
machines = st.builds(
    Costs,
    image_s=st.floats(5e-6, 0.05),
    network_s=st.floats(2e-3, 2.0),
    search_s=st.floats(0.3, 10),
    read_test_s=st.floats(0, 20),
)
problems = st.fixed_dictionaries(
    {
        "val_images": st.integers(2, 20_000),
        "views": st.sampled_from([1, 5]),
        "end_images": st.integers(0, 50_000),
        "fewest": st.integers(20, 44),
        "preparation": st.sampled_from([schedule.PREPARATION, schedule.WARM_UP, 0.0]),
        "epoch_s": st.sampled_from([0.05, 1.0, float("inf")]),
    }
)


@given(budgets, machines, problems)
@settings(max_examples=400, deadline=None)
def test_a_plan_keeps_its_promises(budget, costs, problem):
    used = min(8.0, 0.3 * budget)
    plan = make_plan(budget, used, costs, **problem)
    assert plan.prepare_until - used <= 0.5 * budget + 1e-9 * budget
    assert used <= plan.prepare_until <= plan.final_from < budget
    assert plan.prepare_until < plan.final_from or not plan.iterations
    assert plan.end_s > 0
    assert plan.final_from + plan.end_s <= budget
    assert plan.iterations >= 2 or (plan.iterations == 0 and problem["preparation"] == schedule.PREPARATION)
    assert plan.iterations * plan.iteration_s == pytest.approx(plan.final_from - plan.prepare_until)
    assert 1 <= plan.val_images <= problem["val_images"]
    assert problem["fewest"] <= plan.members <= max(schedule.KEPT, problem["fewest"])


@given(budgets, machines, problems)
@settings(max_examples=400, deadline=None)
def test_adaptation_gets_at_least_40_percent_of_what_preparation_leaves_where_measuring_allows_it(
    budget, costs, problem
):
    used = min(8.0, 0.1 * budget)
    plan = make_plan(budget, used, costs, **problem)
    fewest_s = problem["fewest"] * plan.measure_s
    ends = plan.end_s + 2 * costs.search_s + 3 * fewest_s
    left = budget - plan.prepare_until
    assume(ends <= 0.4 * left)  # what must be measured, tested and written leaves room
    if not plan.iterations:
        assert plan.prepare_until - used >= 0.3 * (budget - used - plan.end_s), "preparation has it all"
        return
    adapting = plan.iterations * (plan.iteration_s - plan.measuring_s - costs.search_s)
    share = schedule.LAST / (1 - schedule.LAST)
    if plan.anew:
        share = schedule.LAST_ANEW / ((1 - schedule.LAST_ANEW) * (1 - problem["preparation"]))
    adapting += share * (plan.final_from - plan.prepare_until)  # the last one
    assert adapting >= 0.4 * left - 1e-6


def test_a_last_adaptation_of_many_epochs_starts_anew_and_has_most_of_the_time():
    costs = Costs(image_s=8e-4, network_s=0.1, search_s=2.0, read_test_s=0.5)
    problem = {"val_images": 200, "views": 5, "end_images": 1000, "fewest": 24, "preparation": schedule.PREPARATION}
    short, long = (make_plan(budget, 10.0, costs, **problem, epoch_s=5.0) for budget in (900.0, 1800.0))
    assert (short.anew, long.anew) == (False, True)
    last_s = schedule.adapted_until(long, 1800.0, 1.0) - long.final_from
    assert 0.55 * 1800 < last_s < 0.75 * 1800
    assert last_s >= schedule.EPOCHS_ANEW * 5.0
    assert long.prepare_until - 10.0 == pytest.approx(0.3 / 0.7 * (long.final_from - long.prepare_until))
    assert [share * last_s >= schedule.least_anew_s(long, 1800.0) for share in (0.49, 0.51)] == [False, True]
    assert schedule.least_anew_s(short, 900.0) == float("inf")


class Decisions(dict):
    """A journal in memory."""

    def decision(self, name):
        return self.get(name)

    def decide(self, name, make):
        return self[name] if name in self else self.setdefault(name, make())

    def record_decision(self, name, value):
        self[name] = value


class Machine:
    """Walks through a transfer at the real pace on a clock of its own, `slower` times as slow from a moment on."""

    def __init__(self, budget, costs, problem, used, slower_from=float("inf"), slower=1.0):
        self.budget, self.costs, self.problem = budget, costs, problem
        self.clock, self.slower_from, self.slower = used, slower_from, slower
        self.rate = None
        self.adapted = 0.0
        self.passes = []  # of the search: when each began, how many it measured of how many
        self.plan = make_plan(budget, used, costs, **problem)
        self.pace = ByClock(Decisions(), budget, self.plan, problem["fewest"], lambda: self.clock)

    def spend(self, seconds):
        """Work that takes so many seconds on the machine as it was when it was timed."""
        self.clock += seconds * (self.slower if self.clock >= self.slower_from else 1.0)

    def train(self, start, end, seconds):
        """A training has its time on every machine."""
        self.adapted += seconds
        self.clock += seconds
        self.rate = cosine(start, end, 0.05)(1.0)

    def measure(self, t, members, final):
        """A measuring pass. Returns what its measurements took."""
        self.pace.begin(t, final, 0)
        begun, seconds = self.clock, []
        while len(seconds) < members and self.pace.measures(t, len(seconds), final):
            before = self.clock
            self.spend(self.plan.measure_s)
            seconds.append(self.clock - before)
            self.pace.took(seconds[-1])
        self.pace.end(t, final)
        if not final:
            self.passes.append((begun, self.clock, len(seconds), members))
        return seconds

    def run(self):
        pace = self.pace
        prepared, _ = pace.preparation()
        if self.problem["preparation"]:
            self.clock += prepared.seconds
        t, members = 0, pace.initial
        while pace.goes_on(t, begun=False):
            seconds = self.measure(t, members, final=False)
            if pace.closes(t):
                members = FRONT
            else:
                members = sum(pace.next_members(t, lambda found=seconds: found))
                self.spend(self.costs.search_s)
            start, end, extent = pace.adaptation(t)
            self.train(start, end, extent.seconds)
            t += 1
        self.measure(t, members, final=True)
        ending = pace.ending()
        one = self.costs.measure_s(self.problem["end_images"])
        extent, anew, _ = ending.divided(t, 0.0, FRONT * one * pace.slowness + self.costs.read_test_s)
        self.train(0.0 if anew else schedule.LAST_BEGIN, 1.0, extent.seconds)
        until = max(ending.tested, self.clock + OVERTIME * ending.tested)
        self.spend(self.costs.read_test_s)
        last_s = 0.0
        for network in range(FRONT):
            start = self.clock
            late_s = min(LATE * until, MOST_LATE_S) if network < schedule.FEWEST_TESTED else 0.0
            if network and start + last_s > until + late_s:
                break
            self.spend(one)
            last_s = self.clock - start
        self.spend(schedule.REPORT_S)
        return self


def is_reasonable(budget, costs, problem):
    """Whether the test of one network fits the tolerance, and measuring the fewest a part of the budget, even slow."""
    plan = make_plan(budget, 8.0, costs, **problem)
    must = 3 * (costs.read_test_s + costs.measure_s(problem["end_images"]) + schedule.REPORT_S)
    return must < max(0.1 * budget, 15) and 3 * (problem["fewest"] * plan.measure_s + costs.search_s) < 0.3 * budget


@given(budgets, machines, problems, st.floats(1, 3), st.floats(0, 1))
@settings(max_examples=400, deadline=None)
def test_C01_a_run_ends_in_time_also_beside_a_busy_neighbour(budget, costs, problem, slower, when):
    assume(is_reasonable(budget, costs, problem))
    machine = Machine(budget, costs, problem, 8.0, when * budget, slower).run()
    assert machine.clock <= budget + max(0.1 * budget, 15)


@given(budgets, machines, problems)
@settings(max_examples=400, deadline=None)
def test_D1_a_pass_measures_for_its_share_of_the_iteration(budget, costs, problem):
    assume(is_reasonable(budget, costs, problem))
    machine = Machine(budget, costs, problem, 8.0).run()
    plan = machine.plan
    assert machine.passes or not plan.iterations
    for begun, ended, measured, members in machine.passes:
        until = begun + max(plan.measuring_s, problem["fewest"] * plan.measure_s)
        assert ended <= until + plan.measure_s + 1e-6
        assert measured == members or ended > min(begun + plan.measuring_s, plan.final_from)
        assert measured >= min(members, problem["fewest"]) or ended > plan.final_from


@given(budgets, machines, problems, st.floats(1, 3), st.floats(0, 1))
@settings(max_examples=400, deadline=None)
@example(60.0, Costs(1e-4, 0.02, 2.0, 0.0), {"val_images": 300, "views": 5, "end_images": 360, "fewest": 26, "preparation": 0.4}, 1.0, 1.0)  # fmt: skip # noqa: E501
def test_C05_the_learning_rate_ends_at_zero_whatever_the_clock_does(budget, costs, problem, slower, when):
    machine = Machine(budget, costs, problem, 8.0, when * budget, slower).run()
    assert machine.rate == pytest.approx(0.0, abs=1e-9)
    assert machine.adapted >= 1.0


@given(st.lists(st.integers(1, 30), min_size=1, max_size=30))
def test_the_cosine_is_continuous_over_adaptations_however_many_are_expected(expected):
    done, previous = 0.0, 0.05
    for remaining in expected:
        start, end = cosine_part(done, remaining, 1.0)
        rate = cosine(start, end, 0.05)
        assert rate(0.0) == pytest.approx(previous)
        assert rate(1.0) <= rate(0.0) + 1e-12
        done, previous = end, rate(1.0)
        assert end <= 1.0 + 1e-12


@pytest.mark.parametrize("count", [1, 2, 7, 30])
def test_C05_adaptations_by_number_end_at_zero(count):
    pace = ByNumber(Decisions(), iterations=count, epochs=3, per_epoch=7)
    numbers = [t for t in range(40) if pace.goes_on(t, begun=False)]
    assert numbers == list(range(count))
    ends = [pace.adaptation(t) for t in numbers]
    assert ends[-1][1] == pytest.approx(1.0)
    assert [extent.steps for *_, extent in ends] == [21] * count


def test_C05_more_iterations_than_first_asked_for_go_on_along_the_curve_anew():
    journal = Decisions()
    for count in (2, 4):
        pace = ByNumber(journal, iterations=count, epochs=1, per_epoch=1)
        parts = [pace.adaptation(t)[:2] for t in range(count)]
        assert parts[-1][1] == pytest.approx(1.0)
    assert parts == [(0.0, 0.5), (0.5, 1.0), (0.0, 0.5), (0.5, 1.0)]


def test_what_an_older_naturalize_decided_still_holds():
    journal = Decisions({"adapt 0": [0.0, 0.4, None, 7.0, 20.0]})
    costs = Costs(image_s=1e-4, network_s=0.02, search_s=2.0, read_test_s=0.0)
    problem = {"val_images": 300, "views": 5, "end_images": 360, "fewest": 26, "preparation": 0.4}
    pace = ByClock(journal, 60.0, make_plan(60.0, 8.0, costs, **problem), 26, lambda: 12.0)
    start, end, extent = pace.adaptation(0)
    assert (start, end, extent.seconds, extent.until) == (0.0, 0.4, 7.0, 20.0)
    assert pace.adaptation(1)[0] == 0.4


def test_validation_images_that_were_chosen_stay_chosen():
    costs = Costs(image_s=0.01, network_s=0.1, search_s=2.0, read_test_s=0.0)
    problem = {"val_images": 5000, "views": 1, "end_images": 100, "fewest": 26, "preparation": 0.4}
    assert make_plan(60, 5, costs, **problem).val_images < 5000
    assert make_plan(60, 5, costs, **problem, chosen=(5000, 1)).val_images == 5000
