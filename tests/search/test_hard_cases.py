"""What users of other searches met (the rows of a collection of their reports), on spaces of our own."""

import os
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from naturalize.errors import UserError
from naturalize.search import (
    METHODS,
    SearchArchive,
    SearchError,
    SearchProblem,
    guided,
    hypervolume,
    make_searcher,
    propose,
    search,
    survive,
)
from naturalize.space import Codes, SearchSpace, Variable

Floats = NDArray[np.float64]
SPACE = SearchSpace("digits", [Variable(f"v{i}", 0, 9) for i in range(12)])


def loss(codes: Codes) -> Floats:
    return ((codes - np.arange(12) % 10) ** 2).sum(axis=1).astype(float)


def evaluate(codes: Codes) -> dict[str, Floats]:
    return {"loss": loss(codes)}


def size(codes: Codes) -> Floats:
    return codes.sum(axis=1).astype(float)


def run(method: str = "auto", **options: Any) -> SearchArchive:
    given = {"evaluate": evaluate, "exact": {"size": size}, "evaluations": 40, "method": method} | options
    return search(given.pop("space", SPACE), given.pop("evaluate"), ["loss", "size"], **given)


@pytest.mark.parametrize("method", ["auto", "nat", "nsga3", "random"])
def test_N05_functions_that_change_their_argument_change_a_copy(method: str) -> None:
    def changed(codes: Codes) -> dict[str, Floats]:
        found = evaluate(codes)
        codes -= 1
        return found

    def changed_size(codes: Codes) -> Floats:
        found = size(codes)
        codes *= 10
        return found

    def changed_count(codes: Codes) -> Floats:
        found = codes[:, 0].astype(float)
        codes += 100
        return found

    known = (changed_count, lambda codes: codes.max(axis=1).astype(float))
    options = {"known": known} if method in ("auto", "nat") else {}
    options["evaluations"] = 120 if method == "nat" else 60
    archive = run(method, evaluate=changed, exact={"size": changed_size}, **options)
    assert SPACE.is_valid(archive.codes).all()
    np.testing.assert_array_equal(archive.values, np.column_stack([loss(archive.codes), size(archive.codes)]))


def test_N05_so_do_those_of_a_proposal() -> None:
    def changed(codes: Codes) -> Floats:
        found = loss(codes)
        codes += 1
        return found

    given = np.array([[3] * 12])
    one, other = (propose(SPACE, [f, size], given, 5, seed=0, generations=3) for f in (changed, loss))
    np.testing.assert_array_equal(one, other)
    assert given.tolist() == [[3] * 12]


def test_N06_a_search_that_goes_on_takes_the_new_limits() -> None:
    archive = run(limits={"size": 60})
    on = run(limits={"size": 20}, archive=archive, evaluations=60)
    assert on is archive
    assert len(archive.front())
    assert (size(archive.codes[archive.front()]) <= 20).all()
    assert (size(archive.codes[40:]) <= 20).all()


def test_N06_so_it_does_new_limits_on_what_is_no_objective_and_new_candidates() -> None:
    first = {"exact": {"size": size, "first": lambda codes: codes[:, 0].astype(float)}}
    archive = run(**first)
    run(**first, limits={"first": 2.0}, archive=archive, evaluations=60)
    assert len(archive.front())
    assert (archive.codes[archive.front(), 0] <= 2).all()
    few = np.random.default_rng(0).integers(0, 10, (30, 12))
    run(candidates=few, archive=archive, evaluations=70)
    assert {tuple(row) for row in archive.codes[archive.front()].tolist()} <= {tuple(row) for row in few.tolist()}


def test_N06_an_archive_with_other_values_of_an_exact_function_is_refused() -> None:
    archive = run(evaluations=20)
    with pytest.raises(UserError, match="the exact function size gave other values there"):
        run(exact={"size": lambda codes: 2.0 * size(codes)}, archive=archive)
    assert len(archive) == 20
    assert run(archive=archive) is archive


