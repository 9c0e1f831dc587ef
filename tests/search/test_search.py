"""The search of a space of one's own: nothing twice, nothing invalid, failures kept out, repeatable."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
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
    hypervolume,
    make_guided,
    make_searcher,
    search,
)
from naturalize.search.guided import LinesGuided
from naturalize.space import Codes, SearchSpace, Variable

Floats = NDArray[np.float64]

FACTORS = (("kernel", (3.0, 5.0, 7.0)),)
SPACE = SearchSpace(
    "stages",
    [
        Variable("resolution", 0, 4),
        *(Variable(f"s{s}.l{p}", int(p < 2), 3, f"s{s}", FACTORS) for s in range(3) for p in range(3)),
    ],
)
TINY = SearchSpace("tiny", [Variable("a", 0, 3), Variable("b", 1, 4), Variable("c", 0, 1)])


def madds(codes: Codes) -> Floats:
    return 1e6 * (4 + codes[:, 0]) * codes[:, 1:].sum(axis=1)


def error(codes: Codes) -> Floats:
    layers = codes[:, 1:]
    return (
        40
        - 1.5 * codes[:, 0]
        - 3 * np.sqrt(layers[:, ::3]).sum(axis=1)
        - layers[:, 1::3].sum(axis=1)
        + 0.3 * (layers[:, 2] - layers[:, 5]).clip(0)
    )


def evaluate(codes: Codes) -> dict[str, Floats]:
    return {"error": error(codes)}


EXACT = {"madds": madds}


def run(method: str = "auto", **options: Any) -> SearchArchive:
    given = {"evaluate": evaluate, "exact": EXACT, "evaluations": 60, "method": method, "seed": 1} | options
    return search(SPACE, given.pop("evaluate"), ["error", "madds"], **given)


@pytest.mark.parametrize("method", METHODS)
def test_nothing_is_asked_twice_nothing_invalid_and_the_seed_decides(method: str) -> None:
    asked: list[tuple[int, ...]] = []

    def watched(codes: Codes) -> dict[str, Floats]:
        assert SPACE.is_valid(codes).all()
        assert (madds(codes) <= 9e7).all()
        asked.extend(map(tuple, codes.tolist()))
        return evaluate(codes)

    archive = run(method, evaluate=watched, limits={"madds": 9e7})
    assert len(archive) == len(asked) == len(set(asked)) == 60
    assert archive.codes.tolist() == [list(row) for row in asked]
    np.testing.assert_array_equal(archive.values, np.column_stack([error(archive.codes), madds(archive.codes)]))
    np.testing.assert_array_equal(archive.codes, run(method, limits={"madds": 9e7}).codes)
    assert not np.array_equal(archive.codes, run(method, limits={"madds": 9e7}, seed=2).codes)


@pytest.mark.parametrize("method", METHODS)
def test_a_space_ends_when_all_of_it_is_measured(method: str) -> None:
    archive = search(TINY, lambda codes: {"f": codes.sum(axis=1) * 1.0}, ["f"], evaluations=100, method=method)
    assert len(archive) == TINY.size == 32
    assert archive.codes[archive.front()].tolist() == [[0, 1, 0]]


@pytest.mark.parametrize("method", METHODS)
def test_failures_are_counted_and_the_front_is_without_them(method: str) -> None:
    def fails(codes: Codes) -> dict[str, Floats]:
        if (codes[:, 0] == 2).any():
            raise RuntimeError("out of memory")
        values = error(codes)
        values[codes[:, 1] == 2] = np.nan
        values[codes[:, 2] == 3] = -np.inf
        return {"error": values}

    archive = run(method, evaluate=fails)
    bad = (archive.codes[:, 0] == 2) | (archive.codes[:, 1] == 2) | (archive.codes[:, 2] == 3)
    assert 0 < archive.failed == bad.sum() < len(archive) == 60
    assert np.isnan(archive.values[bad]).all()
    assert not bad[archive.front()].any()
    reasons = {row.reason for row in archive.rows}
    assert reasons == {"", "RuntimeError: out of memory", "error is not finite"}


def test_the_front_is_the_one_of_the_good_ones_alone() -> None:
    archive = run()
    twin = SearchArchive(archive.problem)
    twin.add(archive.codes, archive.values, [""] * len(archive))
    failed = SPACE.sample(5, np.random.default_rng(9))
    twin.add(failed, np.full((5, 2), np.nan), ["no"] * 5)
    np.testing.assert_array_equal(twin.front(), archive.front())
    np.testing.assert_array_equal(twin.hypervolumes([40, 2e8])[:60], archive.hypervolumes([40, 2e8]))


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda codes: {"error": [1.0, 2.0, 3.0]}, r"shape \(3,\) for 1 architectures"),
        (lambda codes: {"loss": error(codes)}, "gave no 'error'"),
        (lambda codes: error(codes), "dictionary of arrays by objective"),
        (lambda codes: {"error": np.full(len(codes), np.nan)}, "error is not finite"),
    ],
)
def test_where_everything_fails_the_search_stops_early_and_names_one(answer: Callable[..., Any], words: str) -> None:
    calls = []

    def watched(codes: Codes) -> Any:
        calls.append(len(codes))
        return answer(codes)

    with pytest.raises(SearchError, match=f"all of the first 1[0-9]? evaluations failed; of .*{words}") as caught:
        run(evaluate=watched)
    assert sum(calls) < 40
    failed = caught.value.archive.failed
    went_on = run(archive=caught.value.archive)
    assert (len(went_on), went_on.failed) == (60, failed)


def test_a_search_goes_on_where_another_one_ended() -> None:
    half = run(evaluations=30)
    whole = run(archive=half)
    assert whole is half
    assert len(np.unique(whole.codes, axis=0)) == 60


def test_an_archive_of_another_search_is_refused() -> None:
    with pytest.raises(UserError, match="archive is of another search"):
        search(SPACE, evaluate, ["error"], archive=run(evaluations=8))


def test_guided_searches_need_fewer_evaluations_than_those_without_a_predictor() -> None:
    reference = [40.0, 2.2e8]
    reached = {
        name: np.mean([run(name, seed=seed).hypervolumes(reference)[-1] for seed in range(3)]) for name in METHODS
    }
    assert reached["auto"] > max(value for name, value in reached.items() if name not in ("auto", "nat"))


def with_latency(codes: Codes) -> dict[str, Floats]:
    return {"error": error(codes), "latency": codes[:, 1:4].sum(axis=1) + 0.1 * codes[:, 0]}


def three_objectives(method: str, seed: int, **options: Any) -> SearchArchive:
    objectives = ["error", "latency", "madds"]
    return search(SPACE, with_latency, objectives, exact=EXACT, evaluations=60, method=method, seed=seed, **options)


def test_three_objectives_two_of_them_measured() -> None:
    reference = [40.0, 12.0, 2.2e8]
    reached = {
        method: np.mean([three_objectives(method, seed).hypervolumes(reference)[-1] for seed in range(3)])
        for method in ("auto", "nsga3", "random")
    }
    assert reached["auto"] > reached["nsga3"] > 0
    assert reached["auto"] > reached["random"]


@pytest.mark.parametrize("limits", [{"error": 15.0, "latency": 6.0}, {"error": 12.0}, {"latency": 4.0}])
def test_limits_of_three_objectives_tell_where_to_look(limits: dict[str, float]) -> None:
    def inside(archive: SearchArchive) -> float:
        columns = [["error", "latency"].index(name) for name in limits]
        return float((archive.values[30:, columns] <= list(limits.values())).all(axis=1).mean())

    assert inside(three_objectives("auto", 0, limits=limits)) > inside(three_objectives("auto", 0))


@pytest.mark.parametrize("m", [3, 5, 8, 12, 15])
def test_with_any_number_of_objectives_lines_ask_for_about_as_little_of_one(m: int) -> None:
    searcher = make_searcher("auto", SearchProblem(SPACE, [f"f{i}" for i in range(m)]), 0)
    assert isinstance(searcher, LinesGuided)
    lines = searcher.lines()
    assert np.allclose(np.linalg.norm(lines, axis=1), 1)
    assert 0.3 < (lines.min(axis=1) / lines.mean(axis=1)).mean() < 0.45


def test_one_objective() -> None:
    archive = search(SPACE, evaluate, ["error"], evaluations=60, seed=0)
    everything = SPACE.sample_distinct(20_000, np.random.default_rng(0))
    assert archive.values.min() <= error(everything).min()


def test_a_limit_on_what_is_measured_tells_where_to_look() -> None:
    near = run(limits={"error": 25.0, "madds": 1e8})
    assert (near.values[:, 1] <= 1e8).all()
    assert (near.values[near.front(), 0] <= 25).all()
    far = run()

    def inside(archive: SearchArchive) -> float:
        return float(((archive.values[30:, 0] <= 25) & (archive.values[30:, 1] <= 1e8)).mean())

    assert inside(near) > inside(far)


def test_only_candidates_are_measured() -> None:
    candidates = SPACE.sample_distinct(50, np.random.default_rng(3))
    archive = run(candidates=candidates, evaluations=30)
    allowed = set(map(tuple, candidates.tolist()))
    assert len(archive) == 30
    assert all(row.code in allowed for row in archive.rows)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "nsga4"}, "did you mean nsga3"),
        ({"limits": {"params": 3.0}}, "limit on params is on no objective"),
        ({"limits": {"madds": np.nan}}, "must be a finite number"),
    ],
)
def test_arguments_that_make_no_sense(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        run(**options)


@pytest.mark.parametrize("objectives", [[], ["error", "error"], [f"f{i}" for i in range(16)]])
def test_one_to_fifteen_different_objectives(objectives: list[str]) -> None:
    with pytest.raises(UserError, match="1 to 15 different objectives"):
        SearchProblem(SPACE, objectives)


def test_told_in_any_order_and_late_it_still_learns() -> None:
    problem = SearchProblem(SPACE, ["error", "madds"], EXACT)
    searcher = make_searcher("auto", problem, 0)
    waiting = [searcher.ask(6) for _ in range(4)]
    asked = np.concatenate(waiting)
    assert len(np.unique(asked, axis=0)) == len(asked) == 24
    assert len(searcher.pending) == 24
    for codes in reversed(waiting):
        searcher.tell(codes, np.column_stack([error(codes), madds(codes)]))
    assert len(searcher.pending) == 0
    more = searcher.ask(4)
    assert not set(map(tuple, more.tolist())) & set(map(tuple, asked.tolist()))


def test_threads_are_kept_busy() -> None:
    both = threading.Barrier(2, timeout=20)

    def slow(codes: Codes) -> dict[str, Floats]:
        assert len(codes) == 1
        both.wait()  # breaks unless two are inside at the same time
        return evaluate(codes)

    with ThreadPoolExecutor(2) as pool:
        archive = run(evaluate=slow, executor=pool, evaluations=30)
    assert len(np.unique(archive.codes, axis=0)) == 30
    assert not archive.failed


def test_processes_measure_too() -> None:
    with ProcessPoolExecutor(2) as pool:
        archive = run(executor=pool, evaluations=30)
    np.testing.assert_array_equal(archive.values[:, 0], error(archive.codes))


class Unreliable(Executor):
    """An executor whose workers are lost now and then, as on a cluster."""

    def __init__(self, lost: Callable[[int], bool]) -> None:
        self.lost = lost
        self.submitted = 0

    def submit(self, function: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.submitted += 1
        future: Future[Any] = Future()
        if self.lost(self.submitted):
            future.set_exception(ConnectionError("worker lost"))
        else:
            future.set_result(function(*args, **kwargs))
        return future


def test_a_lost_workers_points_are_asked_again() -> None:
    executor = Unreliable(lambda number: number % 3 == 0)
    archive = run(executor=executor, evaluations=30, workers=2)
    assert len(archive) == 30
    assert archive.failed == 0
    assert executor.submitted > 40


def test_points_that_lose_every_worker_are_failures() -> None:
    with pytest.raises(SearchError, match="its worker was lost 3 times"):
        run(executor=Unreliable(lambda number: True), workers=2)


def killed(codes: Codes) -> dict[str, Floats]:
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


def test_a_broken_pool_ends_the_search_and_it_can_go_on() -> None:
    with ProcessPoolExecutor(1) as pool, pytest.raises(SearchError, match="executor takes no more work") as caught:
        run(evaluate=killed, executor=pool)
    assert isinstance(caught.value.__cause__, BrokenProcessPool)
    assert len(run(archive=caught.value.archive)) == 60


def test_progress_may_stop_it_and_what_came_in_is_kept() -> None:
    archive = SearchArchive(SearchProblem(SPACE, ["error", "madds"], EXACT))

    def stop(phase: str, done: int, total: int) -> None:
        if done >= 24:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(archive=archive, progress=stop)
    assert len(archive) == 24
    assert len(run(archive=archive)) == 60


def test_the_archive_is_written_in_order(tmp_path: Path) -> None:
    archive = run(evaluations=12)
    archive.write_csv(tmp_path / "archive.csv")
    lines = (tmp_path / "archive.csv").read_text().splitlines()
    assert lines[0] == "architecture,error,madds,failed"
    assert [line.split(",")[0] for line in lines[1:]] == SPACE.strings(archive.codes)


def test_hypervolumes_are_those_of_what_came_in_so_far() -> None:
    archive = run(evaluations=25)
    reference = np.array([40.0, 2e8])
    expected = [hypervolume(archive.values[: n + 1], reference) for n in range(25)]
    np.testing.assert_allclose(archive.hypervolumes(reference), expected, rtol=1e-12)


def test_it_never_imports_what_is_heavy() -> None:
    code = (
        "import sys; from naturalize.search import search; from naturalize.space import SearchSpace, Variable;"
        "search(SearchSpace('s', [Variable('a', 0, 9), Variable('b', 0, 9), Variable('c', 0, 300)]),"
        " lambda c: {'f': c.sum(1) * 1.0, 'g': -c[:, 0] * 1.0}, ['f', 'g'], evaluations=30);"
        "heavy = {'torch', 'onnxruntime', 'onnx', 'plotly', 'datasets'} & sys.modules.keys(); assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_an_evolution_that_was_told_others_measurements_is_whole_and_the_next_ones_go_on() -> None:
    """A transfer makes a new searcher in each iteration: its only evolution must not rely on one before."""
    told: list[int] = []
    problem = SearchProblem(SPACE, ["error", "madds"], EXACT)
    searcher = make_guided("auto", problem, 0, progress=lambda what, done, total: told.append(total))

    def tell(codes: Codes) -> None:
        searcher.tell(codes, np.column_stack([error(codes), madds(codes)]))

    tell(SPACE.sample_distinct(30, np.random.default_rng(0)))
    tell(searcher.ask(4))
    searcher.ask(4)
    assert told == [12] * 12 + [4] * 4
