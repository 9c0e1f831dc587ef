"""Proposals: valid, new, within the requirements, better than chance; small spaces and odd objectives end well."""

import warnings
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from naturalize.predictor.rbf import RBFEnsemble
from naturalize.search import hypervolume, non_dominated, propose
from naturalize.space import Codes, SearchSpace, Variable, unique_rows
from naturalize.study.truths import fitted_error

Floats = NDArray[np.float64]


@pytest.fixture(autouse=True)
def warnings_are_errors() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def ofa_space(resolutions: int = 17) -> SearchSpace:
    """The paper's space at width 1.0: resolution, width, five stages of four layers, the last two of them optional."""
    layers = [Variable(f"stage {s} layer {p}", int(p < 3), 9) for s in range(1, 6) for p in range(1, 5)]
    rules = [(2 + 4 * s + 3, 2 + 4 * s + 2) for s in range(5)]
    return SearchSpace("ofa", [Variable("resolution", 0, resolutions - 1), Variable("width", 0, 0), *layers], rules)


def small_space(*options: int) -> SearchSpace:
    return SearchSpace("small", [Variable(f"v{i}", 0, count - 1) for i, count in enumerate(options)])


def kernels(codes: Codes) -> Floats:
    return np.where(codes[:, 2:] > 0, 3 + 2 * ((codes[:, 2:] - 1) % 3), 0)