@pytest.mark.parametrize("method", METHODS)
def test_N06_an_archive_of_another_space_is_refused(method: str) -> None:
    archive = run(evaluations=20)
    other = SearchSpace("digits", [Variable(f"v{i}", 0, 20) for i in range(12)])
    with pytest.raises(UserError, match="the archive is of another search"):
        run(method, space=other, archive=archive)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("name", "function", "limit"),
    [
        ("first six", lambda codes: (codes[:, :6] < 8).sum(axis=1).astype(float), 0.0),  # one of 15,625
        ("floor", lambda codes: -codes.sum(axis=1).astype(float), -100.0),  # one of some hundred million
    ],
)
def test_N07_few_allowed_architectures_are_found_by_every_method(
    method: str, name: str, function: Callable[[Codes], Floats], limit: float
) -> None:
    archive = run(method, exact={"size": size, name: function}, limits={name: limit})
    assert len(archive) == 40
    assert (function(archive.codes) <= limit).all()
    assert len(set(map(tuple, archive.codes.tolist()))) == 40


def test_N07_what_is_drawn_in_a_narrow_region_is_uniform() -> None:
    exact = {"first six": lambda codes: (codes[:, :6] < 8).sum(axis=1).astype(float)}
    problem = SearchProblem(SPACE, ["loss"], exact, {"first six": 0.0})
    codes = problem.sample(3000, np.random.default_rng(0))
    assert len(codes) == 3000
    assert problem.allowed(codes).all()
    for column in range(12):
        options = 2 if column < 6 else 10
        counts = np.bincount(codes[:, column], minlength=10)[-options:]
        assert abs(counts - 3000 / options).max() < 5 * np.sqrt(3000 / options)


@pytest.mark.parametrize("method", ["auto", "random"])
def test_N07_variables_that_limits_tie_together_move_together(method: str) -> None:
    """Allowed is x0 + x1 = 9, and so on for six pairs: a million of 10^12, which one change never leads to."""

    def apart(codes: Codes) -> Floats:
        return np.abs(codes[:, ::2] + codes[:, 1::2] - 9).sum(axis=1).astype(float)

    archive = run(method, exact={"size": size, "apart": apart}, limits={"apart": 0.0}, evaluations=60)
    assert len(archive) == 60
    assert (apart(archive.codes) == 0).all()


@pytest.mark.parametrize("method", METHODS)
def test_N07_limits_that_nothing_keeps_are_told(method: str) -> None:
    with pytest.raises(UserError, match=r"no architecture of digits was found within the limits \(size <= -1\)"):
        run(method, limits={"size": -1.0})


class Stop(BaseException):
    """What nobody catches."""


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, Stop, RuntimeError])
@pytest.mark.parametrize("threads", [0, 2])
def test_N08_whatever_ends_a_search_carries_the_archive(error: type[BaseException], threads: int) -> None:
    def stop(phase: str, done: int, total: int) -> None:
        if done >= 24:
            raise error("enough")

    executor = ThreadPoolExecutor(threads) if threads else None
    with pytest.raises(error) as caught:
        run(progress=stop, executor=executor)
    archive = caught.value.archive  # type: ignore[attr-defined]
    assert len(archive) >= 24
    np.testing.assert_array_equal(archive.values[:, 0], loss(archive.codes))
    assert "measurements are kept" in caught.value.__notes__[0]
    assert len(run(archive=archive)) == 40


def test_N08_an_exact_function_that_raises_leaves_what_was_measured() -> None:
    calls = 0

    def breaks(codes: Codes) -> Floats:
        nonlocal calls
        calls += 1
        if calls > 60:
            raise KeyError("table")
        return size(codes)

    with pytest.raises(KeyError) as caught:
        run(exact={"size": breaks}, evaluations=2000)
    archive = caught.value.archive  # type: ignore[attr-defined]
    assert len(archive) >= 20
    np.testing.assert_array_equal(archive.values, np.column_stack([loss(archive.codes), size(archive.codes)]))


def test_N08_what_a_batch_that_fails_gave_one_by_one_is_kept_when_it_is_stopped() -> None:
    alone = 0

    def stopped(codes: Codes) -> dict[str, Floats]:
        nonlocal alone
        if len(codes) > 1:
            raise ValueError("one at a time")
        alone += 1
        if alone == 7:
            raise KeyboardInterrupt
        return evaluate(codes)

    with pytest.raises(KeyboardInterrupt) as caught:
        run("random", evaluate=stopped)
    archive = caught.value.archive  # type: ignore[attr-defined]
    np.testing.assert_array_equal(archive.values[:, 0], loss(archive.codes))
    assert len(archive) == 6
    assert len(run("random", archive=archive)) == 40


def deadly(codes: Codes) -> dict[str, Floats]:
    if (codes == 9).all():
        os._exit(1)
    return evaluate(codes)


def test_N09_what_kills_its_process_becomes_a_failure() -> None:
    archive, pools = None, 0
    while archive is None or len(archive) < 30:
        pools += 1
        assert pools < 5
        with ProcessPoolExecutor(3) as pool:
            try:
                archive = run(evaluate=deadly, executor=pool, evaluations=30, archive=archive)
            except SearchError as error:
                archive = error.archive
    assert archive.failed == 1
    (row,) = [row for row in archive.rows if row.reason]
    assert row.code == (9,) * 12
    assert row.reason == "its worker process died"


@pytest.mark.parametrize("huge", [1e300, 1e307, 1e308])
@pytest.mark.parametrize("method", METHODS)
def test_N10_huge_finite_values_are_values(method: str, huge: float) -> None:
    def penalised(codes: Codes) -> dict[str, Floats]:
        return {"loss": np.where(codes[:, 0] < 3, huge, loss(codes))}

    archive = run(method, evaluate=penalised, evaluations=120 if method == "nat" else 60)
    assert archive.failed == 0
    assert archive.values.max() == huge
    assert len(archive) >= 60


@pytest.mark.parametrize("huge", [1e300, 1e308])
@pytest.mark.parametrize("method", METHODS)
def test_N10_so_are_huge_exact_ones(method: str, huge: float) -> None:
    def penalised(codes: Codes) -> Floats:
        return np.where(codes[:, 0] < 3, huge, size(codes))

    archive = run(method, exact={"size": penalised}, evaluations=120 if method == "nat" else 60)
    assert archive.failed == 0
    assert archive.values[:, 1].max() == huge