def madds(codes: Codes) -> Floats:
    """Like MAdds: grows with resolution, kernel, expansion and depth."""
    expansions = np.where(codes[:, 2:] > 0, 1 + (codes[:, 2:] - 1) // 3, 0)
    return (1e5 * (20 + codes[:, :1]) * expansions * (50 + kernels(codes))).sum(axis=1)


def error(codes: Codes) -> Floats:
    """Like error in percent: falls with the root of everything that costs."""
    layers = 0.1 * kernels(codes)[:, ::3].sum(axis=1) - 2 * np.sqrt(codes[:, 2:] / 9).sum(axis=1)
    return 60 + layers - codes[:, 0] / 4


def archive_of(space: SearchSpace, n: int = 100) -> Codes:
    return space.sample_distinct(n, np.random.default_rng(0))


def assert_new(space: SearchSpace, proposed: Codes, archive: Codes) -> None:
    assert space.is_valid(proposed).all()
    assert len(unique_rows(np.concatenate([archive, proposed]))) == len(archive) + len(proposed)


@pytest.mark.parametrize("archived", [0, 1, 100, 300])
def test_proposals_are_valid_distinct_new_and_repeatable(archived: int) -> None:
    space, archive = ofa_space(), archive_of(ofa_space(), archived)
    proposed = propose(space, [error, madds], archive, 20, generations=8, seed=3)
    assert proposed.shape == (20, 22)
    assert_new(space, proposed, archive)
    np.testing.assert_array_equal(proposed, propose(space, [error, madds], archive, 20, generations=8, seed=3))
    assert not np.array_equal(proposed, propose(space, [error, madds], archive, 20, generations=8, seed=4))


def test_more_proposals_than_the_population_come_from_all_that_was_looked_at() -> None:
    space, archive = ofa_space(), archive_of(ofa_space())
    proposed = propose(space, [error, madds], archive, 150, population=50, generations=6, seed=0)
    assert len(proposed) == 150
    assert_new(space, proposed, archive)


def test_S03_a_small_population_does_not_bound_the_front_of_what_is_measured() -> None:
    space = ofa_space()
    archive = archive_of(space, 12)
    while len(archive) < 60:
        proposed = propose(space, [error, madds], archive, 8, population=8, generations=10, seed=len(archive))
        archive = np.concatenate([archive, proposed])
    assert non_dominated(np.column_stack([error(archive), madds(archive)])).sum() > 8


@pytest.mark.parametrize("constant", [0.0, 1.0, 1e9])
def test_S06_a_constant_objective(constant: float) -> None:
    space, archive = ofa_space(), archive_of(ofa_space())
    proposed = propose(space, [error, lambda codes: np.full(len(codes), constant)], archive, 5, generations=20, seed=0)
    assert_new(space, proposed, archive)
    assert error(proposed).max() < error(archive).min()


def test_S06_a_population_smaller_than_the_reference_directions(capsys: pytest.CaptureFixture[str]) -> None:
    space, archive = ofa_space(), archive_of(ofa_space(), 6)
    objectives = [madds, *(lambda codes, v=v: codes[:, v].astype(float) for v in range(2, 8))]
    proposed = propose(space, [error, *objectives], archive, 3, population=4, generations=5, seed=0)
    assert len(proposed) == 3
    assert capsys.readouterr().out == ""


def test_S07_a_space_of_twelve_ends_with_all_of_them_measured_once() -> None:
    space = small_space(3, 4)
    archive = np.empty((0, 2), dtype=np.int64)
    for step in range(100):
        proposed = propose(
            space, [lambda codes: codes[:, 0] * 1.0, lambda codes: -codes[:, 1] * 1.0], archive, 5, seed=step
        )
        if not len(proposed):
            break
        assert_new(space, proposed, archive)
        archive = np.concatenate([archive, proposed])
    assert step == 3
    assert {tuple(row) for row in archive} == set(product(range(3), range(4)))


def test_S07_a_space_of_one_and_a_space_that_is_almost_exhausted() -> None:
    def cost(codes: Codes) -> Floats:
        return codes.sum(axis=1).astype(float)

    one = small_space(1, 1)
    assert propose(one, [cost], np.empty((0, 2)), 4, seed=0).tolist() == [[0, 0]]
    assert propose(one, [cost], one.corners()[:1], 4, seed=0).shape == (0, 2)

    space = small_space(6, 6, 6)
    everything = archive_of(space, space.size)
    proposed = propose(space, [cost], everything[:-3], 10, population=4, generations=1, seed=0)
    assert_new(space, proposed, everything[:-3])
    assert len(proposed) == 3


def test_S07_a_space_that_is_looked_at_in_full_gives_the_true_front() -> None:
    space = small_space(8, 8, 8)
    target = np.array([3, 1, 6])

    def distance(codes: Codes) -> Floats:
        return ((codes - target) ** 2).sum(axis=1).astype(float)

    def cost(codes: Codes) -> Floats:
        return codes.sum(axis=1).astype(float)

    everything = archive_of(space, space.size)
    truth = non_dominated(np.column_stack([distance(everything), cost(everything)])).sum()
    proposed = propose(space, [distance, cost], everything[:0], int(truth), seed=0)
    of_all = non_dominated(np.column_stack([distance(everything), cost(everything)]))
    assert {tuple(row) for row in proposed} == {tuple(row) for row in everything[of_all]}


def test_S08_units_do_not_change_what_is_proposed() -> None:
    space, archive = ofa_space(), archive_of(ofa_space())
    once = propose(space, [error, madds], archive, 20, generations=15, limits=[(madds, 4e8)], seed=0)
    again = propose(
        space,
        [lambda codes: error(codes) / 100, lambda codes: madds(codes) / 1e9],
        archive,
        20,
        generations=15,
        limits=[(lambda codes: madds(codes) / 1e6, 4e2)],
        seed=0,
    )
    np.testing.assert_array_equal(once, again)


def test_S08_units_do_not_change_what_is_proposed_by_a_fitted_predictor() -> None:
    space, archive = ofa_space(), archive_of(ofa_space())

    def proposals(unit: float) -> Codes:
        predictor = RBFEnsemble(n_members=30, random_state=0).fit(space.scale(archive), error(archive) * unit)
        return propose(
            space, [lambda codes: predictor.predict(space.scale(codes)), madds], archive, 20, generations=10, seed=0
        )

    np.testing.assert_array_equal(proposals(1), proposals(0.01))


def test_S10_one_objective() -> None:
    space, archive = ofa_space(), archive_of(ofa_space())
    proposed = propose(space, [error], archive, 5, generations=20, seed=0)
    assert_new(space, proposed, archive)
    assert error(proposed).max() < error(archive).min()
    assert len(propose(space, [madds], archive, 5, generations=5, seed=0)) == 5


def test_requirements_are_met_by_all_and_searched_for() -> None:
    space, archive = ofa_space(), archive_of(ofa_space())
    limit = madds(archive).min() * 0.8
    proposed = propose(space, [error, madds], archive, 20, limits=[(madds, limit)], generations=30, seed=0)
    assert len(proposed) == 20
    assert (madds(proposed) <= limit).all()


def test_nothing_is_proposed_where_nothing_meets_the_requirement() -> None:
    space, archive = ofa_space(), archive_of(ofa_space())
    proposed = propose(space, [error, madds], archive, 5, limits=[(madds, 1.0)], generations=4, seed=0)
    assert proposed.shape == (0, 22)


def test_a_requirement_reached_exactly_is_met() -> None:
    space = small_space(3, 4)
    proposed = propose(
        space,
        [lambda codes: -codes[:, 1] * 0.1],
        np.empty((0, 2)),
        12,
        limits=[(lambda codes: codes[:, 0] * 0.1, 0.1)],
        seed=0,
    )
    assert sorted(map(tuple, proposed.tolist())) == list(product(range(2), range(4)))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused_at_once(bad: float) -> None:
    space = ofa_space()

    def broken(codes: Codes) -> Floats:
        return np.where(codes[:, 0] == 3, bad, 1.0)

    with pytest.raises(ValueError, match="not finite"):
        propose(space, [broken, madds], archive_of(space), 5, generations=3, seed=0)
    with pytest.raises(ValueError, match="not finite"):
        propose(space, [error, madds], archive_of(space), 5, limits=[(broken, 1)], generations=3, seed=0)


def test_without_objectives_there_is_nothing_to_search() -> None:
    with pytest.raises(ValueError, match="at least one objective"):
        propose(ofa_space(), [], archive_of(ofa_space()), 5, seed=0)


def test_progress_is_told_of_every_generation_and_may_stop_the_search() -> None:
    told: list[tuple[str, int, int]] = []
    space, archive = ofa_space(), archive_of(ofa_space())
    propose(space, [error, madds], archive, 5, generations=4, seed=0, progress=lambda *args: told.append(args))
    assert told == [("search", generation, 4) for generation in range(1, 5)]

    def stop(phase: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        propose(space, [error, madds], archive, 5, generations=4, seed=0, progress=stop)


def test_every_architecture_is_evaluated_once() -> None:
    asked: list[tuple[int, ...]] = []

    def counted(codes: Codes) -> Floats:
        asked.extend(map(tuple, codes.tolist()))
        return codes.sum(axis=1).astype(float)

    propose(small_space(6, 6, 6), [counted], np.empty((0, 3)), 20, population=5, seed=0)
    assert len(set(asked)) == len(asked) > 20


def test_on_the_real_landscape_the_search_beats_random_sampling_of_as_many(published_data: Path) -> None:
    error_of, space = fitted_error(published_data / "ofa-mbv3-w1.0-truth.npz"), ofa_space(resolutions=1)
    generations, population = 20, 50

    def reached(codes: Codes) -> float:
        return hypervolume(np.column_stack([error_of(codes) - 18, madds(codes)]), [12, madds(space.corners())[1]])

    for seed in range(3):
        rng = np.random.default_rng(seed)
        archive = space.sample_distinct(20, rng)
        proposed = propose(
            space, [error_of, madds], archive, 50, population=population, generations=generations, seed=seed
        )
        at_random = space.sample_distinct(population * generations, rng)
        assert reached(proposed) > reached(at_random) + 0.05