def test_N10_survival_and_proposals_take_huge_values() -> None:
    values = np.array([[1e306, 0.0], [0.0, 1e306], [1.0, 1.0], [1e308, 1e308]])
    assert set(survive(values, 3, seed=0).tolist()) == {0, 1, 2}
    found = propose(SPACE, [lambda codes: 1e303 * loss(codes), size], np.empty((0, 12)), 5, seed=0, generations=3)
    assert len(found) == 5


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"known": [lambda codes: np.zeros((2, len(codes)))]}, r"a known function gave the shape \(2, 1\)"),
        ({"known": [lambda codes: np.full(len(codes), np.nan)]}, "a known function gave values that are not finite"),
        ({"method": "random", "known": [size]}, "the search random has no predictor: known numbers go with"),
        ({"method": lambda problem, seed: None, "predictor": "rbf-ensemble"}, "not with a searcher of one's own"),
        ({"exact": {"size": lambda codes: np.full(len(codes), np.nan)}}, "the exact function size gave nan for 0000"),
        ({"exact": {"size": lambda codes: np.zeros(3)}}, r"the exact function size gave the shape \(3,\) for"),
        ({"candidates": [[0] * 11]}, r"candidates have the shape \(n, 12\)"),
        ({"candidates": [[0] * 12, [0] * 11 + [10]]}, "candidates: row 1, .* is no architecture of digits"),
        ({"candidates": [[0.5] * 12]}, "candidates are whole numbers"),
        ({"candidates": [[0] * 12, [0] * 11]}, "candidates are whole numbers"),
        ({"candidates": [[None] * 12]}, "candidates are whole numbers"),
        (
            {"exact": {"size": lambda codes: ["heavy"] * len(codes)}},
            "the exact function size: these are no real numbers",
        ),
        ({"exact": {"size": lambda codes: 1j * codes[:, 0]}}, "the exact function size: complex numbers"),
        ({"limits": {"size": "30"}}, "the limit on size must be a finite number, not '30'"),
        ({"limits": {"size": None}}, "the limit on size must be a finite number, not None"),
        ({"seed": -1}, "the seed is at least 0"),
        ({"seed": 1.5}, "the seed is a whole number, not 1.5"),
        ({"seed": 2**63}, "the seed is at most"),
        ({"evaluations": 0}, "the number of evaluations is at least 1"),
        ({"evaluations": "20"}, "the number of evaluations is a whole number"),
        ({"workers": 1.5}, "the number of workers is a whole number"),
    ],
)
def test_N11_arguments_are_checked_at_the_door(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        run(**options)


@pytest.mark.parametrize("answer", [["light"], [1j], [[1.0]]])
def test_N11_what_evaluate_gives_instead_of_real_numbers_is_a_failure_in_a_line(answer: list[Any]) -> None:
    with pytest.raises(SearchError, match="evaluate") as caught:
        run(evaluate=lambda codes: {"loss": answer * len(codes)}, method="random")
    assert "\n" not in str(caught.value)


def test_N11_so_are_masked_values_and_messages_of_several_lines() -> None:
    def masked(codes: Codes) -> dict[str, Any]:
        return {"loss": np.ma.masked_less(loss(codes), np.median(loss(codes)))}

    archive = run(evaluate=masked, method="random")
    assert archive.failed
    assert all(np.isnan(row.values[0]) for row in archive.rows if row.reason)

    def raises(codes: Codes) -> dict[str, Any]:
        raise RuntimeError("out of memory\n  at line 2\n")

    with pytest.raises(SearchError, match=": RuntimeError: out of memory at line 2"):
        run(evaluate=raises, method="random")


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ([Variable("x", 0, 2.5)], "a bound of x is a whole number, not 2.5"),
        ([Variable("x", "0", 2)], "a bound of x is a whole number, not '0'"),
        ([Variable("x", 0, 2**63)], "a bound of x is at most"),
        ([("x", 0, 2)], "is no variable"),
    ],
)
def test_N11_so_are_bounds(variables: list[Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        SearchSpace("own", variables)


def test_N11_candidates_may_be_a_list() -> None:
    rows = np.random.default_rng(0).integers(0, 10, (50, 12)).tolist()
    archive = run(candidates=rows)
    assert {tuple(row) for row in archive.codes.tolist()} <= {tuple(row) for row in rows}


@pytest.mark.parametrize("method", METHODS)
def test_N11_a_million_options_are_numbers(method: str) -> None:
    space = SearchSpace("wide", [Variable("a", 0, 10**6), Variable("b", -5, 10**6), Variable("c", 0, 3)])

    def far(codes: Codes) -> dict[str, Floats]:
        return {"loss": np.abs(codes[:, 0] - 700_000) / 1e6 + np.abs(codes[:, 1] - 200_000) / 1e6}

    archive = run(method, space=space, evaluate=far, evaluations=120 if method == "nat" else 60)
    assert len(archive) >= 60
    assert space.is_valid(archive.codes).all()


def test_N12_tell_takes_one_shape_only() -> None:
    searcher = make_searcher("auto", SearchProblem(SPACE, ["loss", "size"], {"size": size}), 0)
    codes = searcher.ask(6)
    values = np.column_stack([loss(codes), size(codes)])
    for wrong in (values.T, values.ravel(), values[:, 0], values[:5]):
        with pytest.raises(UserError, match="columns loss, size"):
            searcher.tell(codes, wrong)
    for wrong_codes in (codes.T, codes.ravel(), codes[:, :5], codes + 10):
        with pytest.raises(UserError, match="codes"):
            searcher.tell(wrong_codes, values)
    searcher.tell(codes, values)
    np.testing.assert_array_equal(searcher.values, values)


def test_N12_nothing_public_reshapes_what_it_gets() -> None:
    archive = SearchArchive(SearchProblem(SPACE, ["loss", "size"], {"size": size}))
    codes = np.zeros((3, 12), dtype=int)
    values = np.column_stack([loss(codes), size(codes)])
    for wrong in ((codes, values.T, [""] * 3), (codes, values, [""]), (codes.T, values, [""] * 3)):
        with pytest.raises(UserError, match="shape"):
            archive.add(*wrong)
    assert len(archive) == 0
    archive.add(codes, values, [""] * 3)
    assert archive.values.tolist() == values.tolist()
    for flat in (values.T, values.ravel(), values[0]):
        with pytest.raises(ValueError, match=r"values have the shape \(n, 2\)"):
            hypervolume(flat, [1e3, 1e3])
    assert hypervolume([], [1e3, 1e3]) == 0.0
    with pytest.raises(UserError, match="the archive's codes have the shape"):
        propose(SPACE, [loss], codes.T, 5, seed=0)
    with pytest.raises(ValueError, match=r"gave the shape \(1,\)"):
        propose(SPACE, [lambda codes: np.zeros(1)], codes, 5, seed=0)


@pytest.mark.parametrize("method", METHODS)
def test_N12_a_search_that_is_told_failures_alone_goes_on(method: str) -> None:
    searcher = make_searcher(method, SearchProblem(SPACE, ["loss", "other"]), 0)
    for turn in range(8):
        codes = searcher.ask(20)
        assert len(codes) == 20 or (turn and len(codes)), "one at a time where its first design is asked"
        searcher.tell(codes, np.full((len(codes), 2), np.nan))


@pytest.mark.parametrize(("method", "most"), [("auto", 35), ("nat", 43)])
def test_N14_a_region_that_always_fails_is_left_alone(method: str, most: int) -> None:
    def often_fails(codes: Codes) -> dict[str, Floats]:
        return {"loss": np.where(codes[:, 3] >= 7, np.nan, loss(codes) - 20.0 * codes[:, 3])}

    archive = run(method, evaluate=often_fails, evaluations=160)
    late = np.array([bool(row.reason) for row in archive.rows[-40:]])
    assert archive.failed <= most
    assert late.sum() <= 8


@pytest.mark.parametrize("method", METHODS)
def test_warnings_of_the_caller_are_told_as_before(method: str) -> None:
    """pymoo silences all warnings of the process when it evolves."""
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        before = list(warnings.filters)
        run(method, evaluations=120 if method == "nat" else 60)
        assert warnings.filters == before


# siblings of the above, met at other doors ---------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["auto", "nat"])
def test_N11_ranges_of_any_width_are_numbers(method: str) -> None:
    wide = SearchSpace("wide", [Variable("a", 0, 2**53), Variable("b", -(2**53), 2**53), Variable("c", 0, 3)])

    def far(codes: Codes) -> dict[str, Floats]:
        return {"loss": np.abs(codes[:, 0] / 2**53 - 0.7) + np.abs(codes[:, 1] / 2**53 + 0.2)}

    archive = search(wide, far, ["loss"], method=method, evaluations=110 if method == "nat" else 40)
    assert np.median(archive.values[-10:]) < 0.5 * np.median(archive.values[:20])


@pytest.mark.parametrize("method", METHODS)
def test_N07_wide_variables_that_a_limit_ties_together_move_together(method: str) -> None:
    wide = SearchSpace("wide", [Variable(f"x{i}", 0, 10**5) for i in range(4)])

    def apart(codes: Codes) -> Floats:
        return (np.abs(codes[:, 0] - codes[:, 1]) + np.abs(codes[:, 2] - codes[:, 3])).astype(float)

    def far(codes: Codes) -> dict[str, Floats]:
        return {"loss": np.abs(codes - np.array([70000, 70000, 20000, 20000])).sum(1) / 1e5}

    archive = search(wide, far, ["loss"], exact={"apart": apart}, limits={"apart": 5.0}, method=method, evaluations=60)
    assert len(archive) == 60
    assert (apart(archive.codes) <= 5).all()


@pytest.mark.parametrize("objectives", [["loss"], ["loss", "size"], ["loss", "size", "far"]])
def test_N07_a_region_that_is_used_up_ends_the_search(objectives: list[str]) -> None:
    archive = search(
        SPACE,
        lambda codes: evaluate(codes) | {"far": loss(9 - codes)},
        objectives,
        exact={"size": size, "rest": lambda codes: (codes[:, :11] != 3).sum(axis=1).astype(float)},
        limits={"rest": 0.0},
    )
    assert len(archive) == 10


def test_N07_an_archive_that_goes_on_under_limits_that_nothing_keeps_is_told() -> None:
    archive = run(evaluations=10)
    with pytest.raises(UserError, match="no architecture of digits was found within the limits"):
        run(archive=archive, limits={"size": -5.0})


@pytest.mark.parametrize("method", ["auto", "nat"])
@pytest.mark.parametrize("objectives", [["loss", "size"], ["loss", "size", "far"]])
def test_N07_a_measured_limit_that_nothing_keeps_yet_is_approached_in_any_unit(
    method: str, objectives: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guided, "propose", partial(propose, generations=10))
    asked = {"exact": {"size": size}, "evaluations": 120 if method == "nat" else 40}

    def measured_in(unit: float) -> SearchArchive:
        return search(
            SPACE,
            lambda codes: {"loss": unit * loss(codes), "far": unit * loss(9 - codes)},
            objectives,
            limits={"loss": 15 * unit},
            method=method,
            **asked,
        )

    archive = measured_in(1.0)
    np.testing.assert_array_equal(measured_in(2.0**-10).codes, archive.codes)
    assert archive.values[:, 0].min() < 0.7 * run("random", evaluations=asked["evaluations"]).values[:, 0].min()


def test_N06_a_call_that_is_refused_leaves_the_archive_as_it_was() -> None:
    archive = run(evaluations=20)
    front = archive.front().tolist()
    with pytest.raises(UserError, match="unknown search"):
        run("typo", archive=archive, limits={"size": 1.0})
    assert archive.front().tolist() == front


def test_N06_exact_values_are_compared_in_their_own_unit() -> None:
    archive = run(exact={"size": lambda codes: 1e-9 * size(codes)}, evaluations=10)
    with pytest.raises(UserError, match="gave other values"):
        run(exact={"size": lambda codes: 5e-9 * size(9 - codes)}, archive=archive)


def test_N09_suspects_are_not_measured_outside_the_limits() -> None:
    archive = run("random", evaluations=10)
    archive.suspects = [(9,) * 12, (0,) * 12]
    with ThreadPoolExecutor(2) as executor:
        run("random", archive=archive, limits={"size": 30.0}, evaluations=20, executor=executor)
    assert (size(archive.codes[10:]) <= 30).all()
    assert (0,) * 12 in set(map(tuple, archive.codes.tolist()))
    assert archive.suspects == [(9,) * 12]


def no_gpu() -> None:
    raise OSError("no GPU here")


@pytest.mark.parametrize("pool", [ThreadPoolExecutor, ProcessPoolExecutor])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_N09_an_executor_that_never_works_makes_no_failures(pool: Any) -> None:
    archive = None
    for _ in range(3):
        with pool(1, initializer=no_gpu) as executor, pytest.raises(SearchError) as caught:
            run("random", archive=archive, executor=executor)
        archive = caught.value.archive
    assert len(archive) == 0
    assert "die before they get work" in str(caught.value)


def test_N09_what_loses_a_worker_is_told() -> None:
    with ProcessPoolExecutor(1) as executor, pytest.raises(SearchError, match="pickle"):
        run("random", evaluate=lambda codes: evaluate(codes), executor=executor)


def test_N09_futures_of_another_kind_are_refused() -> None:
    class Cluster:
        def submit(self, *call: Any) -> int:
            return 5

    with pytest.raises(UserError, match=r"int in place of a Future of concurrent\.futures"):
        run("random", executor=Cluster())


@dataclass(frozen=True)
class Frozen(Exception):
    why: str


def test_N08_an_exception_without_room_is_the_cause_of_one_that_has_the_archive() -> None:
    def enough(phase: str, done: int, total: int) -> None:
        if done >= 24:
            raise Frozen("enough")

    with pytest.raises(SearchError, match="Frozen: enough") as caught:
        run("random", progress=enough)
    assert isinstance(caught.value.__cause__, Frozen)
    assert len(caught.value.archive) == 24


def test_N08_a_table_is_whole_whatever_a_failure_says(tmp_path: Path) -> None:
    def odd(codes: Codes) -> dict[str, Floats]:
        if (codes[:, 0] > 4).any():
            raise ValueError("größer \udcff")
        return evaluate(codes)

    archive = run("random", evaluate=odd, evaluations=20)
    archive.write_csv(tmp_path / "table.csv")
    assert len((tmp_path / "table.csv").read_text(encoding="utf-8").splitlines()) == 21


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"seed": -1}, "the seed is at least 0"),
        ({"n_new": 2.5}, "whole number, not 2.5"),
        ({"population": 0}, "population is at least 1"),
        ({"generations": 0}, "generations is at least 1"),
        ({"limits": [(size, float("nan"))]}, "limits are finite"),
        ({"objectives": [lambda codes: [10**400] * len(codes)]}, "no real numbers"),
    ],
)
def test_N11_a_proposal_checks_its_arguments(asked: dict[str, Any], words: str) -> None:
    given = {"objectives": [loss, size], "archive": [], "n_new": 5, "seed": 0} | asked
    with pytest.raises(UserError, match=words):
        propose(SPACE, given.pop("objectives"), given.pop("archive"), given.pop("n_new"), **given)


@pytest.mark.parametrize(
    ("codes", "words"),
    [([[1e30] * 12], "whole numbers, up to"), (np.ma.masked_equal([[1] + [2] * 11], 1), "masked in places")],
)
def test_N11_told_codes_are_numbers_of_the_space(codes: Any, words: str) -> None:
    searcher = make_searcher("random", SearchProblem(SPACE, ["loss"]), 0)
    with pytest.raises(UserError, match=words):
        searcher.tell(codes, [[1.0]])
    with pytest.raises(UserError, match="no real numbers"):
        searcher.tell([[1] * 12], [[10**400]])
    with pytest.raises(UserError, match="candidates are empty"):
        SearchProblem(SPACE, ["loss"], candidates=np.empty((0, 12)))


@pytest.mark.parametrize("method", ["auto", "nat"])
def test_N05_functions_may_use_one_buffer_for_every_answer(method: str) -> None:
    buffer = np.zeros(10**5)

    def shared(function: Callable[[Codes], Floats]) -> Callable[[Codes], Floats]:
        def answer(codes: Codes) -> Floats:
            buffer[: len(codes)] = function(codes)
            return buffer[: len(codes)]

        return answer

    def weight(codes: Codes) -> Floats:
        return (codes * np.arange(12)).sum(axis=1).astype(float)

    def searched(of: Callable[[Any], Any]) -> Codes:
        exact = {"size": of(size), "weight": of(weight)}
        evaluations = 110 if method == "nat" else 24
        asked = {"exact": exact, "method": method, "evaluations": evaluations}
        return search(SPACE, evaluate, ["loss", "size", "weight"], **asked).codes

    np.testing.assert_array_equal(searched(shared), searched(lambda function: function))


@pytest.mark.parametrize("threads", [0, 2])
def test_N05_no_function_is_asked_about_no_architectures(threads: int) -> None:
    def largest(codes: Codes) -> Floats:
        return np.full(len(codes), codes.max()).astype(float)  # max fails where there are none

    asked = {"exact": {"size": largest}, "limits": {"size": 9.0}, "evaluations": 24}
    if threads:
        with ThreadPoolExecutor(threads) as executor:
            assert len(run(executor=executor, **asked)) == 24
    else:
        assert len(run(**asked)) == 24


def test_N12_a_value_that_comes_after_a_failure_counts() -> None:
    searcher = make_searcher("random", SearchProblem(SPACE, ["loss"]), 0)
    codes = searcher.ask(2)
    searcher.tell(codes, [[np.nan], [np.nan]])
    searcher.tell(codes[:1], [[1.0]])
    assert searcher.failed.tolist() == codes[1:].tolist()
    assert searcher.codes.tolist() == codes[:1].tolist()
